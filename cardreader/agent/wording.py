"""The words for an act, the same on the agent's pages and in every window that asks for a PIN."""

from __future__ import annotations

from collections.abc import Callable

from cardreader.agent.action import Action, Document, age_of
from cardreader.agent.linking import Link

Gettext = Callable[[str], str]


def act_title(act: Action, _: Gettext) -> str:
    """What will happen, in one phrase; what is released and signed is listed after it."""
    if act.link is not None:
        if act.link.step == "start":
            return _("サービスの番号とカードとの結びつけ（2回のうち1回目の確認）")
        return _("サービスの番号とカードとの結びつけ（2回のうち2回目の確認）")
    match act.kind, bool(act.released):
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


def link_facts(link: Link, _: Gettext) -> list[tuple[str, str]]:
    """What is bound, as pairs of a name and a value."""
    if link.source:
        return [(_("使えるようになる番号"), _("「%(source)s」でのあなたの番号") % {"source": link.display_source})]
    facts = [(_("結びつける番号"), link.number)]
    if link.replaces:
        facts.append((_("使われなくなる番号"), link.display_replaces))
    return facts


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
