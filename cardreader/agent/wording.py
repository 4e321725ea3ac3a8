"""The words for an act, the same on the agent's pages and in every window that asks for a PIN."""

from __future__ import annotations

from collections.abc import Callable

from cardreader.agent.action import Action, Document, age_of
from cardreader.agent.joint import Joint
from cardreader.agent.linking import Link
from cardreader.agent.mandate import Mandate, Power
from cardreader.agent.statement import Statement

Gettext = Callable[[str], str]


def act_title(act: Action, _: Gettext) -> str:
    """What will happen, in one phrase; what is released and signed is listed after it."""
    if act.link is not None:
        if act.link.step == "start":
            return _("サービスの番号とカードとの結びつけ（2回のうち1回目の確認）")
        return _("サービスの番号とカードとの結びつけ（2回のうち2回目の確認）")
    if act.mandate is not None:
        family = {
            ("poa.guardian", "grant"): _("お子さまの代わりに手続きをする届出への署名"),
            ("poa.guardian", "accept"): _("本人のカードでの確認（次の方が、代わりに手続きをします）"),
            ("poa.person", "grant"): _("代わりに手続きをしてもらう届出への署名"),
            ("poa.person", "accept"): _("代わりに手続きをすることの引き受け"),
        }
        if words := family.get((act.mandate.kind, act.mandate.step)):
            return words
        return {
            "grant": _("委任（次の権限を、受任者に与えます）"),
            "resume": _("停止した委任の再開"),
            "approve": _("委任への承認"),
            "accept": _("委任の受諾（次の権限を、受任者として引き受けます）"),
        }[act.mandate.step]
    if act.statement is not None:
        return _("雇用の証明（次の内容を、証明者として証明します）")
    match act.kind, bool(act.released):
        case "profession", _none if act.joint is None:
            return _("医療従事者としてのログイン（資格の確認）")
        case "profession", _none:
            return _("医療従事者としてのログイン（資格の確認）と、患者との手続きの開始")
        case "joint", _none:
            return _("医療の手続きへの同意（本人の確認）")
        case "consent", False:
            return _("取り消した同意を元に戻す手続き")
        case "consent", True:
            return _("取り消した同意を元に戻す手続きと、次の情報の提供")
        case "proof", False:
            return _("署名用電子証明書による本人確認")
        case "proof", True:
            return _("署名用電子証明書による本人確認と、次の情報の提供")
        case "sign", False:
            return _("文書への電子署名")
        case "sign", True:
            return _("文書への電子署名と、次の情報の提供")
        case _login, True:
            return _("ログイン（本人の確認）と、次の情報の提供")
        case _login, False:
            return _("ログイン（本人の確認）")


def claim_name(name: str, _: Gettext) -> str:
    """A released claim's name. Raises KeyError for one that action.py lets nobody ask for."""
    age = age_of(name)
    if age is not None:
        return _("%(age)s歳以上かどうか") % {"age": age}
    names = {
        "name": _("氏名"),
        "address": _("住所"),
        "birthdate": _("生年月日"),
        "gender": _("性別"),
        "language": _("使用言語"),
        "called": _("呼んでほしい名前"),
        "communication": _("伝え方の配慮"),
        "dietary_needs": _("食事の配慮"),
        "emergency_contact": _("緊急連絡先"),
        "linked_id": _("このサービスでのお客様番号"),
        "offline_access": _("ログインしていない間の利用の継続"),
        "sign": _("文書への電子署名の準備"),
    }
    return names[name]


def act_facts(act: Action, _: Gettext) -> list[tuple[str, str]]:
    """What is bound, granted or agreed with whom, as pairs of a name and a value; nothing for other acts."""
    if act.link is not None:
        return _link_facts(act.link, _)
    if act.joint is not None:
        return _joint_facts(act.joint, _)
    if act.statement is not None:
        return _statement_facts(act.statement, _)
    return [] if act.mandate is None else _mandate_facts(act.mandate, _)


def _link_facts(link: Link, _: Gettext) -> list[tuple[str, str]]:
    if link.source:
        return [(_("使えるようになる番号"), _("「%(source)s」でのあなたの番号") % {"source": link.display_source})]
    facts = [(_("結びつける番号"), link.number)]
    if link.replaces:
        facts.append((_("使われなくなる番号"), link.display_replaces))
    return facts


def _joint_facts(joint: Joint, _: Gettext) -> list[tuple[str, str]]:
    """With whom and what for, as pairs of a name and a value; a licence by its exact words, known ones translated."""
    facts = [(_("手続きの目的"), joint.display_purpose)]
    if joint.roles:
        roles = " / ".join(role_name(role, _) for role in joint.display_roles)
        facts += [
            (_("相手の医療従事者"), joint.display_name),
            (_("資格"), roles),
            (_("所属"), joint.display_organization),
        ]
    return facts


def role_name(role: str, _: Gettext) -> str:
    """A licence as its certificate states it, with its name where that is known."""
    names = {
        "Medical Doctor": _("医師"),
        "Director of Hospital": _("病院長"),
        "Director of Clinic": _("診療所院長"),
    }
    return f"{names[role]} ({role})" if role in names else role


def document_facts(document: Document, _: Gettext) -> str:
    """Kind and size as the service told them, or that it told neither."""
    if document.size is None or document.media_type is None:
        return _("指紋だけを受け取りました")
    kinds = {"text/plain": _("テキスト"), "application/pdf": "PDF"}
    kind = kinds.get(document.media_type, document.media_type)
    return _("%(kind)s、%(size)sバイト") % {"kind": kind, "size": f"{document.size:,}"}


