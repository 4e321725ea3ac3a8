"""What a certificate must be for a purpose: tables of rules, each with its source.

`path` has already found a chain of valid signatures, dates and critical extensions when these run. A rule gets
the whole chain and raises CertificateUntrusted through `refuse`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from broker.errors import CertificateUntrusted
from broker.jose import rsa_weakness
from broker.jpki.certificate import UnverifiedCertificate, parse

Chain = Sequence[UnverifiedCertificate]
"""Leaf first, anchor last; two certificates or more."""

Check = Callable[["Profile", Chain], None]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing a certificate must be: its name (in errors and tests), its source, the check."""

    name: str
    source: str
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A purpose. `policies` gives the one certificate policy per hierarchy (the anchor's O); empty means any anchor.

    `max_intermediates` counts CA certificates between leaf and anchor. `kind` is what holds the key.
    """

    name: str
    kind: str
    rules: tuple[Rule, ...] = field(repr=False)
    policies: dict[str, ObjectIdentifier] = field(default_factory=dict)
    key_purposes: frozenset[ObjectIdentifier] = frozenset()
    max_intermediates: int = 0

    def check(self, chain: Chain) -> None:
        """Apply every rule to `chain`. Raises CertificateUntrusted naming the first that fails."""
        for rule in self.rules:
            try:
                rule.check(self, chain)
            except CertificateUntrusted as error:
                raise CertificateUntrusted(f"{rule.name}: {error} ({rule.source})") from None


def hierarchy(anchor: UnverifiedCertificate) -> str | None:
    """The anchor's organisation: "JPKI" is production, "JPKI-TEST" everything that is not."""
    return _organisation(anchor.der)


@functools.lru_cache(maxsize=64)
def _organisation(certificate: bytes) -> str | None:
    """Remembers the few anchors there are: two rules ask for each login."""
    names = parse(certificate).subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if len(names) == 1 else None


def _refuse(why: str) -> NoReturn:
    raise CertificateUntrusted(why)


# --- rules -----------------------------------------------------------------------------------------------------------


def not_a_ca(_profile: Profile, chain: Chain) -> None:
    constraints = chain[0].extension(x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        _refuse("leaf is a certification authority")
    usage = chain[0].extension(x509.KeyUsage)
    if usage is not None and (usage.value.key_cert_sign or usage.value.crl_sign):
        _refuse("leaf's key may sign certificates or CRLs")


def may_sign(_profile: Profile, chain: Chain) -> None:
    usage = chain[0].extension(x509.KeyUsage)
    if usage is None or not usage.value.digital_signature:
        _refuse("keyUsage lacks digitalSignature")


def may_commit(_profile: Profile, chain: Chain) -> None:
    usage = chain[0].extension(x509.KeyUsage)
    if usage is None or not usage.value.content_commitment:
        _refuse("keyUsage lacks nonRepudiation")


def purpose_fits(profile: Profile, chain: Chain) -> None:
    purposes = chain[0].extension(x509.ExtendedKeyUsage)
    if purposes is not None and not profile.key_purposes & set(purposes.value):
        _refuse("extendedKeyUsage names another purpose")


def one_hierarchy(profile: Profile, chain: Chain) -> None:
    if hierarchy(chain[-1]) not in profile.policies:
        _refuse("anchor is not one of the JPKI")


def policy_fits(profile: Profile, chain: Chain) -> None:
    policies = chain[0].extension(x509.CertificatePolicies)
    wanted = profile.policies.get(hierarchy(chain[-1]) or "")
    if policies is None or wanted is None or [policy.policy_identifier for policy in policies.value] != [wanted]:
        _refuse("certificate policy is not this profile's in this hierarchy")


def authority_key_fits(_profile: Profile, chain: Chain) -> None:
    named, own = chain[0].extension(x509.AuthorityKeyIdentifier), chain[1].extension(x509.SubjectKeyIdentifier)
    if named is None:  # real cards seem to carry none
        return
    if own is not None and named.value.key_identifier not in (None, own.value.digest):
        _refuse("authorityKeyIdentifier names another key")
    if named.value.authority_cert_serial_number not in (None, chain[1].serial):
        _refuse("authorityKeyIdentifier names another certificate")


def strong_key(_profile: Profile, chain: Chain) -> None:
    match chain[0].key:
        case rsa.RSAPublicKey() as key:
            numbers = key.public_numbers()
            if weakness := rsa_weakness(numbers.n, numbers.e):
                _refuse(weakness)
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1() | ec.SECP384R1() | ec.SECP521R1()):
            pass
        case _:
            _refuse("key is of another kind")


def named_subjects(_profile: Profile, chain: Chain) -> None:
    # An authority without a name is the engine's to refuse: it is an empty issuer one step down.
    alternative = chain[0].extension(x509.SubjectAlternativeName)
    if not list(chain[0].subject) and (alternative is None or not alternative.critical):
        _refuse("subject is empty and subjectAltName not critical")


def issuing_keys_named(_profile: Profile, chain: Chain) -> None:
    for certificate in chain:
        named = certificate.extension(x509.AuthorityKeyIdentifier)
        if (named is None or named.value.key_identifier is None) and not _self_signed(certificate):
            _refuse("authorityKeyIdentifier is missing")
    if any(certificate.extension(x509.SubjectKeyIdentifier) is None for certificate in chain[1:]):
        _refuse("subjectKeyIdentifier is missing in a certification authority")


def _self_signed(certificate: UnverifiedCertificate) -> bool:
    try:
        certificate.x509.verify_directly_issued_by(certificate.x509)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def anchor_says_ca(_profile: Profile, chain: Chain) -> None:
    constraints = chain[-1].extension(x509.BasicConstraints)
    if constraints is None or not constraints.critical:
        _refuse("anchor's basicConstraints are not critical")


_UNJUDGED: Final = (
    ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.POLICY_MAPPINGS,
    ExtensionOID.INHIBIT_ANY_POLICY,
)
_MAX_SUBTREES: Final = 64


def only_judged_constraints(_profile: Profile, chain: Chain) -> None:
    for certificate in chain:
        if any(each.oid in _UNJUDGED for each in certificate.x509.extensions):
            _refuse("a policy constraint that is not judged here")
        constraints = certificate.extension(x509.NameConstraints)
        if constraints is None:
            continue
        if not constraints.critical:
            _refuse("name constraints are not critical")
        subtrees = [*(constraints.value.permitted_subtrees or ()), *(constraints.value.excluded_subtrees or ())]
        if len(subtrees) > _MAX_SUBTREES:
            _refuse("more name constraints than are judged here")
        if any(not isinstance(subtree, x509.DNSName | x509.IPAddress) for subtree in subtrees):
            _refuse("a name constraint that is not judged here")


# --- profiles --------------------------------------------------------------------------------------------------------

_STRONG_KEY: Final = Rule("strong-key", "RFC 7518 §3.3, CVE-2017-15361", strong_key)
_NOT_A_CA: Final = Rule("not-a-ca", "RFC 5280 §4.2.1.9", not_a_ca)
_JPKI: Final = (
    Rule("one-hierarchy", "J-LIS certificate profile; JPKI-TEST never mixes", one_hierarchy),
    Rule("policy", "RFC 5280 §4.2.1.4, J-LIS certificate profile", policy_fits),
    _NOT_A_CA,
    Rule("may-sign", "RFC 5280 §4.2.1.3", may_sign),
    Rule("purpose", "RFC 5280 §4.2.1.12", purpose_fits),
    Rule("authority-key", "RFC 5280 §4.2.1.1", authority_key_fits),
    _STRONG_KEY,
)
_ANY_PURPOSE: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE

USER_AUTHENTICATION: Final = Profile(  # 利用者証明用電子証明書
    name="user-authentication",
    kind="plastic",
    rules=_JPKI,
    policies={
        "JPKI": ObjectIdentifier("1.2.392.200149.8.5.1.3.30"),
        "JPKI-TEST": ObjectIdentifier("1.2.392.200149.8.5.1.0.30"),
    },
    key_purposes=frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, _ANY_PURPOSE}),
)

