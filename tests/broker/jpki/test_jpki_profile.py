"""Every rule of every profile by name: each certificate here breaks one rule and passes without it."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from broker.errors import CertificateUntrusted
from broker.jpki.certificate import parse
from broker.jpki.path import validate_path
from broker.jpki.profile import (
    DIGITAL_SIGNATURE,
    GENERIC,
    USER_AUTHENTICATION,
    accepted_profiles,
    on_phone,
    profile_for,
)
from tests.broker.jpki.jpki_authority import (
    AUTH_TEST,
    DAY,
    NOW,
    SIGN_TEST,
    Authority,
    ca_name,
    key_usage,
    policies,
    rsa_key,
)

CA = Authority(name=ca_name(unit="JPKI for digital signature"))
STRANGER = Authority(name=ca_name("Example"))
OTHER_KEY = x509.AuthorityKeyIdentifier(b"\x01" * 20, None, None)


def signing(
    *usage: str,
    authority: Authority = CA,
    policy: str = SIGN_TEST,
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    bits: int = 2048,
) -> tuple[Authority, bytes]:
    """A 署名用 certificate and its authority; `usage` replaces what the key may do."""
    names = usage or ("digital_signature", "content_commitment")
    return authority, authority.leaf(
        policy=policies(policy), usage=key_usage(*names), extra=extra, key=rsa_key(f"hanako {bits}", bits)
    )


SIGNING = {
    "one-hierarchy": signing(authority=STRANGER),
    "policy": signing(policy=AUTH_TEST),
    "not-a-ca": signing("digital_signature", "content_commitment", "crl_sign"),
    "may-sign": signing("content_commitment"),
    "may-commit": signing("digital_signature"),
    "purpose": signing(extra=((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),)),
    "authority-key": signing(extra=((OTHER_KEY, False),)),
    "strong-key": signing(bits=1024),
}


@pytest.mark.parametrize(("rule", "given"), SIGNING.items(), ids=SIGNING)
def test_signing_certificate_that_breaks_one_rule_is_refused_by_its_name(
    rule: str, given: tuple[Authority, bytes]
) -> None:
    authority, leaf = given
    with pytest.raises(CertificateUntrusted, match=f"^{rule}:"):
        validate_path(leaf, anchors=[authority.der], at=NOW, profile=DIGITAL_SIGNATURE)


# --- GENERIC ---------------------------------------------------------------------------------------------------------

KEY = ec.derive_private_key(0xA, ec.SECP256R1())
MIDDLE = ec.derive_private_key(0xB, ec.SECP256R1())
LEAF = ec.derive_private_key(0xC, ec.SECP256R1())
Extensions = dict[str, tuple[x509.ExtensionType, bool] | None]


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def certificate(
    subject: str,
    issuer: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool,
    changes: Extensions | None = None,
) -> bytes:
    """An RFC 5280 certificate; `changes` replaces an extension by name, None leaves it out."""
    extensions: Extensions = {
        "bc": (x509.BasicConstraints(ca=ca, path_length=None), True),
        "ku": (key_usage("key_cert_sign", "crl_sign") if ca else key_usage("digital_signature"), True),
        "ski": (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        "aki": (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
        **(changes or {}),
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    for extension in extensions.values():
        if extension is not None:
            builder = builder.add_extension(extension[0], critical=extension[1])
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def generic(
    *,
    root: Extensions | None = None,
    middle: Extensions | None = None,
    leaf: Extensions | None = None,
    names: tuple[str, str, str] = ("root", "middle", "leaf"),
    key: ec.EllipticCurvePrivateKey = LEAF,
) -> str:
    """The profile's name where the chain of three is accepted. Raises CertificateUntrusted."""
    top, between, bottom = names
    return validate_path(
        certificate(bottom, between, key, MIDDLE, ca=False, changes=leaf),
        anchors=[certificate(top, top, KEY, KEY, ca=True, changes=root)],
        intermediates=[certificate(between, top, MIDDLE, KEY, ca=True, changes=middle)],
        at=NOW,
        profile=GENERIC,
    ).profile


def constraints(*permitted: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=None)


DNS = constraints(x509.DNSName("example.jp"))
SAN = x509.SubjectAlternativeName([x509.DNSName("a.example.jp")])
UNJUDGED = {
    "policy constraints": (x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None), False),
    "inhibit anyPolicy": (x509.InhibitAnyPolicy(0), False),
    "policy mappings": (x509.UnrecognizedExtension(ObjectIdentifier("2.5.29.33"), bytes.fromhex("3000")), False),
    "name constraints that are not critical": (DNS, False),
    "name constraints on mail": (constraints(x509.RFC822Name("example.jp")), True),
    "65 name constraints": (constraints(*(x509.DNSName(f"{each}.jp") for each in range(65))), True),
}


def test_chain_in_the_form_of_rfc_5280_is_accepted() -> None:
    assert generic() == "generic"
    assert generic(root={"aki": None}) == "generic"  # an anchor signs itself
    assert generic(middle={"bc": (x509.BasicConstraints(ca=True, path_length=0), False)}) == "generic"
    assert generic(middle={"ku": None}) == "generic"
    assert generic(middle={"nc": (DNS, True)}, leaf={"san": (SAN, False)}) == "generic"
    assert generic(leaf={"eku": (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)}) == "generic"


def test_name_outside_its_authority_s_constraints_is_refused() -> None:
    outside = x509.SubjectAlternativeName([x509.DNSName("a.example.com")])
    with pytest.raises(CertificateUntrusted):
        generic(middle={"nc": (DNS, True)}, leaf={"san": (outside, False)})


