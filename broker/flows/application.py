"""The application that a resident signs to prove who they are: a text anybody can read, written here and nowhere else.

It is made for one card transaction, kept as it was shown, and holds no word about the resident themself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from broker.flows.identity_claims import JAPAN
from broker.oidc.claims_request import AGE_OVER
from broker.oidc.client import Client
from broker.oidc.release import Item

MEDIA_TYPE: Final = "text/plain"

_NAMES: Final = {
    "ja": {
        "name": "氏名",
        "address": "住所",
        "birthdate": "生年月日",
        "gender": "性別",
        **{name: f"{years}歳以上かどうか" for name, years in AGE_OVER.items()},
    },
    "en": {
        "name": "name",
        "address": "address",
        "birthdate": "date of birth",
        "gender": "sex",
        **{name: f"whether {years} or older" for name, years in AGE_OVER.items()},
    },
}
_TITLES: Final = {"ja": "本人確認の申込書", "en": "Application for proof of identity"}
_TEXTS: Final = {
    "ja": """\
{title}

{client}　御中

マイナンバーカードの署名用電子証明書によって、次の事項が私のものであることの確認を受け、
その結果を上のサービスに渡すよう、{issuer} に申し込みます。

渡す事項
{items}

受け取るサービス：{client}（{client_id}）
確認を行う者：{issuer}
申込みの日時：{time}（日本時間）
申込みの番号：{transaction}

電子証明書の発行番号と個人番号は、渡しません。
""",
    "en": """\
{title}

To {client}

I apply to {issuer} to confirm, by the digital-signature certificate of my
My Number Card, that the following is mine, and to give the result to the service above.

To be given
{items}

Receiving service: {client} ({client_id})
Confirmed by: {issuer}
Time of application: {time} (Japan time)
Application number: {transaction}

Neither the serial number of a certificate nor the Individual Number is given.
""",
}
_PURPOSE: Final = {"ja": "（利用目的：{purpose}）", "en": " (purpose: {purpose})"}
_NONE_STATED: Final = {"ja": "示されていません", "en": "none stated"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application as it is shown and signed."""

    title: str
    text: str


def title_of(language: str) -> str:
    """What the document is called, to the agent too."""
    return _TITLES[language]


def write(
    client: Client,
    items: Collection[Item],
    *,
    issuer: str,
    transaction: str,
    at: datetime,
    language: str,
) -> Application:
    """The application of one card transaction, in the language of its page."""
    names = _NAMES[language]
    lines = []
    for item in items:
        stated = "、".join(purposes(client, item, language)) or _NONE_STATED[language]
        lines.append(f"- {names[item.name]}{_PURPOSE[language].format(purpose=stated)}")
    title = title_of(language)
    text = _TEXTS[language].format(
        title=title,
        client=client.name if client.vetted else client.host,
        client_id=client.client_id,
        issuer=issuer,
        items="\n".join(lines),
        time=at.astimezone(JAPAN).strftime("%Y-%m-%d %H:%M:%S"),
        transaction=transaction,
    )
    return Application(title=title, text=text)


def purposes(client: Client, item: Item, language: str) -> tuple[str, ...]:
    """What the client wants an item for: in the words of this request, else in those it registered."""
    if item.purposes:
        return item.purposes
    use = client.use_of(item.name)
    return () if use is None else (use.words(language)[0],)