DIGITAL_SIGNATURE: Final = Profile(  # 署名用電子証明書
    name="digital-signature",
    kind="plastic",
    rules=(*_JPKI, Rule("may-commit", "RFC 5280 §4.2.1.3", may_commit)),
    policies={
        "JPKI": ObjectIdentifier("1.2.392.200149.8.5.1.1.20"),
        "JPKI-TEST": ObjectIdentifier("1.2.392.200149.8.5.1.0.20"),
    },
    key_purposes=frozenset(
        {
            ExtendedKeyUsageOID.CLIENT_AUTH,  # of no harm here: policy and nonRepudiation tell the two kinds apart
            ExtendedKeyUsageOID.EMAIL_PROTECTION,
            ObjectIdentifier("1.3.6.1.5.5.7.3.36"),  # id-kp-documentSigning, RFC 9336
            _ANY_PURPOSE,
        }
    ),
)

GENERIC: Final = Profile(  # RFC 5280 as far as the engine judges it
    name="generic",
    kind="other",
    rules=(
        _NOT_A_CA,
        Rule("anchor-says-ca", "RFC 5280 §4.2.1.9", anchor_says_ca),
        Rule("named-subjects", "RFC 5280 §4.1.2.6", named_subjects),
        Rule("issuing-keys-named", "RFC 5280 §4.2.1.1, §4.2.1.2", issuing_keys_named),
        Rule("only-judged-constraints", "RFC 5280 §4.2.1.5, §4.2.1.10, §4.2.1.11, §4.2.1.14", only_judged_constraints),
        _STRONG_KEY,
    ),
    max_intermediates=8,
)


