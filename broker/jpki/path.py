"""Is there a path from this certificate to an authority we chose (RFC 5280 §6, design 4.6)?

`cryptography`'s verifier judges signatures, dates, names and critical extensions; the profile's rules judge the
rest. The issuer is found by signature, because generations of the JPKI share one name. Revocation comes later.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
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
    issuer = _der(chain[1])
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


@functools.lru_cache(maxsize=MAX_ANCHORS)
def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def find_chain(
    certificate: UnverifiedCertificate,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    at: datetime,
    profile: Profile,
) -> tuple[list[x509.Certificate], bool]:
    """A chain, leaf first and anchor last, before any rule of the profile; and whether `at` lies in the leaf's dates.

    Outside them the chain is the one of its nearest valid moment, so that only the dates are to blame.
    Raises CertificateUntrusted, and CertificateMalformed for an anchor or intermediate that cannot be read.
    """
    trusted, store = _anchors(tuple(bytes(anchor) for anchor in anchors))
    if profile.policies and len({hierarchy(anchor) for anchor in trusted}) > 1:
        raise CertificateUntrusted("anchors of two hierarchies never mix")
    between = _reachable(trusted, intermediates) if profile.max_intermediates else []
    if certificate.not_before <= at <= certificate.not_after:
        return _search(certificate, store, between, at, profile), True
    then = certificate.not_after if at > certificate.not_after else certificate.not_before
    return _search(certificate, store, between, then, profile), False


def _search(
    leaf: UnverifiedCertificate,
    store: Store,
    intermediates: list[x509.Certificate],
    at: datetime,
    profile: Profile,
) -> list[x509.Certificate]:
    """A chain, leaf first, that the engine accepts. Raises CertificateUntrusted."""
    ca_policy, leaf_policy = _extension_policies(profile.max_intermediates > 0)
    try:
        verifier = (
            PolicyBuilder()
            .store(store)
            .time(at)
            .max_chain_depth(profile.max_intermediates)
            .extension_policies(ca_policy=ca_policy, ee_policy=leaf_policy)
            .build_client_verifier()
        )
        chain = verifier.verify(leaf.x509, intermediates).chain
    except VerificationError as error:
        raise CertificateUntrusted(f"no path to an anchor ({_first_line(error)})") from None
    except Exception as error:  # hostile bytes reach lazy parsers in the engine; whatever they raise is a refusal
        raise CertificateUntrusted(f"no path to an anchor ({type(error).__name__})") from None
    if len(chain) < 2:
        raise CertificateUntrusted("a certificate does not vouch for itself")
    return chain


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


@functools.lru_cache(maxsize=32)
def _anchors(ders: tuple[bytes, ...]) -> tuple[tuple[x509.Certificate, ...], Store]:
    """Parsed once per set: the same few anchors judge every login."""
    if not 0 < len(ders) <= MAX_ANCHORS:
        raise CertificateUntrusted("no anchors, or too many")
    trusted = tuple(parse(der).x509 for der in ders)
    return trusted, Store(list(trusted))


def _reachable(trusted: tuple[x509.Certificate, ...], offered: Sequence[bytes]) -> list[x509.Certificate]:
    """The offered certificates that chain to an anchor, each signature tried once.

    The engine searches depth first and would try every order of a stranger's look-alikes; of what never reaches
    an anchor it now sees nothing. Raises CertificateUntrusted, and CertificateMalformed for one that cannot be read.
    """
    if len(offered) > MAX_INTERMEDIATES:
        raise CertificateUntrusted("too many intermediate certificates")
    waiting = [parse(der).x509 for der in dict.fromkeys(bytes(der) for der in offered)]
    reached: list[x509.Certificate] = []
    issuers = list(trusted)
    while issuers:
        issuer = issuers.pop()
        children = [certificate for certificate in waiting if _issued(certificate, issuer)]
        waiting = [certificate for certificate in waiting if certificate not in children]
        reached += children
        issuers += children
    return reached


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True
