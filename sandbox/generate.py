"""Make the outside world's files: authorities, certificates, cards, and where verifiers find the revocation lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
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

from sandbox import atomicfile, ca, hpki, ledger, registrar, seals
from sandbox.ca import Authority, Kind
from sandbox.cards import index_document, to_json
from sandbox.office import Office, keys_needed
from sandbox.residents import RESIDENTS_FILE, Population, Resident, load_residents

VERSION: Final = 8  # raise it when the shape of certificates or files changes: everything is made anew
HPKI_SOURCES: Final = "hpki-crl-sources.json"
WORLD_URL: Final = "http://127.0.0.1:8010"
RENEW_BEFORE: Final = timedelta(days=30)  # a world this close to the first expiry that matters is made anew

_GENERATIONS: Final = ((1, -7), (2, -3))  # generation, years from now to its beginning; each lasts ten years
_CA_YEARS: Final = 10
_FOLDERS: Final = ("ca", "cards", "corporations")


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
    def phone_anchors(self) -> Path:
        """PEM roots of the authority for phones; a verifier that accepts phones is given them beside `anchors`."""
        return self.root / "ca" / "phone-auth-anchors.pem"

    @property
    def healthcare_anchors(self) -> Path:
        """PEM root of the healthcare PKI (HPKI), which the sandbox's broker trusts for logins of doctors alone."""
        return self.root / "ca" / "hpki-anchors.pem"

    @property
    def healthcare_authorities(self) -> Path:
        """PEM authority below it that issues HPKI certificates for authentication."""
        return self.root / "ca" / "hpki-authorities.pem"

    @property
    def healthcare_sources(self) -> Path:
        """JSON list of where the lists of that root and authority are."""
        return self.root / "ca" / HPKI_SOURCES

    @property
    def seal_anchors(self) -> Path:
        """PEM root of the authorities of sealed documents and of time stamps."""
        return self.root / "ca" / "seal-anchors.pem"

    @property
    def registrar_anchors(self) -> Path:
        """PEM root of the 商業登記 registrar, who states corporations."""
        return self.root / "ca" / registrar.ANCHORS

    @property
    def corporations(self) -> Path:
        """The folder of what representatives sign with: `<resident>.cert.pem` and `<resident>.key.pem`."""
        return self.root / "corporations"

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
            path.stem: load_authority(path.parent, path.stem)
            for path in sorted((self.root / "ca").glob("*-*.cer"))
            if not path.stem.endswith("-ocsp")
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
        lists = to_json(_healthcare_sources(world, url))
        if not world.healthcare_sources.exists() or world.healthcare_sources.read_bytes() != lists:
            atomicfile.write(world.healthcare_sources, lists)
    return world