@pytest.mark.parametrize("extension", UNJUDGED.values(), ids=UNJUDGED)
def test_constraint_that_is_not_judged_here_is_refused(extension: tuple[x509.ExtensionType, bool]) -> None:
    with pytest.raises(CertificateUntrusted, match=r"^only-judged-constraints:"):
        generic(middle={"unjudged": extension})


def test_anchor_whose_basic_constraints_are_not_critical_is_refused() -> None:
    with pytest.raises(CertificateUntrusted, match=r"^anchor-says-ca:"):
        generic(root={"bc": (x509.BasicConstraints(ca=True, path_length=None), False)})


def test_authority_without_a_name_is_refused() -> None:
    with pytest.raises(CertificateUntrusted):  # by the engine already, for the leaf's issuer is then empty
        generic(names=("root", "", "leaf"))


def test_leaf_without_a_name_needs_a_critical_alternative() -> None:
    assert generic(names=("root", "middle", ""), leaf={"san": (SAN, True)}) == "generic"
    for alternative in ({}, {"san": (SAN, False)}):
        with pytest.raises(CertificateUntrusted, match=r"^named-subjects:"):
            generic(names=("root", "middle", ""), leaf=dict(alternative))


def test_authority_that_names_no_issuing_key_is_refused() -> None:
    with pytest.raises(CertificateUntrusted, match=r"^issuing-keys-named:"):
        generic(middle={"aki": None})


def test_authority_that_does_not_name_its_own_key_is_refused() -> None:
    with pytest.raises(CertificateUntrusted):
        generic(middle={"ski": None})


def test_leaf_that_may_sign_crls_is_refused() -> None:
    with pytest.raises(CertificateUntrusted, match=r"^not-a-ca:"):
        generic(leaf={"ku": (key_usage("digital_signature", "crl_sign"), True)})


def test_key_on_a_curve_without_a_place_in_jwa_is_refused() -> None:
    with pytest.raises(CertificateUntrusted, match=r"^strong-key:"):
        generic(key=ec.derive_private_key(0xD, ec.SECP256K1()))


def test_every_rule_names_its_source_and_stands_once() -> None:
    for profile in (USER_AUTHENTICATION, DIGITAL_SIGNATURE, GENERIC):
        names = [rule.name for rule in profile.rules]
        assert len(set(names)) == len(names)
        assert all(rule.source for rule in profile.rules)


PHONE = "1.2.392.200149.8.5.99.1"


def test_phone_s_certificate_is_accepted_only_where_its_policy_was_configured() -> None:
    phones = Authority(key=rsa_key("phone ca"))
    leaf = phones.leaf(policy=policies(PHONE))
    configured = on_phone(USER_AUTHENTICATION, {"JPKI-TEST": PHONE})
    trusted = validate_path(leaf, anchors=[phones.der], at=NOW, profile=configured)
    assert (trusted.kind, trusted.profile) == ("phone", "user-authentication")
    for profile, given in ((USER_AUTHENTICATION, leaf), (configured, phones.leaf())):
        with pytest.raises(CertificateUntrusted, match=r"^policy:"):
            validate_path(given, anchors=[phones.der], at=NOW, profile=profile)


@pytest.mark.parametrize(
    "wrong", [{}, {"Example": PHONE}, {"JPKI-TEST": AUTH_TEST}, {"JPKI": SIGN_TEST}, {"JPKI": "x"}]
)
def test_phone_s_policy_is_one_of_its_own_in_a_known_hierarchy(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- each has its own words
        on_phone(USER_AUTHENTICATION, wrong)


IPHONE = "1.2.392.200149.8.5.99.2"


def test_the_policy_that_a_leaf_states_chooses_its_rules_and_no_policy_of_ours_the_first() -> None:
    phones = Authority(key=rsa_key("phone ca"))
    profiles = accepted_profiles(("plastic", "android", "iphone"), {"android": PHONE, "iphone": IPHONE})
    for policy, kind in ((PHONE, "android"), (IPHONE, "iphone"), (AUTH_TEST, "plastic"), (SIGN_TEST, "plastic")):
        assert profile_for(parse(phones.leaf(policy=policies(policy))), profiles).kind == kind


def test_a_leaf_of_two_policies_satisfies_neither_profile() -> None:
    phones = Authority(key=rsa_key("phone ca"))
    leaf = phones.leaf(policy=policies(PHONE, AUTH_TEST))
    for profile in accepted_profiles(("plastic", "android"), {"android": PHONE}):
        with pytest.raises(CertificateUntrusted, match=r"^policy:"):
            validate_path(leaf, anchors=[phones.der], at=NOW, profile=profile)


@pytest.mark.parametrize(
    ("kinds", "given", "named"),
    [
        ((), {}, "accepted_kinds"),
        (("plastic", "plastic"), {}, "accepted_kinds"),
        (("tablet",), {}, "accepted_kinds"),
        (("plastic", "android"), {}, "phone_policies"),
        (("plastic",), {"android": PHONE}, "phone_policies"),
        (("android", "iphone"), {"android": PHONE, "iphone": PHONE}, "name the kind phone"),
        (("android",), {"android": AUTH_TEST}, "android"),
        (("android",), {"android": "x"}, "android"),
    ],
)
def test_kinds_that_a_policy_would_not_tell_apart_are_refused(
    kinds: tuple[str, ...], given: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        accepted_profiles(kinds, given)
