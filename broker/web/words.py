"""Words for what stands in the store as a name: items, kinds of use, boxes of forms. In the language of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from flask_babel import get_locale
from flask_babel import lazy_gettext as _

from broker.delegation import rules
from broker.delegation.acts import EN, JA, Act
from broker.errors import PowerRefused

_JAPAN: Final = timezone(timedelta(hours=9))

ITEMS: Final[Mapping[str, Any]] = {
    "openid": _("サービスごとに異なる番号"),
    "offline_access": _("画面を閉じたあとの利用"),
    "profile": _("氏名・生年月日・性別"),
    "name": _("氏名"),
    "address": _("住所"),
    "birthdate": _("生年月日"),
    "gender": _("性別"),
    "age_over_15": _("15歳以上かどうか"),
    "age_over_18": _("18歳以上かどうか"),
    "age_over_20": _("20歳以上かどうか"),
    "age_over_65": _("65歳以上かどうか"),
    "linked_id": _("サービスでのお客さま番号"),
    "unique_person": _("お一人に一つであること"),
    "sign": _("文書への署名"),
    "hpki": _("医療の資格、氏名、所属"),
    "joint": _("医療者との手続き"),
    "urn:jpki-broker:claim:joint": _("医療者との手続き"),
    "delegations": _("電子委任状の一覧と状態。あなたに代わって停止や取り消しもできます"),
    "language": _("使いたい言語"),
    "called": _("呼んでほしい名前"),
    "communication": _("伝え方の配慮"),
    "dietary_needs": _("食事の配慮"),
    "emergency_contact": _("緊急連絡先"),
    # names of claims, as a reading of userinfo tells them
    "locale": _("使いたい言語"),
    "nickname": _("呼んでほしい名前"),
    "urn:jpki-broker:claim:communication": _("伝え方の配慮"),
    "urn:jpki-broker:claim:dietary_needs": _("食事の配慮"),
    "urn:jpki-broker:claim:emergency_contact": _("緊急連絡先"),
    "verified_claims": _("確認済みの本人情報"),
    "auth_time": _("カードで確認した日時"),
    "acr": _("確認の強さ"),
    "amr": _("確認の方法"),
    # what was done to the account itself
    "codes_made": _("リカバリーコードの作成"),
    "stop": _("利用の停止"),
    "stopped": _("利用の停止"),
    "reopened": _("利用の再開"),
    "revived": _("削除したアカウントの再開"),
    "end_sessions": _("すべてのログインの終了"),
    "withdraw_all": _("すべての同意の取り消し"),
}
LICENCES: Final[Mapping[str, Any]] = {
    "Medical Doctor": _("医師"),
    "Director of Hospital": _("病院長"),
    "Director of Clinic": _("診療所院長"),
}
"""Of the licences whose exact spelling was seen in a source (jpki.hcrole)."""
STATES: Final[Mapping[str, Any]] = {
    "draft": _("下書き（委任者の署名を待っています）"),
    "signed": _("委任者が署名しました（承認を待っています）"),
    "approved": _("受任者の受諾を待っています"),
    "accepted": _("受諾されました（運営者が確かめています）"),
    "verified": _("確認が済みました（登録簿への記録を待っています）"),
    "logged": _("登録簿に記録しました（証人の確認を待っています）"),
    "witnessed": _("証人が確認しました（電子署名を待っています）"),
    "active": _("有効"),
    "suspended": _("停止中"),
    "revoked": _("取り消し済み"),
    "superseded": _("新しい委任に置き換えられました"),
    "expired": _("期間が終わりました"),
    "abandoned": _("取りやめ"),
}
STATEMENT_STATES: Final[Mapping[str, Any]] = {
    "draft": _("下書き（証明者の署名を待っています）"),
    "accepted": _("署名が済みました（運営者が確かめています）"),
    "active": _("有効（取り下げられていません）"),
    "revoked": _("取り下げ済み"),
    "superseded": _("訂正され、新しい証明書に置き換えられました"),
    "expired": _("知らせる期間が終わりました"),
    **{name: STATES[name] for name in ("verified", "logged", "witnessed", "abandoned")},
}
STATEMENT_DEEDS: Final[Mapping[str, Any]] = {
    "sign": _("証明者の署名"),
    "verify": _("運営者の確認"),
    "log": _("登録簿への記録"),
    "seal": _("電子署名を付けて発行"),
    "revoke": _("取り下げ"),
    "supersede": _("訂正による置き換え"),
    "expire": _("知らせる期間の終わり"),
    "abandon": _("取りやめ"),
    "issue": _("発行"),
}
ROLES: Final[Mapping[str, Any]] = {
    "principal": _("委任者"),
    "agent": _("受任者"),
    "approver": _("承認者"),
}
DEEDS: Final[Mapping[str, Any]] = {
    "sign": _("委任者の署名"),
    "approve": _("承認"),
    "accept": _("受諾"),
    "verify": _("運営者の確認"),
    "log": _("登録簿への記録"),
    "witness": _("証人の確認"),
    "seal": _("電子署名（有効になりました）"),
    "suspend": _("停止"),
    "resume": _("再開"),
    "revoke": _("取り消し"),
    "supersede": _("置き換え"),
    "expire": _("期間の終わり"),
    "abandon": _("取りやめ"),
    "issue": _("発行"),
}
KINDS: Final[Mapping[str, Any]] = {
    "login": _("ログイン"),
    "consent": _("同意の確認"),
    "withdrawal": _("同意の取り消し"),
    "restored": _("取り消しをやめた"),
    "refresh": _("ログインの継続（サービスによる）"),
    "reading": _("情報の受け取り（サービスによる）"),
    "attributes": _("登録した情報の変更"),
    "link": _("番号の登録"),
    "proof": _("本人情報の確認"),
    "signature": _("文書への署名"),
    "recovery": _("リカバリーコード"),
    "account": _("アカウント"),
}
HOWS: Final[Mapping[str, Any]] = {
    "card": _("カードと暗証番号"),
    "phone": _("スマートフォンの電子証明書"),
    "session": _("続いているログイン"),
    "elsewhere": _("別の機器のためにカードで"),
    "service": _("サービスから"),
    "code": _("リカバリーコード"),
    "desk": _("窓口"),
}
DEVICES: Final[Mapping[str, Any]] = {
    "television": _("テレビ"),
    "set_top_box": _("テレビにつなぐ機器"),
    "game_console": _("ゲーム機"),
    "computer": _("パソコン"),
    "printer": _("プリンター"),
    "terminal": _("文字だけの画面"),
    "browser": _("ブラウザー（パソコンなど）"),
}
RESULTS: Final[Mapping[str, Any]] = {
    "done": _("済み"),
    "refused": _("できませんでした"),
    "declined": _("同意しませんでした"),
    "ended": _("終わりました"),
}
EVENTS: Final[Mapping[str, Any]] = {
    "given": _("同意しました"),
    "withdrawn": _("取り消しました"),
    "restored": _("元に戻しました"),
}
BOXES: Final[Mapping[str, Any]] = {
    "language": _("使いたい言語"),
    "called": _("呼んでほしい名前"),
    "communication": _("希望する伝え方"),
    "communication_note": _("ほかに伝えたいこと"),
    "dietary_needs": _("アレルギー、宗教上の理由、のみこみやすさなど"),
    "emergency_name": _("連絡先の方の名前"),
    "emergency_relation": _("続柄"),
    "emergency_phone": _("電話番号"),
}
CHOICES: Final[Mapping[str, Any]] = {
    "ja": "日本語",
    "ja-Hira": "やさしい にほんご",
    "en": "English",
    "zh-Hans": "简体中文",
    "zh-Hant": "繁體中文",
    "ko": "한국어",
    "vi": "Tiếng Việt",
    "pt": "Português",
    "es": "Español",
    "tl": "Tagalog",
    "ne": "नेपाली",
    "id": "Bahasa Indonesia",
    "speech": _("声で"),
    "writing": _("筆談・文字で"),
    "sign_language": _("手話で"),
    "large_print": _("大きな文字で"),
    "plain_words": _("やさしい言葉で"),
    "braille": _("点字で"),
}
FAMILY_STATES: Final[Mapping[str, Any]] = {
    "draft": _("まだ署名していません"),
    "signed": _("確認を待っています"),
    "approved": _("確認を待っています"),
    "accepted": _("確認を待っています"),
    "verified": _("手続きをしています"),
    "logged": _("手続きをしています"),
    "witnessed": _("手続きをしています"),
    "active": _("有効"),
    "suspended": _("停止中"),
    "revoked": _("終わりました"),
    "superseded": _("終わりました"),
    "expired": _("期間が終わりました"),
    "abandoned": _("取りやめました"),
}
FAMILY_NEXT: Final[Mapping[str, Any]] = {
    "signature": _("次は、届け出た方がカードで署名します。"),
    "child_card": _("次は、お子さまのカードでログインして、保存したアドレスを開き、確認します。"),
    "acceptance": _("次は、代わりに手続きをする方が、ご自分のカードで引き受けます。"),
    "service": _("次は、サービスの窓口で確認を受けてください。母子健康手帳や戸籍の証明書をお持ちください。"),
    "processing": _("数分お待ちください。何もしなくて大丈夫です。"),
}
REASONS: Final[Mapping[str, Any]] = {
    "empty": _("入力してください。"),
    "choice": _("一覧から選んでください。"),
    "long": _("長すぎます。決められた文字数までで入力してください。"),
    "signs": _("改行や、目に見えない文字は使えません。取り除いてください。"),
    "individual_number": _("個人番号（マイナンバー）に見える数字は登録できません。取り除いてください。"),
    "form": _("電話番号の形ではありません。例：090-1234-5678"),
}
_TABLES: Final = {
    "mandate_state": STATES,
    "mandate_role": ROLES,
    "statement_state": STATEMENT_STATES,
    "statement_deed": STATEMENT_DEEDS,
    "family_state": FAMILY_STATES,
    "family_next": FAMILY_NEXT,
    "deed": DEEDS,
    "item": ITEMS,
    "kind": KINDS,
    "how": HOWS,
    "device": DEVICES,
    "result": RESULTS,
    "event": EVENTS,
    "box": BOXES,
    "choice": CHOICES,
    "reason": REASONS,
}


def word(table: str, name: str) -> str:
    """What people are shown for a name of the store; the name itself where there is no word."""
    return str(_TABLES[table].get(name, name))


def act_word(act: str) -> str:
    """An act that is granted, in the language of the page."""
    return (JA if str(get_locale()) == "ja" else EN)[Act(act)]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something cannot be granted, in the language of the page, and what the box may be called that is to blame:
    a part of the document such as principal.corporate_number has its box under that name or the end of it.
    """

    text: str
    boxes: tuple[str, ...]


def refusal(wrong: PowerRefused) -> Refusal:
    """The rule that was broken."""
    told = rules.WORDS[rules.Rule(wrong.rule)]
    parts = wrong.where.split(".")
    return Refusal(
        told.ja if str(get_locale()) == "ja" else told.en,
        tuple("_".join(parts[n:]) for n in range(len(parts)) if parts[-1]),
    )


def role_words(role: str) -> str:
    """A licence as its certificate states it, with its name where that is known."""
    return f"{LICENCES[role]} ({role})" if role in LICENCES else role


def instant(moment: datetime | None) -> str:
    """A time in Japan, as people write it there or in English."""
    if moment is None:
        return ""
    local = moment.astimezone(_JAPAN)
    if str(get_locale()) == "ja":
        return f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}"
    return f"{local.day} {local:%B %Y, %H:%M}"


def machine(moment: datetime | None) -> str:
    """The same for programs (the `datetime` of a `time` element)."""
    return "" if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
