"""Is there a path from this certificate to an authority we chose (RFC 5280 §6, design 4.6)?

`cryptography`'s verifier judges signatures, dates, names and critical extensions; the profile's rules judge the
rest. The issuer is found by signature, because generations of the JPKI share one name. Revocation comes later.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from broker.errors import CertificateExpired, CertificateUntrusted
from broker.jpki.certificate import TrustedCertificate, UnverifiedCertificate, issuer_key_hash, parse
from broker.jpki.issuer import remember_issued
from broker.jpki.profile import Profile, hierarchy

MAX_INTERMEDIATES: Final = 16
"""Certificates a caller may hand over beside the leaf; more is an attack, not a chain."""

MAX_ANCHORS: Final = 64


def validate_path(
    leaf: bytes, *, anchors: Sequence[bytes], intermediates: Sequence[bytes] = (), at: datetime, profile: Profile
) -> TrustedCertificate:
    """Find a path from `leaf` (DER) to one of `anchors` (DER), valid at `at` (aware), and hold it against `profile`.

    The leaf's own dates are told apart from everything else: CertificateExpired where only they refuse,
    CertificateUntrusted for the rest, CertificateMalformed for bytes that are no certificate. Says nothing about
    revocation. Raises ValueError for a naive `at`.
    """
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    at = at.astimezone(UTC)
    certificate = parse(leaf)
    chain, in_time = find_chain(certificate, anchors=anchors, intermediates=intermediates, at=at, profile=profile)
    profile.check(chain)
    if not in_time:
        raise CertificateExpired("certificate is outside its validity period")
    issuer = chain[1].der
    remember_issued(certificate.der, issuer)
    return TrustedCertificate(
        der=certificate.der,
        issuer=issuer,
        issuer_key_hash=issuer_key_hash(issuer),
        serial=certificate.serial,
        spki=certificate.spki,
        not_before=certificate.not_before,
        not_after=certificate.not_after,
        profile=profile.name,
        kind=profile.kind,
    )


def find_chain(
    certificate: UnverifiedCertificate,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    at: datetime,
    profile: Profile,
) -> tuple[list[UnverifiedCertificate], bool]:
    """A chain, leaf first and anchor last, before any rule of the profile; and whether `at` lies in the leaf's dates.

    Outside them the chain is the one of its nearest valid moment, so that only the dates are to blame.
    Raises CertificateUntrusted, and CertificateMalformed for an anchor or intermediate that cannot be read.
    """
    trusted = _anchors(tuple(map(bytes, anchors)), profile.max_intermediates)
    if profile.policies and trusted.mixed:
        raise CertificateUntrusted("anchors of two hierarchies never mix")
    between = _reachable(trusted.certificates, intermediates) if profile.max_intermediates else []
    in_time = certificate.not_before <= at <= certificate.not_after
    if not in_time:
        at = certificate.not_after if at > certificate.not_after else certificate.not_before
    return _search(certificate, trusted, between, at), in_time


def _search(
    leaf: UnverifiedCertificate,
    trusted: _Anchors,
    intermediates: list[UnverifiedCertificate],
    at: datetime,
) -> list[UnverifiedCertificate]:
    """A chain, leaf first, that the engine accepts. Raises CertificateUntrusted."""
    try:
        verifier = trusted.policy.time(at).build_client_verifier()
        chain = verifier.verify(leaf.x509, [each.x509 for each in intermediates]).chain
    except VerificationError as error:
        raise CertificateUntrusted(f"no path to an anchor ({_first_line(error)})") from None
    except Exception as error:  # hostile bytes reach lazy parsers in the engine; whatever they raise is a refusal
        raise CertificateUntrusted(f"no path to an anchor ({type(error).__name__})") from None
    if len(chain) < 2:
        raise CertificateUntrusted("a certificate does not vouch for itself")
    known = (*trusted.certificates, *intermediates)
    return [leaf, *(_read(each, known) for each in chain[1:])]


def _read(certificate: x509.Certificate, known: Sequence[UnverifiedCertificate]) -> UnverifiedCertificate:
    for each in known:
        if each.x509 is certificate:
            return each
    return parse(certificate.public_bytes(Encoding.DER))


def _first_line(error: Exception) -> str:
    """The engine's words up to its dump of the certificate: a subject DN must not reach a log."""
    return str(error).partition("(")[0].partition("<")[0].strip()[:80]