def load_authority(folder: Path, name: str) -> Authority:
    """Read an authority that `generate` wrote. Raises OSError, ValueError, and TypeError for a key that is not RSA."""
    foreign = name.startswith("foreign-")
    word, _, generation = name.removeprefix("foreign-").rpartition("-")
    kind = next((known for known in ca.KINDS if known == word), None)
    if kind is None:
        raise ValueError(f"not an authority: {name!r}")
    return Authority(
        kind=kind,
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
    ends += [
        x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        for path in (root / "corporations").glob("*.cert.pem")
    ]
    document = {
        "version": VERSION,
        "residents": hashlib.sha256(source).hexdigest(),
        "usable_until": min(ends).isoformat(),
        "files": sorted(str(path.relative_to(root)) for name in _FOLDERS for path in _files(root / name)),
    }
    atomicfile.write(root / "ca" / "generation.json", to_json(document))


def _files(folder: Path) -> list[Path]:
    return [
        p
        for p in folder.iterdir()
        if p.is_file() and not p.name.startswith(".") and p.name not in {"crl-sources.json", HPKI_SOURCES}
    ]


def _make(root: Path, population: Population, today: date) -> None:
    folder = root / "ca"
    (folder / "generation.json").unlink(missing_ok=True)
    for stale in (
        *folder.glob("*.cer"),
        *folder.glob("*.key"),
        *(root / "cards").glob("*.json"),
        *(root / "corporations").glob("*.pem"),
    ):
        stale.unlink()
    plan = _plan()
    represented = [resident for resident in population.residents if resident.company_number is not None]
    of_residents = sum(keys_needed(resident) for resident in population.residents)
    keys = iter(ca.new_private_keys(2 * len(plan) + hpki.KEYS_NEEDED + of_residents + 1 + len(represented)))
    authorities = {authority.name: authority for authority in (_establish(row, keys, today) for row in plan)}
    for authority in authorities.values():
        _keep(folder, authority)
    for kind in ca.KINDS:
        _write_anchors(folder, kind)
    healthcare = hpki.establish(keys, today)
    _keep_healthcare(folder, healthcare)
    seals.keep(folder, seals.establish(today=today))
    office = Office(authorities=authorities, today=today)
    for resident in population.residents:
        if resident.kind == "hpki":
            cards = {resident.name: hpki.make_card(healthcare, resident, keys, today)}
        else:
            cards = office.make_cards(resident, keys)
        for name, document in cards.items():
            atomicfile.write(root / "cards" / f"{name}.json", to_json(document))
    atomicfile.write(root / "cards" / "index.json", to_json(index_document(population.residents)))
    _register_corporations(root, represented, keys, today)
    ledger.write(folder / "ledger.json", office.ledger)


_Row = tuple[Kind, int, int, str]
"""An authority to be: kind, generation, years from now to its beginning, organization."""


def _plan() -> list[_Row]:
    plan: list[_Row] = [
        (kind, generation, years, ca.TEST_ORGANIZATION)
        for kind in ("auth", "sign")
        for generation, years in _GENERATIONS
    ]
    plan.append(("phone-auth", 1, -2, ca.TEST_ORGANIZATION))
    plan += [("auth", 1, -7, ca.FOREIGN_ORGANIZATION), ("sign", 1, -7, ca.FOREIGN_ORGANIZATION)]
    return plan


def _establish(row: _Row, keys: Iterator[rsa.RSAPrivateKey], today: date) -> Authority:
    kind, generation, years, organization = row
    return ca.establish(
        kind,
        generation=generation,
        begins=ca.years_from(today, years) - timedelta(days=0 if years else 2),
        years=_CA_YEARS,
        private_key=next(keys),
        responder_key=next(keys),
        organization=organization,
    )


def _keep(folder: Path, authority: Authority) -> None:
    atomicfile.write(folder / f"{authority.name}.cer", authority.certificate.public_bytes(Encoding.DER))
    atomicfile.write(folder / f"{authority.name}.key", _key_pem(authority.private_key))
    atomicfile.write(folder / f"{authority.name}-ocsp.cer", authority.responder_certificate.public_bytes(Encoding.DER))
    atomicfile.write(folder / f"{authority.name}-ocsp.key", _key_pem(authority.responder_key))


def _keep_healthcare(folder: Path, healthcare: hpki.HealthcarePKI) -> None:
    for authority in healthcare.authorities:
        atomicfile.write(folder / f"{authority.name}.cer", authority.certificate.public_bytes(Encoding.DER))
        atomicfile.write(folder / f"{authority.name}.key", _key_pem(authority.private_key))
    atomicfile.write(folder / "hpki-anchors.pem", healthcare.root.certificate.public_bytes(Encoding.PEM))
    issuer = healthcare.issuers["auth"].certificate
    atomicfile.write(folder / "hpki-authorities.pem", issuer.public_bytes(Encoding.PEM))


def _register_corporations(
    root: Path, represented: Iterable[Resident], keys: Iterator[rsa.RSAPrivateKey], today: date
) -> None:
    """The registrar, and a certificate with its key for each representative."""
    issuer = registrar.establish(next(keys), today=today)
    registrar.keep(root / "ca", issuer)
    for resident in represented:
        key = next(keys)
        certificate = issuer.issue(registrar.corporation_of(resident), key.public_key(), today=today)
        registrar.hand_out(root / "corporations", resident.name, certificate, key)


def _write_anchors(folder: Path, kind: Kind) -> None:
    """Every generation there is, oldest first. The 利用者証明用 file is the one that verifiers are given."""
    roots = [
        x509.load_der_x509_certificate((folder / f"{kind}-{generation}.cer").read_bytes())
        for generation in generations(folder, kind)
    ]
    name = "anchors.pem" if kind == "auth" else f"{kind}-anchors.pem"
    atomicfile.write(folder / name, b"".join(root_ca.public_bytes(Encoding.PEM) for root_ca in roots))


def generations(folder: Path, kind: Kind) -> tuple[int, ...]:
    """Which generations of an authority there are in a `ca` folder, ascending."""
    numbers = (path.stem.removeprefix(f"{kind}-") for path in folder.glob(f"{kind}-*.cer"))
    return tuple(sorted(int(number) for number in numbers if number.isdigit()))


def roll_over(root: Path, kind: Kind, now: datetime) -> int:
    """A new generation of an authority: the same name, another key. Its number.

    From now on the office issues under it; certificates of the older ones stay good. Verifiers must be given the new
    anchors and CRL sources, as in life: the sandbox's broker reads them at its start. Raises OSError.
    """
    folder = root / "ca"
    with atomicfile.exclusive(folder / ".lock"):
        generation = max(generations(folder, kind)) + 1
        keys = iter(ca.new_private_keys(2))
        _keep(folder, _establish((kind, generation, 0, ca.TEST_ORGANIZATION), keys, now.astimezone(UTC).date()))
        _write_anchors(folder, kind)
        seal = json.loads((folder / "generation.json").read_bytes())
        seal["files"] = sorted({*seal["files"], *(f"ca/{path.name}" for path in _files(folder))})
        atomicfile.write(folder / "generation.json", to_json(seal))
        world = World(root=root, made_because=None)
        url = json.loads(world.crl_sources.read_bytes())[0]["url"].partition("/crl/")[0]
        population = load_residents(RESIDENTS_FILE.read_bytes())
        atomicfile.write(world.crl_sources, to_json(_crl_sources(world, population, url)))
    return generation


def _crl_sources(world: World, population: Population, url: str) -> list[dict[str, str]]:
    sources = []
    folder = world.root / "ca"
    for kind, generation in [(each, number) for each in ca.KINDS for number in generations(folder, each)]:
        certificate = x509.load_der_x509_certificate((folder / f"{kind}-{generation}.cer").read_bytes())
        for municipality in population.municipalities:
            point = ca.distribution_point(kind, municipality)
            sources.append(
                {
                    "distribution_point": point.rfc4514_string(),
                    "issuer_key_hash": issuer_key_hash(certificate),
                    "url": f"{url}/crl/{kind}/{generation}/{municipality.code}.crl",
                }
            )
    return sources


def _healthcare_sources(world: World, url: str) -> list[dict[str, str]]:
    """The lists are whole, so that what a distribution point is called serves people alone."""
    folder = world.root / "ca"
    return [
        {
            "distribution_point": hpki.list_name(name),
            "issuer_key_hash": issuer_key_hash(x509.load_der_x509_certificate((folder / f"{name}.cer").read_bytes())),
            "url": f"{url}/crl/hpki/{name}.crl",
        }
        for name in hpki.LISTERS
    ]


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(path.read_bytes(), None, unsafe_skip_rsa_key_validation=True)  # this world made it
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"not an RSA key: {path.name}")
    return key
