"""The authorities at work: they publish CRLs, answer OCSP and revoke. One object serves all threads."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import atomicfile, ledger
from sandbox.ca import Authority, Kind, Municipality
from sandbox.generate import load_authority
from sandbox.ledger import Issued, Ledger
from sandbox.residents import RESIDENTS_FILE, load_residents
from sandbox.revocation import answer_ocsp, build_crl, crl_reason

CRL_AGE: Final = timedelta(hours=6)  # an older list is made anew when it is asked for
GENERATIONS: Final = (1, 2)


class Registry:
    """Works on the files that `sandbox.generate` wrote under `root`, and follows them when they are made anew."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._seen = 0  # modification time of generation.json, ns, that the cached keys belong to
        self._authorities: dict[str, Authority] = {}
        self.municipalities: dict[str, Municipality] = {
            municipality.code: municipality
            for municipality in load_residents(RESIDENTS_FILE.read_bytes()).municipalities
        }

    def ledger(self) -> Ledger:
        """The books as they stand. Raises OSError, ValueError."""
        return ledger.read(self._root / "ca" / "ledger.json")

    def certificate(self, name: str) -> bytes | None:
        """A root certificate (DER) by the authority's name, None where there is no such authority."""
        known = {path.stem: path for path in (self._root / "ca").glob("*.cer")}
        return known[name].read_bytes() if name in known else None

    def crl(self, kind: Kind, generation: int, municipality: Municipality, *, now: datetime) -> bytes:
        """The partition's CRL (DER): the published one while it is younger than six hours and tells today's truth."""
        path = self._root / "world" / "crl" / kind / str(generation) / f"{municipality.code}.crl"
        with self._lock:
            authority = self._authority(f"{kind}-{generation}")
            revoked = [
                entry
                for entry in self.ledger().of_partition(authority.name, municipality.code)
                if entry.revoked_at is not None
            ]
            published = _load(path)
            if published is not None and _serves(published, authority, revoked, now):
                return published.public_bytes(Encoding.DER)
            # The clock is the floor, so that the number rises even where the published lists were thrown away.
            number = max(int(now.timestamp()), 1 + _number(published))
            crl = build_crl(authority, municipality, revoked=revoked, number=number, at=now)
            atomicfile.write(path, crl.public_bytes(Encoding.DER))
            return crl.public_bytes(Encoding.DER)

    def ocsp(self, kind: Kind, request: bytes, *, now: datetime) -> bytes:
        """The OCSP response (DER) of an authority, whichever of its generations is asked about."""
        with self._lock:
            authorities = [self._authority(f"{kind}-{generation}") for generation in GENERATIONS]
        return answer_ocsp(request, authorities=authorities, ledger=self.ledger(), at=now)

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


def _number(crl: x509.CertificateRevocationList | None) -> int:
    return 0 if crl is None else crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _serves(crl: x509.CertificateRevocationList, authority: Authority, revoked: list[Issued], now: datetime) -> bool:
    age = now - crl.last_update_utc
    if not timedelta(seconds=-1) < age < CRL_AGE:  # a list from the future is a clock set back, and is replaced
        return False
    if not crl.is_signature_valid(authority.private_key.public_key()):
        return False
    return {row.serial_number: _reason(row) for row in crl} == {entry.serial: crl_reason(entry) for entry in revoked}


def _reason(row: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    try:
        return row.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return None
