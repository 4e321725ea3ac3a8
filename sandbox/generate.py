"""Make the outside world's files: authorities, certificates, cards, and where verifiers find the revocation lists."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from sandbox import atomicfile, ca, ledger
from sandbox.ca import Authority, Kind, issue_auth_certificate, issue_sign_certificate
from sandbox.cards import KeySlot, card_document, index_document, to_json
from sandbox.ledger import Issued, Ledger
from sandbox.residents import RESIDENTS_FILE, Issue, Population, Resident, load_residents

VERSION: Final = 1  # raise it when the shape of certificates or files changes: everything is made anew
WORLD_URL: Final = "http://127.0.0.1:8010"
RENEW_BEFORE: Final = timedelta(days=30)  # a world this close to the first expiry that matters is made anew

_GENERATIONS: Final = ((1, -7), (2, -3))  # generation, years from now to its beginning; each lasts ten years
_CA_YEARS: Final = 10
_OPAQUE: Final = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where the files of an outside world are. `made_because` says why it was (re)made now, None if it was kept."""

    root: Path
    made_because: str | None

    @property
    def cards(self) -> Path:
        """The folder of card files, `<name>.json` and `index.json`."""
        return self.root / "cards"

    @property
    def anchors(self) -> Path:
        """PEM roots of the 利用者証明用 authority, all generations."""
        return self.root / "ca" / "anchors.pem"

    @property
    def sign_anchors(self) -> Path:
        """PEM roots of the 署名用 authority, all generations."""
        return self.root / "ca" / "sign-anchors.pem"

    @property
    def crl_sources(self) -> Path:
        """JSON list that maps a distribution point and an issuer key to the URL of a CRL."""
        return self.root / "ca" / "crl-sources.json"

    @property
    def ledger(self) -> Path:
        """The authorities' books."""
        return self.root / "ca" / "ledger.json"

    def card(self, resident: str) -> Path:
        """The card file of a resident."""
        return self.cards / f"{resident}.json"

    def authorities(self) -> dict[str, Authority]:
        """All authorities by name, keys included; `foreign-auth-1` and `foreign-sign-1` are not in the anchors."""
        return {
            path.stem: load_authority(path.parent, path.stem) for path in sorted((self.root / "ca").glob("*-?.cer"))
        }


def generate(root: Path, now: datetime, *, url: str = WORLD_URL, residents: bytes | None = None) -> World:
    """Make the world under `root` (the `.sandbox` folder), or keep the one that is there.

    It is made anew only where the format version or the residents' file changed, or a certificate that should be
    valid ends within 30 days of `now`; card PIN counters and revocations then start afresh. `url` is the base of the
    outside world's addresses; a change of it rewrites the list of CRL sources only. Safe against a second process
    doing the same, and against being killed half-way. Raises ValueError for a bad residents file, OSError.
    """
    if now.tzinfo is None:
        raise ValueError("now must be an aware time")
    source = RESIDENTS_FILE.read_bytes() if residents is None else residents
    population = load_residents(source)
    with atomicfile.exclusive(root / "ca" / ".lock"):
        reason = _reason_to_make(root, source, now)
        if reason is not None:
            _make(root, population, now.astimezone(UTC).date())
            _seal(root, source, now)
        world = World(root=root, made_because=reason)
        sources = to_json(_crl_sources(world, population, url))
        if not world.crl_sources.exists() or world.crl_sources.read_bytes() != sources:
            atomicfile.write(world.crl_sources, sources)
    return world


def load_authority(folder: Path, name: str) -> Authority:
    """Read an authority that `generate` wrote. Raises OSError, ValueError, and TypeError for a key that is not RSA."""
    foreign = name.startswith("foreign-")
    kind, _, generation = name.removeprefix("foreign-").partition("-")
    if kind not in ("auth", "sign"):
        raise ValueError(f"not an authority: {name!r}")
    return Authority(
        kind="auth" if kind == "auth" else "sign",
        generation=int(generation),
        organization=ca.FOREIGN_ORGANIZATION if foreign else ca.TEST_ORGANIZATION,
        certificate=x509.load_der_x509_certificate((folder / f"{name}.cer").read_bytes()),
        private_key=_load_key(folder / f"{name}.key"),
        responder_certificate=x509.load_der_x509_certificate((folder / f"{name}-ocsp.cer").read_bytes()),
        responder_key=_load_key(folder / f"{name}-ocsp.key"),
    )


