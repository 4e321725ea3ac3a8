"""The authorities at work: they publish CRLs, answer OCSP, revoke, and say which certificate follows which.

One object serves all threads.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import atomicfile, hpki, ledger, registrar, seals
from sandbox.ca import Authority, Kind, Municipality
from sandbox.cards import to_json
from sandbox.generate import generations, issuer_key_hash, load_authority
from sandbox.ledger import Issued, Ledger
from sandbox.office import LifeEvent, Office
from sandbox.residents import RESIDENTS_FILE, Resident, load_residents
from sandbox.revocation import (
    CRL_LIFE,
    Nonce,
    answer_ocsp,
    build_crl,
    build_delta_crl,
    crl_reason,
    reason_of,
    try_later,
)
from sandbox.trouble import Trouble, read_trouble, write_trouble

CRL_AGE: Final = timedelta(hours=6)  # an older list is made anew when it is asked for
GROWTH: Final = 2000  # entries that a list "suddenly much larger" has more than it should
_NONCES: Final[dict[str, Nonce]] = {"wrong-nonce": "other", "no-nonce": "none"}


class Registry:
    """Works on the files that `sandbox.generate` wrote under `root`, and follows them when they are made anew."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._seen = 0  # modification time of generation.json, ns, that the cached keys belong to
        self._authorities: dict[str, Authority] = {}
        population = load_residents(RESIDENTS_FILE.read_bytes())
        self._residents: dict[str, Resident] = {resident.name: resident for resident in population.residents}
        self.municipalities: dict[str, Municipality] = {
            municipality.code: municipality for municipality in population.municipalities
        }

    # --- sealed documents ---------------------------------------------------------------------------------------------

    def seal_crl(self, name: seals.Lister, *, now: datetime) -> bytes:
        """The list (DER) of an authority of seals, made as of `now`. Raises OSError, ValueError."""
        return seals.load(self._root / "ca").crl(name, now=now)

    def time_stamp(self, request: bytes, *, now: datetime) -> bytes:
        """The time-stamp authority's answer (DER) to one question (DER). Raises OSError, ValueError."""
        return seals.load(self._root / "ca").stamp.answer(request, now=now)

    def healthcare_crl(self, name: str, *, now: datetime) -> bytes:
        """The list (DER) of an HPKI authority (sandbox.hpki.LISTERS), made as of `now`. Raises OSError, ValueError."""
        return hpki.publish(self._root / "ca", name, now=now)

    def registrar_crl(self, *, now: datetime) -> bytes:
        """The list (DER) of corporations' certificates, made as of `now`: none is revoked. Raises as above."""
        at = now - timedelta(minutes=1)  # so that whoever asked a moment before it was made finds it in force
        return registrar.load(self._root / "ca").crl(now=at)

    # --- what is so ---------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """The books as they stand. Raises OSError, ValueError."""
        return ledger.read(self._root / "ca" / "ledger.json")

    def trouble(self) -> Trouble:
        """What goes wrong on command. Raises OSError, ValueError."""
        return read_trouble(self._root)

    def make_trouble(self, wanted: Trouble) -> None:
        """From now on. Raises OSError."""
        write_trouble(self._root, wanted)

    def generations(self, kind: Kind) -> tuple[int, ...]:
        """Which generations of an authority there are."""
        return generations(self._root / "ca", kind)

    def certificate(self, name: str) -> bytes | None:
        """A root certificate (DER) by the authority's name, None where there is no such authority."""
        known = {path.stem: path for path in (self._root / "ca").glob("*.cer")}
        return known[name].read_bytes() if name in known else None

    # --- revocation ---------------------------------------------------------------------------------------------------

    def crl(self, kind: Kind, generation: int, municipality: Municipality, *, now: datetime) -> bytes:
        """The partition's CRL (DER): the published one while it is younger than six hours and tells today's truth."""
        with self._lock:
            authority = self._authority(f"{kind}-{generation}")
            published, revoked = self._published(authority, municipality, now)
            return self._troubled(published, authority, municipality, revoked, now)

    def delta_crl(self, kind: Kind, generation: int, municipality: Municipality, *, now: datetime) -> bytes:
        """What changed since the complete CRL that was published last (DER, RFC 5280 section 5.2.4)."""
        with self._lock:
            authority = self._authority(f"{kind}-{generation}")
            base = _load(self._file(authority, municipality))
            if base is None or now - base.last_update_utc >= CRL_AGE:
                base, _ = self._published(authority, municipality, now)
            return build_delta_crl(
                authority,
                municipality,
                base=base,
                revoked=self._revoked(authority, municipality, now),
                number=max(int(now.timestamp()), _number(base)),
                at=now,
            ).public_bytes(Encoding.DER)

    def ocsp(self, kind: Kind, request: bytes, *, now: datetime) -> bytes:
        """The OCSP response (DER) of an authority, whichever of its generations is asked about."""
        wrong = self.trouble().ocsp
        if wrong == "try-later":
            return try_later()
        with self._lock:
            authorities = [self._authority(f"{kind}-{generation}") for generation in self.generations(kind)]
            other = self._authority("foreign-auth-1")
        if wrong == "wrong-key":  # a responder that another authority delegated to
            authorities = [
                replace(authority, responder_key=other.responder_key, responder_certificate=other.responder_certificate)
                for authority in authorities
            ]
        return answer_ocsp(
            request,
            authorities=authorities,
            ledger=Ledger(entries=()) if wrong == "unknown" else self.ledger(),
            at=now - timedelta(days=8) if wrong == "stale" else now,
            nonce_back=_NONCES.get(wrong, "echo"),
        )

    def revoke(self, resident: str, *, now: datetime, reason: str = "keyCompromise") -> None:
        """Revoke the certificates on a resident's card, both kinds: the 署名用 one never outlives the other."""
        at = now.replace(microsecond=0)
        with self._lock, atomicfile.exclusive(self._root / "ca" / ".lock"):
            books = self.ledger()
            for kind in ("auth", "sign"):
                entry = books.current(resident, "auth" if kind == "auth" else "sign")
                if entry is not None:
                    books = books.revoke(entry, at=at, reason=reason)
            ledger.write(self._root / "ca" / "ledger.json", books)

    # --- life and the mapping -----------------------------------------------------------------------------------------

    def enter(self, event: LifeEvent, resident: str, *, now: datetime) -> Path | None:
        """An event of life at the municipal office: into the books, and the new card into its file, whose path comes
        back. Raises KeyError for nobody's name, ValueError where the event cannot be, OSError.
        """
        person = self._residents[resident]
        with self._lock, atomicfile.exclusive(self._root / "ca" / ".lock"):
            kinds: tuple[Kind, ...] = ("auth", "sign")
            names = [f"{kind}-{number}" for kind in kinds for number in self.generations(kind)]
            authorities = {name: self._authority(name) for name in names}
            office = Office(authorities=authorities, today=now.astimezone(UTC).date(), ledger=self.ledger())
            card = office.enter(event, person, at=now)
            path = None
            if card is not None:
                path = self._root / "cards" / f"{resident}.json"
                atomicfile.write(path, to_json(card))
            ledger.write(self._root / "ca" / "ledger.json", office.ledger)
        return path

    def predecessor(self, issuer: str, serial: int) -> dict[str, str] | None:
        """J-LIS's old-new mapping: the certificate in whose place this one was issued. `issuer` is the hex SHA-256 of
        the authority's key. Raises KeyError for a certificate that was never issued.
        """
        names = self._names_by_key()
        books = self.ledger()
        if books.find(names[issuer], serial) is None:
            raise KeyError(serial)
        earlier = books.predecessor(names[issuer], serial)
        if earlier is None:
            return None
        key = next(key for key, name in names.items() if name == earlier.authority)
        return {"issuer_key_hash": key, "serial": f"{earlier.serial:x}"}

    def correspond(self, one: tuple[str, int], other: tuple[str, int], *, now: datetime) -> bool:
        """Are both certificates, by issuer's key and serial, one person's and in force? Raises KeyError as above."""
        names, books = self._names_by_key(), self.ledger()
        found = [books.find(names[issuer], serial) for issuer, serial in (one, other)]
        if None in found:
            raise KeyError("never issued")
        in_force = [entry for entry in found if entry and entry.revoked_at is None and now <= entry.not_after]
        return len(in_force) == 2 and in_force[0].resident == in_force[1].resident

    # --- inside -------------------------------------------------------------------------------------------------------

    def _names_by_key(self) -> dict[str, str]:
        return {
            issuer_key_hash(x509.load_der_x509_certificate(path.read_bytes())): path.stem
            for path in (self._root / "ca").glob("*-*.cer")
            if not path.stem.endswith("-ocsp")
        }

    def _file(self, authority: Authority, municipality: Municipality) -> Path:
        crls = self._root / "world" / "crl"
        return crls / authority.kind / str(authority.generation) / f"{municipality.code}.crl"

    def _revoked(self, authority: Authority, municipality: Municipality, now: datetime) -> list[Issued]:
        partition = self.ledger().of_partition(authority.name, municipality.code)
        return [entry for entry in partition if entry.revoked_at is not None and entry.revoked_at <= now]

    def _published(
        self, authority: Authority, municipality: Municipality, now: datetime
    ) -> tuple[x509.CertificateRevocationList, list[Issued]]:
        path = self._file(authority, municipality)
        revoked = self._revoked(authority, municipality, now)
        published = _load(path)
        if published is None or not _serves(published, authority, revoked, now):
            # The clock is the floor, so that the number rises even where the published lists were thrown away.
            number = max(int(now.timestamp()), 1 + (0 if published is None else _number(published)))
            published = build_crl(authority, municipality, revoked=revoked, number=number, at=now)
            atomicfile.write(path, published.public_bytes(Encoding.DER))
        return published, revoked

    def _troubled(
        self,
        published: x509.CertificateRevocationList,
        authority: Authority,
        municipality: Municipality,
        revoked: list[Issued],
        now: datetime,
    ) -> bytes:
        """What is handed out in place of the published list, which stays as it is."""
        number, at, indirect = _number(published) + 1, now, False
        match self.trouble().crl:
            case "stale":
                at = now - CRL_LIFE - timedelta(hours=10)
            case "truncated":
                der = published.public_bytes(Encoding.DER)
                return der[: len(der) * 2 // 3]
            case "wrong-key":
                authority = replace(authority, private_key=authority.responder_key)
            case "rolled-back":
                number, revoked = 1, []
            case "shrunk":
                revoked = []
            case "grown":
                revoked = revoked + [_invented(authority, municipality, now) for _ in range(GROWTH)]
            case "indirect":
                indirect = True
            case _:
                return published.public_bytes(Encoding.DER)
        return build_crl(
            authority, municipality, revoked=revoked, number=number, at=at, indirect=indirect
        ).public_bytes(Encoding.DER)

    def _authority(self, name: str) -> Authority:
        """Loading a key costs milliseconds, so keys are kept until the world is made anew."""
        made = (self._root / "ca" / "generation.json").stat().st_mtime_ns
        if made != self._seen:
            self._authorities.clear()
            self._seen = made
        if name not in self._authorities:
            self._authorities[name] = load_authority(self._root / "ca", name)
        return self._authorities[name]


def _load(path: Path) -> x509.CertificateRevocationList | None:
    try:
        return x509.load_der_x509_crl(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def _number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _serves(crl: x509.CertificateRevocationList, authority: Authority, revoked: list[Issued], now: datetime) -> bool:
    age = now - crl.last_update_utc
    if not timedelta(seconds=-1) < age < CRL_AGE:  # a list from the future is a clock set back, and is replaced
        return False
    if not crl.is_signature_valid(authority.private_key.public_key()):
        return False
    return {row.serial_number: reason_of(row) for row in crl} == {entry.serial: crl_reason(entry) for entry in revoked}


def _invented(authority: Authority, municipality: Municipality, now: datetime) -> Issued:
    """An entry that belongs to nobody."""
    day = now.replace(microsecond=0)
    return Issued(
        resident="",
        kind=authority.kind,
        authority=authority.name,
        serial=0x7F000000 + secrets.randbelow(0x00FFFFFF),
        municipality=municipality.code,
        not_before=day,
        not_after=day,
        current=False,
        card="",
        revoked_at=day,
        reason="unspecified",
    )
