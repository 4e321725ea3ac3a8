"""Who sealed a document, and was that proved: the path of one certificate at one moment (RFC 5280 §6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from asn1crypto import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import load_der_x509_certificate
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.errors import (
    DisallowedAlgorithmError,
    ExpiredError,
    InsufficientRevinfoError,
    NotYetValidError,
    RevokedError,
)

from broker.delegation.faults import Fault
from broker.jose import rsa_weakness

MAX_INTERMEDIATES: Final = 16
MAX_OF_ONE_SUBJECT: Final = 2
"""Of more look-alikes the path builder would try every order."""
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_OTHER_PURPOSES: Final = frozenset({"time_stamping", "ocsp_signing", "server_auth", "code_signing"})
_TOLERANCE: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What paths are built from and proved with: DER. `anchors` are the caller's, the rest is the document's own."""

    anchors: tuple[bytes, ...] = field(repr=False)
    certificates: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    ocsps: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """`chain` leaf first, empty where there is none; `faults` say why, or what else is wrong with it."""

    chain: tuple[x509.Certificate, ...]
    faults: frozenset[Fault]


async def find_path(leaf: x509.Certificate, evidence: Evidence, *, moment: datetime) -> Path:
    """The path of `leaf` at `moment`; outside the leaf's dates that of its nearest valid moment, and the fault."""
    faults: set[Fault] = set()
    if moment > leaf.not_valid_after:
        faults.add(Fault.EXPIRED)
        moment = leaf.not_valid_after
    elif moment < leaf.not_valid_before:
        faults.add(Fault.NOT_YET_VALID)
        moment = leaf.not_valid_before
    chain: tuple[x509.Certificate, ...] = ()
    if leaf.dump() in evidence.anchors:
        chain = (leaf,)  # the caller trusts this very certificate
    else:
        try:
            chain = await _built(leaf, evidence, moment)
        except RevokedError:
            faults.add(Fault.REVOKED)
        except InsufficientRevinfoError:
            faults.add(Fault.REVOCATION_UNKNOWN)
        except (ExpiredError, NotYetValidError):
            faults.add(Fault.AUTHORITY_EXPIRED)
        except DisallowedAlgorithmError:
            faults.add(Fault.ALGORITHM_WEAK)
        except Exception:
            faults.add(Fault.UNTRUSTED)
    if not all(map(_is_strong, chain or (leaf,))):
        faults.add(Fault.ALGORITHM_WEAK)
    return Path(chain=chain, faults=frozenset(faults))


async def _built(leaf: x509.Certificate, evidence: Evidence, moment: datetime) -> tuple[x509.Certificate, ...]:
    anchors = [x509.Certificate.load(anchor, strict=True) for anchor in evidence.anchors]
    between = [x509.Certificate.load(each, strict=True) for each in evidence.certificates if each != leaf.dump()]
    subjects = Counter(each.subject.dump() for each in between)
    if len(between) > MAX_INTERMEDIATES or max(subjects.values(), default=0) > MAX_OF_ONE_SUBJECT:
        raise ValueError("more certificates than a path is built from")
    roots = [each for each in anchors if each.not_valid_before <= moment <= each.not_valid_after]
    if not roots:  # the library would take none for "whatever the system trusts"
        raise ValueError("no anchor is in force")
    context = ValidationContext(
        # else constraints and dates that stand in the anchor itself are not looked at
        trust_roots=[CertTrustAnchor(each, derive_default_quals_from_cert=True) for each in roots],
        moment=moment,
        allow_fetching=False,
        crls=list(evidence.crls),
        ocsps=list(evidence.ocsps),
        # a certificate that names a source of revocation needs proof from one; one that names none has none
        revocation_mode="hard-fail",
        time_tolerance=_TOLERANCE,
        weak_hash_algos={"md2", "md5", "sha1"},
    )
    path = await CertificateValidator(
        leaf, intermediate_certs=between, validation_context=context
    ).async_validate_path()
    return tuple(reversed(list(path.iter_certs(include_root=True))))


def may_sign_documents(leaf: x509.Certificate) -> bool:
    """Whether keyUsage, where there is one, has nonRepudiation, and the purposes are not another trade's alone.

    The card's authentication certificate has digitalSignature only: it must never sign a document.
    """
    usage, purposes = leaf.key_usage_value, leaf.extended_key_usage_value
    if usage is not None and "non_repudiation" not in usage.native:
        return False
    return purposes is None or not set(purposes.native) <= _OTHER_PURPOSES


def may_stamp(leaf: x509.Certificate) -> bool:
    """RFC 3161 §2.3: the purpose is time-stamping alone, and critical."""
    purposes: Any = leaf.extended_key_usage_value
    critical = any(
        each["extn_id"].native == "extended_key_usage" and each["critical"].native
        for each in leaf["tbs_certificate"]["extensions"]
    )
    return critical and purposes is not None and purposes.native == ["time_stamping"]


def in_force(chain: Sequence[x509.Certificate], at: datetime) -> bool:
    """Whether every certificate of a path is within its dates at `at`."""
    return all(each.not_valid_before <= at <= each.not_valid_after for each in chain)


def _is_strong(certificate: x509.Certificate) -> bool:
    try:
        key = load_der_x509_certificate(certificate.dump()).public_key()
    except Exception:
        return False
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return not rsa_weakness(numbers.n, numbers.e)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return isinstance(key, ed25519.Ed25519PublicKey)


def loaded(ders: Iterable[bytes]) -> tuple[x509.Certificate, ...]:
    """Certificates read, those that cannot be left out."""
    found = []
    for each in ders:
        try:
            found.append(x509.Certificate.load(each, strict=True))
        except (ValueError, TypeError):
            continue
    return tuple(found)