@functools.cache
def _extension_policies(long_chains: bool) -> tuple[ExtensionPolicy, ExtensionPolicy]:
    """Which extensions the engine may meet, in authorities and in leaves; what they say is the profile's to judge."""
    any_, quiet = Criticality.AGNOSTIC, Criticality.NON_CRITICAL
    authority = (
        ExtensionPolicy.webpki_defaults_ca()
        .may_be_present(x509.CertificatePolicies, any_, None)
        .may_be_present(x509.ExtendedKeyUsage, any_, None)
    )
    leaf = (
        ExtensionPolicy.webpki_defaults_ee()
        .may_be_present(x509.SubjectAlternativeName, any_, None)
        .may_be_present(x509.CertificatePolicies, any_, None)
        .may_be_present(x509.ExtendedKeyUsage, any_, None)
    )
    if long_chains:
        # Strangers' authorities: RFC 5280 §6.1.4 (k) and (n) ask for less than the web's own rules.
        authority = authority.require_present(x509.BasicConstraints, any_, _is_ca).may_be_present(
            x509.KeyUsage, any_, _may_sign_certificates
        )
    else:
        # Real leaves seem to carry no authorityKeyIdentifier; the profile judges one that is there.
        leaf = leaf.may_be_present(x509.AuthorityKeyIdentifier, quiet, None).require_present(x509.KeyUsage, any_, None)
    return authority, leaf


def _is_ca(_policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("not a certification authority")


def _may_sign_certificates(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("key may not sign certificates")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchors:
    """A set of anchors, `mixed` where its hierarchies differ; `policy` lacks only the time."""

    certificates: tuple[UnverifiedCertificate, ...]
    mixed: bool
    policy: PolicyBuilder


@functools.lru_cache(maxsize=32)
def _anchors(ders: tuple[bytes, ...], max_intermediates: int) -> _Anchors:
    """Read once per set: the same few anchors judge every login."""
    if not 0 < len(ders) <= MAX_ANCHORS:
        raise CertificateUntrusted("no anchors, or too many")
    certificates = tuple(parse(der) for der in ders)
    ca_policy, leaf_policy = _extension_policies(max_intermediates > 0)
    policy = (
        PolicyBuilder()
        .store(Store([each.x509 for each in certificates]))
        .max_chain_depth(max_intermediates)
        .extension_policies(ca_policy=ca_policy, ee_policy=leaf_policy)
    )
    return _Anchors(certificates=certificates, mixed=len({hierarchy(each) for each in certificates}) > 1, policy=policy)


def _reachable(trusted: tuple[UnverifiedCertificate, ...], offered: Sequence[bytes]) -> list[UnverifiedCertificate]:
    """The offered certificates that chain to an anchor, each signature tried once.

    The engine searches depth first and would try every order of a stranger's look-alikes; of what never reaches
    an anchor it now sees nothing. Raises CertificateUntrusted, and CertificateMalformed for one that cannot be read.
    """
    if len(offered) > MAX_INTERMEDIATES:
        raise CertificateUntrusted("too many intermediate certificates")
    waiting = [parse(der) for der in dict.fromkeys(bytes(der) for der in offered)]
    reached: list[UnverifiedCertificate] = []
    issuers = list(trusted)
    while issuers:
        issuer = issuers.pop()
        children = [certificate for certificate in waiting if _issued(certificate, issuer)]
        waiting = [certificate for certificate in waiting if not any(certificate is each for each in children)]
        reached += children
        issuers += children
    return reached


def _issued(certificate: UnverifiedCertificate, issuer: UnverifiedCertificate) -> bool:
    try:
        certificate.x509.verify_directly_issued_by(issuer.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
