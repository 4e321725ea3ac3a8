"""The three services, row by row: what tells them apart is here, and the program is one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.party.settings import PartyPlace, Place

HOST: Final = "127.0.0.7"
PORT: Final = 8007


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service. Texts are by language."""

    slug: str
    """Its folder in the address."""
    client_id: str
    names: Mapping[str, str]
    label: Mapping[str, str]
    """What it calls its number."""
    pattern: str
    """`linked_id_pattern`."""
    about: Mapping[str, str]
    act: Mapping[str, str]
    """What a member can do here."""
    count: Mapping[str, str]
    """What is counted of that."""
    each: int
    """How much one act counts."""
    most: int = 0
    """After how much no more is done; 0 for no end."""
    known: Mapping[str, str] = field(default_factory=dict)
    """Numbers that people have already, and the word that was given them with it; empty: a number is made here."""
    transferable: bool = True
    unique_person: bool = False

    def mint(self) -> str:
        """A number of its own making."""
        return f"E{secrets.randbelow(10**8):08d}"

    def normal(self, typed: str) -> str:
        """A number as it is kept: people type spaces and small letters."""
        return "".join(typed[:32].split()).upper()


SERVICES: Final = (
    Service(
        slug="library",
        client_id="library",
        names={"ja": "みほん図書館（架空の図書館）", "en": "Sample library"},
        label={"ja": "利用カードの番号", "en": "Library card number"},
        pattern=r"MK-[0-9A-Z]{8}",
        about={
            "ja": "図書館の利用カードとポイントを、マイナンバーカードで使えます。",
            "en": "Use your library card and its points with your My Number Card.",
        },
        act={"ja": "来館ポイントをもらう（10ポイント）", "en": "Collect the points of a visit (10 points)"},
        count={"ja": "ポイント", "en": "Points"},
        each=10,
        known={
            "MK-00A1B2C3": "しおり",
            "MK-00D4E5F6": "ほんだな",
            "MK-00G7H8J9": "よみきかせ",
            "MK-00K0L1M2": "ずかん",
        },
    ),
    Service(
        slug="event",
        client_id="event",
        names={"ja": "みほんチケット（架空の催し）", "en": "Sample event tickets"},
        label={"ja": "入場券の番号", "en": "Ticket number"},
        pattern=r"E[0-9]{8}",
        about={
            "ja": "入場券は、お一人に1枚です。ほかの人に譲ることはできません。",
            "en": "One ticket for each person. It cannot be passed on to anybody.",
        },
        act={"ja": "入場する", "en": "Enter"},
        count={"ja": "入場", "en": "Entered"},
        each=1,
        most=1,
        transferable=False,
        unique_person=True,
    ),
    Service(
        slug="staff",
        client_id="staff",
        names={"ja": "みほん商事 職員証（架空の会社）", "en": "Sample Trading staff pass"},
        label={"ja": "職員番号", "en": "Staff number"},
        pattern=r"[A-Z]{2}-[0-9]{4}",
        about={
            "ja": "職員証の代わりに、マイナンバーカードで出勤を記録します。会社は個人番号も氏名も受け取りません。",
            "en": "Clock in with your My Number Card as your staff pass. The company gets no My Number and no name.",
        },
        act={"ja": "出勤を記録する", "en": "Clock in"},
        count={"ja": "出勤の記録", "en": "Times clocked in"},
        each=1,
        known={"SB-0117": "入社一", "SB-0224": "入社二", "SB-0331": "入社三", "SB-0448": "入社四"},
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings(PartyPlace):
    """One service at its place."""

    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipSettings(Place):
    """The place that the three share: each has its folder of the address, and its files in `state`."""

    base_url: str = f"http://{HOST}:{PORT}"

    def of(self, service: Service) -> ServiceSettings:
        """The place of this one."""
        return ServiceSettings(
            state=self.state,
            base_url=f"{self.base_url}/{service.slug}",
            issuer=self.issuer,
            issuer_ca=self.issuer_ca,
            client_id=service.client_id,
            service=service,
        )