def issuer_key_hash(certificate: x509.Certificate) -> str:
    """Hex SHA-256 over the DER SubjectPublicKeyInfo of an authority: its only unmistakable name."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def _reason_to_make(root: Path, source: bytes, now: datetime) -> str | None:
    try:
        seal = json.loads((root / "ca" / "generation.json").read_bytes())
        if seal["version"] != VERSION:
            return "the format version changed"
        if seal["residents"] != hashlib.sha256(source).hexdigest():
            return "the residents' file changed"
        if now + RENEW_BEFORE >= datetime.fromisoformat(seal["usable_until"]):
            return "a certificate ends within 30 days"
        missing = [name for name in seal["files"] if not (root / name).is_file()]
        return f"a file is missing: {missing[0]}" if missing else None
    except FileNotFoundError:
        return "there is none yet"
    except (ValueError, KeyError, TypeError):
        return "its generation.json cannot be read"


def _seal(root: Path, source: bytes, now: datetime) -> None:
    """Written last: without it the next start makes everything anew."""
    entries = ledger.read(root / "ca" / "ledger.json").entries
    ends = [entry.not_after for entry in entries if entry.current and entry.not_after > now]
    ends += [
        x509.load_der_x509_certificate(path.read_bytes()).not_valid_after_utc for path in (root / "ca").glob("*.cer")
    ]
    document = {
        "version": VERSION,
        "residents": hashlib.sha256(source).hexdigest(),
        "usable_until": min(ends).isoformat(),
        "files": sorted(str(path.relative_to(root)) for name in ("ca", "cards") for path in _files(root / name)),
    }
    atomicfile.write(root / "ca" / "generation.json", to_json(document))


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".") and p.name != "crl-sources.json"]


def _make(root: Path, population: Population, today: date) -> None:
    folder = root / "ca"
    (folder / "generation.json").unlink(missing_ok=True)
    for stale in (*folder.glob("*.cer"), *folder.glob("*.key"), *(root / "cards").glob("*.json")):
        stale.unlink()
    authority_keys = 4 * (len(_GENERATIONS) + 1)
    keys = ca.new_private_keys(authority_keys + 2 * len(population.residents))
    authorities = _authorities(keys[:authority_keys], today)
    for authority in authorities.values():
        atomicfile.write(folder / f"{authority.name}.cer", authority.certificate.public_bytes(Encoding.DER))
        atomicfile.write(folder / f"{authority.name}.key", _key_pem(authority.private_key))
        atomicfile.write(
            folder / f"{authority.name}-ocsp.cer", authority.responder_certificate.public_bytes(Encoding.DER)
        )
        atomicfile.write(folder / f"{authority.name}-ocsp.key", _key_pem(authority.responder_key))
    for kind, name in (("auth", "anchors.pem"), ("sign", "sign-anchors.pem")):
        roots = [authorities[f"{kind}-{generation}"].certificate for generation, _ in _GENERATIONS]
        atomicfile.write(folder / name, b"".join(root_ca.public_bytes(Encoding.PEM) for root_ca in roots))
    office = _Office(authorities=authorities, today=today)
    remaining = iter(keys[authority_keys:])
    for resident in population.residents:
        document = office.make_card(resident, auth_key=next(remaining), sign_key=next(remaining))
        atomicfile.write(root / "cards" / f"{resident.name}.json", to_json(document))
    atomicfile.write(root / "cards" / "index.json", to_json(index_document(population.residents)))
    ledger.write(folder / "ledger.json", Ledger(entries=tuple(office.entries)))


def _authorities(keys: list[rsa.RSAPrivateKey], today: date) -> dict[str, Authority]:
    plan: list[tuple[Kind, int, int, str]] = [
        (kind, generation, years, ca.TEST_ORGANIZATION)
        for kind in ("auth", "sign")
        for generation, years in _GENERATIONS
    ]
    plan += [("auth", 1, -7, ca.FOREIGN_ORGANIZATION), ("sign", 1, -7, ca.FOREIGN_ORGANIZATION)]
    remaining = iter(keys)
    made = [
        ca.establish(
            kind,
            generation=generation,
            begins=ca.years_from(today, years),
            years=_CA_YEARS,
            private_key=next(remaining),
            responder_key=next(remaining),
            organization=organization,
        )
        for kind, generation, years, organization in plan
    ]
    return {authority.name: authority for authority in made}


class _Office:
    """The counter that issues cards; it writes what it issues into the books."""

    def __init__(self, *, authorities: dict[str, Authority], today: date) -> None:
        self.entries: list[Issued] = []
        self._authorities = authorities
        self._today = today

    def make_card(
        self, resident: Resident, *, auth_key: rsa.RSAPrivateKey, sign_key: rsa.RSAPrivateKey
    ) -> dict[str, object]:
        auth, sign = KeySlot(private_key=auth_key), KeySlot(private_key=sign_key)
        if resident.auth:
            auth = self._issue(resident, "auth", auth_key)
        if resident.sign:
            sign = self._issue(resident, "sign", sign_key)
        return card_document(
            name=resident.name,
            label=resident.label,
            pin=resident.pin,
            auth=auth,
            sign=sign,
            sign_password=resident.sign_password,
            pin_tries=resident.pin_tries,
            kind=resident.kind,
        )

    def _issue(self, resident: Resident, kind: Kind, key: rsa.RSAPrivateKey) -> KeySlot:
        replaces = None
        if resident.renewed_from is not None:
            # The old certificate's key is on no card any more, so the new public key stands in for it.
            self._certificate(
                resident, kind, key.public_key(), resident.renewed_from, reason="superseded", replaces=None
            )
            replaces = len(self.entries) - 1
        reason = resident.revoked or (resident.sign_revoked if kind == "sign" else None)
        certificate = self._certificate(
            resident, kind, key.public_key(), resident.issue, reason=reason, replaces=replaces
        )
        authority = self._authority(resident, kind, resident.issue)
        return KeySlot(private_key=key, certificate=certificate, ca_certificate=authority.certificate)

    def _authority(self, resident: Resident, kind: Kind, issue: Issue) -> Authority:
        foreign = resident.hierarchy == ca.FOREIGN_ORGANIZATION
        return self._authorities[f"foreign-{kind}-1" if foreign else f"{kind}-{issue.generation}"]

    def _certificate(
        self,
        resident: Resident,
        kind: Kind,
        public_key: rsa.RSAPublicKey,
        issue: Issue,
        *,
        reason: str | None,
        replaces: int | None,
    ) -> x509.Certificate:
        authority = self._authority(resident, kind, issue)
        issued = self._today - timedelta(days=issue.days_ago)
        not_before = datetime.combine(issued, time(), tzinfo=UTC)
        not_after = ca.end_of_day_in_japan(ca.fifth_birthday(issued=issued, birth=resident.birth))
        serial = self._serial(resident, kind, authority)
        number = f"{secrets.randbelow(1000):03}"
        common_name = "".join(secrets.choice(_OPAQUE) for _ in range(14)) + resident.municipality.code + number + "A"
        superseded = reason == "superseded"
        revoked_on = self._today - timedelta(days=resident.issue.days_ago if superseded else 1)
        self.entries.append(
            Issued(
                resident=resident.name,
                kind=kind,
                authority=authority.name,
                serial=serial,
                municipality=resident.municipality.code,
                not_before=not_before,
                not_after=not_after,
                current=not superseded,
                revoked_at=None if reason is None else datetime.combine(revoked_on, time(), tzinfo=UTC),
                reason=reason,
                replaces=replaces,
            )
        )
        if kind == "auth":
            return issue_auth_certificate(
                authority,
                public_key=public_key,
                common_name=common_name,
                municipality=resident.municipality,
                serial=serial,
                not_before=not_before,
                not_after=not_after,
                authority_key_identifier=resident.aki,
                extended_key_usage=resident.eku,
            )
        return issue_sign_certificate(
            authority,
            public_key=public_key,
            common_name=common_name,
            municipality=resident.municipality,
            serial=serial,
            not_before=not_before,
            not_after=not_after,
            holder=resident.holder,
            authority_key_identifier=resident.aki,
            extended_key_usage=resident.eku,
        )

    def _serial(self, resident: Resident, kind: Kind, authority: Authority) -> int:
        """A new four-byte serial, never used by any authority, unless the resident is to share another's."""
        if kind == "auth" and resident.same_auth_serial_as is not None:
            twin = next(e for e in self.entries if e.resident == resident.same_auth_serial_as and e.kind == "auth")
            if twin.authority == authority.name:
                raise ValueError(f"{resident.name}: only another generation may give out the same serial")
            return twin.serial
        used = {entry.serial for entry in self.entries}
        while (serial := 0x01000000 + secrets.randbelow(0x7E000000)) in used:
            pass
        return serial


def _crl_sources(world: World, population: Population, url: str) -> list[dict[str, str]]:
    sources = []
    for name in (f"{kind}-{generation}" for kind in ("auth", "sign") for generation, _ in _GENERATIONS):
        certificate = x509.load_der_x509_certificate((world.root / "ca" / f"{name}.cer").read_bytes())
        kind, _, generation = name.partition("-")
        for municipality in population.municipalities:
            point = ca.distribution_point("auth" if kind == "auth" else "sign", municipality)
            sources.append(
                {
                    "distribution_point": point.rfc4514_string(),
                    "issuer_key_hash": issuer_key_hash(certificate),
                    "url": f"{url}/crl/{kind}/{generation}/{municipality.code}.crl",
                }
            )
    return sources


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"not an RSA key: {path.name}")
    return key
