"""The municipal office: it issues certificates and cards, and enters what happens in a resident's life.

Every deed is written into the authorities' books; what is not in them does not exist for CRL, OCSP and the mapping.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox import ca
from sandbox.ca import Authority, Kind, issue_auth_certificate, issue_sign_certificate
from sandbox.cards import KeySlot, card_document
from sandbox.ledger import Issued, Ledger
from sandbox.residents import Issue, Resident

_OPAQUE: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"

LifeEvent = Literal["renewal", "loss", "reissue", "move", "death", "hold", "release"]
EVENTS: Final[Mapping[LifeEvent, tuple[str | None, str | None]]] = {
    "renewal": ("superseded", "superseded"),
    "loss": ("keyCompromise", "keyCompromise"),
    "reissue": ("keyCompromise", "keyCompromise"),
    "move": (None, "affiliationChanged"),
    "death": ("cessationOfOperation", "cessationOfOperation"),
    "hold": ("certificateHold", "certificateHold"),
    "release": (None, None),
}
"""What the office enters: the CRL reasons of the 利用者証明用 and of the 署名用 certificate. A phone's certificate is
bound to the person and falls with death; the loss of the card leaves it alone."""


class Office:
    """One day at the counter. `ledger` is the books as the day leaves them."""

    def __init__(self, *, authorities: Mapping[str, Authority], today: date, ledger: Ledger | None = None) -> None:
        self._authorities = authorities
        self._today = today
        self._entries = list(ledger.entries) if ledger is not None else []

    @property
    def ledger(self) -> Ledger:
        """The books."""
        return Ledger(entries=tuple(self._entries))

    def make_cards(self, resident: Resident, keys: Iterator[rsa.RSAPrivateKey]) -> dict[str, dict[str, Any]]:
        """Everything a resident holds on the first day: card files by name. Takes `keys_needed(resident)` keys."""
        cards = {}
        replaces: dict[Kind, int] = {}
        if resident.renewed_from is not None:
            old: dict[Kind, KeySlot] = {}
            for kind in _held(resident):
                old[kind] = self._issue(
                    resident, kind, next(keys), resident.renewed_from, card=resident.old_card, reason="superseded"
                )
                replaces[kind] = len(self._entries) - 1
            cards[resident.old_card] = _document(resident, resident.old_card, old)
        slots: dict[Kind, KeySlot] = {"auth": KeySlot(private_key=next(keys)), "sign": KeySlot(private_key=next(keys))}
        for kind in _held(resident):
            reason = resident.revoked or (resident.sign_revoked if kind == "sign" else None)
            slots[kind] = self._issue(
                resident,
                kind,
                slots[kind].private_key,
                resident.issue,
                card=resident.name,
                reason=reason,
                replaces=replaces.get(kind),
            )
        cards[resident.name] = _document(resident, resident.name, slots, tries=resident.pin_tries)
        for phone in resident.phones:
            name = resident.phone_card(phone)
            slot = self._issue(
                resident, "phone-auth", next(keys), Issue(generation=1), card=name, policy=ca.PHONE_POLICIES[phone]
            )
            cards[name] = _document(resident, name, {"auth": slot}, form=phone)
        return cards

    def enter(self, event: LifeEvent, resident: Resident, *, at: datetime) -> dict[str, Any] | None:
        """Enter an event of life `at` this instant; the new card where one is handed out.

        A renewal puts new certificates on the same card, a reissue is a new card; both get new keys from the newest
        generation and stand in the old-new mapping. Raises ValueError where the event cannot be: nothing to end.
        """
        if resident.hierarchy != ca.TEST_ORGANIZATION or resident.kind != "plastic":
            raise ValueError(f"{resident.name} holds no card of this office")
        at = at.replace(microsecond=0)
        held = {kind: found for kind in ca.KINDS if (found := self.ledger.of_resident(resident.name, kind)) is not None}
        if event == "release":
            for index, entry in held.values():
                if entry.reason == "certificateHold":
                    self._entries[index] = replace(entry, revoked_at=None, reason=None)
            return None
        reasons = dict(zip(("auth", "sign"), EVENTS[event], strict=True))
        if event == "death":
            reasons["phone-auth"] = EVENTS[event][0]
        if event in ("renewal", "reissue") and any(e.reason == "cessationOfOperation" for _, e in held.values()):
            raise ValueError(f"{resident.name} has died: nothing is issued any more")
        if not any(reasons.get(kind) for kind in held):
            raise ValueError(f"{resident.name} has no certificate that this could end")
        for kind, (index, entry) in held.items():
            reason = reasons.get(kind)
            if reason is not None and entry.reason in (None, "certificateHold"):
                self._entries[index] = replace(entry, revoked_at=at, reason=reason)
        return self._hand_out(resident, held) if event in ("renewal", "reissue") else None

    def _hand_out(self, resident: Resident, held: Mapping[Kind, tuple[int, Issued]]) -> dict[str, Any]:
        keys = iter(ca.new_private_keys(2))
        slots: dict[Kind, KeySlot] = {"auth": KeySlot(private_key=next(keys)), "sign": KeySlot(private_key=next(keys))}
        kinds: tuple[Kind, ...] = ("auth", "sign")
        for kind in kinds:
            if kind not in held:
                continue
            index, _ = held[kind]
            self._entries[index] = replace(self._entries[index], current=False)
            newest = max(a.generation for a in self._authorities.values() if _serves(a, kind))
            slots[kind] = self._issue(
                resident,
                kind,
                slots[kind].private_key,
                Issue(generation=newest, days_ago=0),
                card=resident.name,
                replaces=index,
            )
        return _document(resident, resident.name, slots)

    def _issue(
        self,
        resident: Resident,
        kind: Kind,
        key: rsa.RSAPrivateKey,
        issue: Issue,
        *,
        card: str,
        reason: str | None = None,
        replaces: int | None = None,
        policy: x509.ObjectIdentifier | None = None,
    ) -> KeySlot:
        foreign = resident.hierarchy == ca.FOREIGN_ORGANIZATION
        authority = self._authorities[f"foreign-{kind}-1" if foreign else f"{kind}-{issue.generation}"]
        issued = self._today - timedelta(days=issue.days_ago)
        not_before = datetime.combine(issued, time(), tzinfo=UTC)
        not_after = ca.end_of_day_in_japan(ca.fifth_birthday(issued=issued, birth=resident.birth))
        serial = self._serial(resident, kind, authority)
        number = f"{secrets.randbelow(1000):03}"
        common_name = "".join(secrets.choice(_OPAQUE) for _ in range(14)) + resident.municipality.code + number + "A"
        superseded = reason == "superseded"
        revoked_on = self._today - timedelta(days=resident.issue.days_ago if superseded else 1)
        self._entries.append(
            Issued(
                resident=resident.name,
                kind=kind,
                authority=authority.name,
                serial=serial,
                municipality=resident.municipality.code,
                not_before=not_before,
                not_after=not_after,
                current=not superseded,
                card=card,
                revoked_at=None if reason is None else datetime.combine(revoked_on, time(), tzinfo=UTC),
                reason=reason,
                replaces=replaces,
            )
        )
        if kind == "sign":
            certificate = issue_sign_certificate(
                authority,
                public_key=key.public_key(),
                common_name=common_name,
                municipality=resident.municipality,
                serial=serial,
                not_before=not_before,
                not_after=not_after,
                holder=resident.holder,
                authority_key_identifier=resident.aki,
                extended_key_usage=resident.eku,
            )
        else:
            certificate = issue_auth_certificate(
                authority,
                public_key=key.public_key(),
                common_name=common_name,
                municipality=resident.municipality,
                serial=serial,
                not_before=not_before,
                not_after=not_after,
                authority_key_identifier=resident.aki,
                extended_key_usage=resident.eku,
                policy=policy,
            )
        return KeySlot(private_key=key, certificate=certificate, ca_certificate=authority.certificate)

    def _serial(self, resident: Resident, kind: Kind, authority: Authority) -> int:
        """A new four-byte serial, never used by any authority, unless the resident is to share another's."""
        if kind == "auth" and resident.same_auth_serial_as is not None:
            twin = next(e for e in self._entries if e.resident == resident.same_auth_serial_as and e.kind == "auth")
            if twin.authority != authority.name:
                return twin.serial
            if not any(e.resident == resident.name for e in self._entries):
                raise ValueError(f"{resident.name}: only another generation may give out the same serial")
        used = {entry.serial for entry in self._entries}
        while (serial := 0x01000000 + secrets.randbelow(0x7E000000)) in used:
            pass
        return serial


def keys_needed(resident: Resident) -> int:
    """How many private keys `make_cards` takes: two for the card, those of the card before, one for each phone."""
    return 2 + (len(_held(resident)) if resident.renewed_from is not None else 0) + len(resident.phones)


def _held(resident: Resident) -> tuple[Kind, ...]:
    kinds: tuple[tuple[Kind, bool], ...] = (("auth", resident.auth), ("sign", resident.sign))
    return tuple(kind for kind, held in kinds if held)


def _serves(authority: Authority, kind: Kind) -> bool:
    return authority.kind == kind and authority.organization == ca.TEST_ORGANIZATION


def _document(
    resident: Resident, name: str, slots: Mapping[Kind, KeySlot], *, tries: int = 3, form: str | None = None
) -> dict[str, Any]:
    return card_document(
        name=name,
        label=resident.label,
        pin=resident.pin,
        auth=slots["auth"],
        sign=slots.get("sign"),
        sign_password=resident.sign_password if form is None else None,
        pin_tries=tries,
        kind=form or resident.kind,
    )