def document_warning(document: Document, _: Gettext) -> str:
    """What a person should know before signing it; "" where nothing."""
    if document.form == "raw":
        return _("この文書の内容は、認証の運営者もこのソフトも確かめていません。")
    if document.size is None:
        return _("文書の内容は、署名を依頼したサービスで確かめてください。")
    return ""


def _mandate_facts(mandate: Mandate, _: Gettext) -> list[tuple[str, str]]:
    facts = [(_("委任者"), mandate.principal), (_("受任者"), mandate.agent)]
    if mandate.kind != "poa.business":
        facts = [(_("本人"), mandate.principal), (_("代わりに手続きをする方"), mandate.agent)]
    for power in mandate.powers:
        facts += _power_facts(power, _) if mandate.kind == "poa.business" else _family_facts(power, _)
    facts.append((_("期間"), _("%(begins)sから%(ends)sまで") % {"begins": mandate.begins, "ends": mandate.ends}))
    if mandate.sub_delegation:
        facts.append((_("復代理"), _("%(steps)s段まで認める") % {"steps": mandate.sub_delegation}))
    if mandate.travels:
        told = _("あなたの署名と電子証明書（氏名・住所・生年月日・性別）は、委任状を受け取るすべての人に渡ります")
        facts.append((_("署名の渡し先"), told))
    if mandate.approvals:
        facts.append((_("承認者"), _("%(count)s人") % {"count": mandate.approvals}))
    return facts


def _statement_facts(statement: Statement, _: Gettext) -> list[tuple[str, str]]:
    """What is certified about whom, as pairs of a name and a value: all that is signed but the numbers of signing."""
    facts = [
        (_("証明者（雇用主）"), statement.employer),
        (_("従業員"), statement.employee),
        (_("雇用形態"), _employment(statement.employment, _)),
        (_("雇用の期間"), f"{statement.since} – {statement.until}"),
        (_("証明する日"), statement.certified_on),
    ]
    names = {
        "industry": _("業種"),
        "workplace": _("勤務先"),
        "workplace_address": _("勤務先の所在地"),
        "purpose": _("使用目的"),
    }
    if statement.address:
        facts.insert(1, (_("所在地"), statement.address))
    facts += [(name, statement.texts[key]) for key, name in names.items() if key in statement.texts]
    facts += _time_facts(statement, _)
    if statement.income is not None:
        year, income = statement.income
        told = _("%(year)s年 %(income)s円") % {"year": year, "income": f"{income:,}"}
        facts.append((_("収入（税引き前）"), told))
    rest = {"remarks": _("備考"), "contact": _("問い合わせ先")}
    facts += [(name, statement.texts[key]) for key, name in rest.items() if key in statement.texts]
    facts.append((_("取り下げの有無を知らせる最後の日"), statement.told_until))
    if statement.corrects:
        facts.append((_("訂正"), _("以前の証明書を、これに置き換えます")))
    return facts


def _time_facts(statement: Statement, _: Gettext) -> list[tuple[str, str]]:
    facts = []
    if statement.hours:
        words = _("週%(days_a_week)s日、月%(hours_a_month)s時間、%(starts)s〜%(finishes)s（休憩%(rest_minutes)s分）")
        facts.append((_("就労時間"), words % statement.hours))
    for month, days, hours in statement.worked:
        worked = _("%(month)s：%(days)s日、%(hours)s時間") % {"month": month, "days": days, "hours": hours}
        facts.append((_("就労実績"), worked))
    if statement.leave:
        kind = _("産前・産後休業") if statement.leave["kind"] == "maternity" else _("育児休業")
        facts.append((_("休業"), f"{kind} {statement.leave['since']} – {statement.leave['until']}"))
    if statement.returns_on:
        facts.append((_("復職の日"), statement.returns_on))
    return facts


def _employment(kind: str, _: Gettext) -> str:
    return {
        "regular": _("正社員（期間の定めなし）"),
        "fixed_term": _("有期雇用"),
        "part_time": _("パート・アルバイト"),
        "dispatched": _("派遣"),
        "officer": _("役員"),
    }[kind]


def _power_facts(power: Power, _: Gettext) -> list[tuple[str, str]]:
    facts = [(_("委任する行為"), " / ".join(act_name(act, _) for act in power.acts))]
    if power.places:
        facts.append((_("相手先"), _("すべての発注機関") if power.places == "*" else power.places))
    if power.case:
        facts.append((_("案件"), power.case))
    if power.categories:
        facts.append((_("区分"), power.categories))
    amount = _("上限なし")
    if power.amount is not None:
        words = _("%(amount)s円（税込み）") if power.tax_included else _("%(amount)s円（税抜き）")
        amount = words % {"amount": f"{power.amount:,}"}
        each, together = _("1回ごとに"), _("合計で")
        amount = f"{amount} {together if power.total else each}"
    facts.append((_("金額の上限"), amount))
    return facts


def _family_facts(power: Power, _: Gettext) -> list[tuple[str, str]]:
    return [
        (_("代わりにできること"), " / ".join(act_name(act, _) for act in power.acts)),
        (_("サービス"), power.places),
    ]


def act_name(act: str, _: Gettext) -> str:
    """An act's name. Raises KeyError for one that mandate.py lets nobody grant."""
    names = {
        "bid": _("入札"),
        "quote": _("見積"),
        "contract": _("契約の締結"),
        "amend": _("契約の変更"),
        "deliver": _("納入・検査"),
        "invoice": _("代金の請求"),
        "receive": _("代金の受領"),
        "bond": _("保証金の納付・還付"),
        "submit": _("書類の提出"),
        "attend_opening": _("開札の立会い"),
        "appoint_subagent": _("復代理人の選任"),
        "view_record": _("記録を見ること"),
        "write_record": _("記録に書くこと"),
        "book": _("予約"),
    }
    return names[act]
