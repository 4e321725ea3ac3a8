"""Every screen that residents see, by the name of its picture: `python -m tests.screens` writes docs/screens.md.

The pictures are made by the browser tests with SCREENS=docs/screens, and made small by `python -m tests.picture
docs/screens`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parents[1] / "docs"
FOLDER: Final = DOCS / "screens"
PAGE: Final = DOCS / "screens.md"
SCREENS: Final = {
    "service-library": ("見本の図書館", "the sample library"),
    "service-event": ("見本の入場券", "the sample event"),
    "service-staff": ("見本の職員証", "the sample staff pass"),
    "login": ("カードを置く", "place the card"),
    "login-asked": ("カードを置く（求めているもの）", "place the card: what is asked for"),
    "login-mandate": ("カードを置く（代理の問い合わせ）", "place the card: may you act for somebody?"),
    "login-licence": ("HPKIカードを置く", "place the HPKI card"),
    "login-joint": ("カードを置く（医療者との手続き）", "place the card: a matter with a doctor"),
    "login-unvetted": ("審査していないサービス", "a service whose name is not reviewed"),
    "choose": ("カードの使い方を選ぶ", "choose how to use the card"),
    "handover": ("別の機器で確かめる", "have the card checked elsewhere"),
    "release": ("渡す情報を選ぶ", "choose what is given"),
    "application": ("申込書を確かめる", "check the application"),
    "sign": ("書類を確かめて署名する", "check and sign documents"),
    "signed": ("署名が終わった", "documents are signed"),
    "copies": ("署名した書類の控え", "copies of what was signed"),
    "consent": ("同意（選べる情報）", "consent with optional items"),
    "consent-first": ("同意", "consent"),
    "consent-mandate": ("どなたの代理人か選ぶ", "choose for whom you act"),
    "consent-mandate-none": ("委任を受けていない", "no power of attorney for it"),
    "return": ("サービスに戻る", "back to the service"),
    "return-refused": ("やめて戻る", "back without a login"),
    "link": ("番号を登録する", "a number is linked"),
    "link-conflict": ("ほかの登録と合わない番号", "a number that meets another link"),
    "device": ("機器の番号を入力する", "type a device's code"),
    "device-wrong": ("知らない番号", "a code that is not known"),
    "device-confirm": ("自分の機器か確かめる", "is it your own device?"),
    "device-done": ("機器がログインした", "the device is logged in"),
    "family-new": ("お子さまの代わりに手続きをする", "act for your child"),
    "family-one": ("お子さまの代わりの手続き", "acting for a child, with its uses"),
    "clinic-welcome": ("見本の診療所", "the sample clinic"),
    "clinic-home": ("保護者の画面", "what a parent may do at the clinic"),
    "clinic-desk": ("窓口で続柄を確かめる", "the clinic's desk looks at the papers"),
    "clinic-record": ("お子さまの記録", "the child's record"),
    "clinic-no-power": ("記録を表示できない", "no record is shown"),
    "consultation": ("診察室：医師から", "the consultation room: the doctor begins"),
    "consultation-patient": ("診察室：次は患者さん", "the consultation room: the patient's turn"),
    "consultation-done": ("診察室：お二人の結果", "the consultation room: the result for both"),
    "consultation-ended": ("診察室：確認できなかった", "the consultation room: ended without a result"),
    "bidding-welcome": ("見本の電子入札", "the sample e-bidding service"),
    "bidding-tender": ("入札する", "make a bid"),
    "bidding-accepted": ("入札を受け付けた", "a bid within the power"),
    "bidding-refused": ("権限を確かめられなかった入札", "a bid that no power covers"),
    "bidding-office": ("発注機関の画面", "the procuring entity's side"),
    "television-code": ("見本テレビの番号", "the sample television's code"),
    "television-confirm": ("テレビか確かめる", "is it your television?"),
    "television-welcome": ("テレビにログインした", "the television is logged in"),
    "error-withheld": ("カードから答えがなかった", "the card gave no answer"),
    "error-revoked": ("失効した電子証明書", "a revoked certificate"),
    "error-unknown-client": ("知らないサービス", "an unknown service"),
    "account-stopped": ("利用を止めたアカウント", "a stopped account"),
    "logout": ("ログアウトする", "log out"),
    "logged-out": ("ログアウトした", "logged out"),
    "no-session": ("ログインしていない", "not logged in"),
    "me-login": ("マイページに入る", "open your page"),
    "me": ("マイページ", "your page"),
    "me-services": ("つながっているサービス", "linked services"),
    "me-withdrawn": ("同意を取り消した", "consent withdrawn"),
    "me-consents": ("同意の記録", "consents"),
    "me-history": ("利用の記録", "history"),
    "me-report": ("これは自分ではない", "this was not me"),
    "me-reported": ("知らせた", "reported"),
    "me-attributes": ("登録した情報", "what you registered"),
    "me-attributes-error": ("登録できない値", "a value that is refused"),
    "me-export": ("書き出す", "export"),
    "me-print": ("印刷する", "print"),
    "delegations": ("電子委任状", "powers of attorney"),
    "delegation-new": ("新しく委任する", "give a power of attorney"),
    "delegation-upload": (
        "法人の電子証明書で署名する（断られたとき）",
        "sign with a corporation's certificate: refused",
    ),
    "delegation": ("一つの委任状", "one power of attorney"),
    "verify": ("委任状を確認する", "check a power of attorney"),
    "verify-number": ("番号だけで確認する", "by its number alone"),
    "verdict": ("確認の結果", "the answer"),
    "me-recovery": ("リカバリーコードを作る", "make recovery codes"),
    "me-recovery-codes": ("リカバリーコード", "recovery codes"),
    "me-delete": ("アカウントを削除する", "delete the account"),
    "me-deleted": ("削除した", "deleted"),
    "statements": ("雇用証明書の一覧", "certificates of employment"),
    "statement-new": ("新しく証明する", "a new certificate"),
    "statement-drafted": ("下書きと招待", "a draft, and the invitation"),
    "statement-sign": ("内容を確かめて署名へ進む", "check it, and go on to sign"),
    "statement-card": ("カードで署名する", "sign with the card"),
    "statement": ("発行した雇用証明書", "a certificate that was issued"),
    "statement-invited": ("従業員が受け取る", "the employee receives it"),
    "statement-verified": ("雇用証明書を確かめる", "a certificate is checked"),
    "kiosk-login": ("みんなで使う端末：カードを置く", "a shared terminal: place the card"),
    "kiosk-consent": ("みんなで使う端末：同意", "a shared terminal: consent"),
    "kiosk-still-there": ("みんなで使う端末：続けますか", "a shared terminal: still there?"),
    "kiosk-end": ("みんなで使う端末：終了", "a shared terminal: the end"),
    "lost-card": ("カードをなくした", "a lost card"),
    "recovery": ("リカバリーコードを使う", "use a recovery code"),
    "recovery-wrong": ("使えないコード", "a code that does not work"),
    "recovery-done": ("止めた", "stopped"),
    "help": ("お困りのときは", "help"),
    "help-furigana": ("ふりがな", "with readings (Japanese only)"),
    "accessibility": ("アクセシビリティ", "accessibility"),
    "reading": ("表示の設定", "display"),
}
"""In the order in which somebody meets them; Japanese and English."""


def page() -> str:
    """The document, in words of both languages."""
    lines = [
        "# Screens",
        "",
        "Every screen that residents see, in both languages, as the tests saw it.",
        "",
        "| | 日本語 | English |",
        "|---|---|---|",
    ]
    for name, words in SCREENS.items():
        pictures = []
        for language in ("ja", "en"):
            file = FOLDER / f"{name}.{language}.png"
            pictures.append(f"![{name}](screens/{file.name})" if file.exists() else "")
        lines.append(f"| {words[0]} / {words[1]} | {' | '.join(pictures)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