PLASTIC: Final = "plastic"
PHONES: Final = ("android", "iphone", "phone")
"""What may hold a key beside the card; "phone" is either, where their certificates share one policy."""


def on_phone(profile: Profile, policies: Mapping[str, str], *, kind: str = "phone") -> Profile:
    """`profile` for 移動端末設備用電子証明書, which other CAs issue under policies of their own; `kind` is of PHONES.

    `policies` gives the one policy (dotted) per hierarchy. Neither these CAs nor their policies are public, so nothing
    here knows them: an operator who was told them configures both, and until then no phone's certificate is accepted.
    Raises ValueError for a hierarchy we do not know, no policy, or one that a card's certificate has.
    """
    if kind not in PHONES:
        raise ValueError("no phone")
    if not policies or not policies.keys() <= profile.policies.keys():
        raise ValueError("a policy for JPKI or JPKI-TEST, and nothing else")
    identifiers = {name: ObjectIdentifier(dotted) for name, dotted in policies.items()}
    if set(identifiers.values()) & {*USER_AUTHENTICATION.policies.values(), *DIGITAL_SIGNATURE.policies.values()}:
        raise ValueError("a phone's policy is none of a card's")
    return replace(profile, kind=kind, policies=identifiers)


def accepted_profiles(kinds: Sequence[str], phone_policies: Mapping[str, str]) -> tuple[Profile, ...]:
    """The profiles under which user-authentication certificates of these kinds (PLASTIC, PHONES) log in.

    `phone_policies` gives each accepted phone's policy (dotted), whichever hierarchy the anchors are of. Raises
    ValueError, in words for the operator, where a certificate's policy would not tell its kind.
    """
    if not kinds or len(set(kinds)) != len(kinds) or not set(kinds) <= {PLASTIC, *PHONES}:
        raise ValueError(f"accepted_kinds: of {', '.join((PLASTIC, *PHONES))}, each once, and at least one")
    if phone_policies.keys() != set(kinds) - {PLASTIC}:
        raise ValueError("phone_policies: one for each accepted phone, and for nothing else")
    if len(set(phone_policies.values())) != len(phone_policies):
        raise ValueError("phone_policies: one policy tells no two kinds apart; name the kind phone for both")
    profiles = []
    for kind in kinds:
        if kind == PLASTIC:
            profiles.append(USER_AUTHENTICATION)
            continue
        try:
            both = dict.fromkeys(USER_AUTHENTICATION.policies, phone_policies[kind])
            profiles.append(on_phone(USER_AUTHENTICATION, both, kind=kind))
        except ValueError as wrong:
            raise ValueError(f"phone_policies: {kind}: {wrong}") from None
    return tuple(profiles)


def profile_for(certificate: UnverifiedCertificate, profiles: Sequence[Profile]) -> Profile:
    """The one of `profiles` whose policy an unverified certificate states, else the first, which will refuse it.

    It chooses the table only: whichever is chosen, all its rules decide, the policy's own included.
    """
    policies = certificate.extension(x509.CertificatePolicies)
    stated = {policy.policy_identifier for policy in policies.value} if policies is not None else set()
    return next((profile for profile in profiles if stated & set(profile.policies.values())), profiles[0])
