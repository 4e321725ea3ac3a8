"""NIST's PKITS (2011) out of cryptography-vectors: paths under GENERIC, and CRLs of the certificate's own issuer.

What GENERIC does not judge it refuses: DIFFERENCES declares every valid path of the suite that is refused, with the
reason. No invalid path is accepted but those whose fault lies in a list, which the second half is about.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cryptography_vectors
import pytest
from asn1crypto import x509 as asn1_x509

from broker.errors import BrokerError
from broker.jpki.path import validate_path
from broker.jpki.profile import GENERIC
from broker.jpki.revocation import check_crl

pytestmark = pytest.mark.filterwarnings("default")  # the suite's oddities make the parser warn, as it should

PKITS = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
CERTIFICATES = {path.stem: path.read_bytes() for path in sorted((PKITS / "certs").glob("*.crt"))}
CRLS = {path.stem: path.read_bytes() for path in sorted((PKITS / "crls").glob("*.crl"))}
AT = datetime(2020, 1, 1, tzinfo=UTC)


def names() -> dict[str, tuple[str, str]]:
    parsed = {name: asn1_x509.Certificate.load(data) for name, data in CERTIFICATES.items()}
    return {name: (each.subject.hashable, each.issuer.hashable) for name, each in parsed.items()}


def chains() -> dict[str, list[str]]:
    """For each end entity the authorities between it and the anchor, found by name."""
    named = names()
    by_subject: dict[str, list[str]] = defaultdict(list)
    for name, (subject, _) in named.items():
        if "EE" not in name and name != "TrustAnchorRootCertificate":
            by_subject[subject].append(name)
    found: dict[str, list[str]] = {}
    for name in (each for each in named if each.endswith("EE")):
        waiting, seen, chain = [named[name][1]], set(), []
        while waiting:
            subject = waiting.pop()
            if subject not in seen:
                seen.add(subject)
                chain += by_subject[subject]
                waiting += [named[authority][1] for authority in by_subject[subject]]
        found[name] = chain
    return found


CHAINS = chains()

OF_REVOCATION = (  # invalid because of a CRL: chapters 4, 5 (partly), 7 (partly), 14, 15
    "CRL",
    "Revoked",
    "SerialNumber",
    "BasicSelfIssued",
    "IDPwith",
    "SeparateCertificateandCRLKeys",
    "cRLIssuer",
    "distributionPoint",
    "onlyContains",
    "onlySomeReasons",
    "cRLSignFalse",
)


def accepts(name: str) -> bool:
    try:
        validate_path(
            CERTIFICATES[name],
            anchors=[CERTIFICATES["TrustAnchorRootCertificate"]],
            intermediates=[CERTIFICATES[each] for each in CHAINS[name]],
            at=AT,
            profile=GENERIC,
        )
    except BrokerError:
        return False
    return True


@pytest.mark.parametrize(
    "name", [name for name in CHAINS if "Invalid" in name and not any(word in name for word in OF_REVOCATION)]
)
def test_invalid_path_is_refused(name: str) -> None:
    assert not accepts(name)


DIFFERENCES = {  # valid by the suite and refused here, with the reason
    "policy constraints, mappings and inhibitAnyPolicy are not judged, so a path with one is refused (design 4.6)": (
        r"AllCertificatesSamePoliciesTest1[03]|AllCertificatesanyPolicyTest11|AnyPolicyTest14|DifferentPoliciesTest(4|5|9|12)"
        r"|UserNoticeQualifierTest18|ValidPolicyMappingTest\d+|ValidinhibitPolicyMappingTest[24]|ValidinhibitAnyPolicyTest2"
        r"|inhibitAnyPolicyTest3|ValidrequireExplicitPolicyTest[124]|ValidSelfIssued(inhibit|requireExplicit).*"
    ),
    "name constraints beyond DNS and IP are not judged, so a path with one is refused": (
        r"Valid(DN|RFC822|URI|DNandRFC822)nameConstraintsTest\d+"
    ),
    "names are compared octet by octet, as nearly every authority writes them": (
        r"ValidNameChaining(Capitalization|Whitespace)Test\d|ValidRolloverfromPrintableString.*|ValidUTF8StringCase.*"
    ),
    "DSA is not accepted": r"ValidDSA.*",
    "a certificate's dates before 2050 are UTCTime (RFC 5280 §4.1.2.5)": r"ValidGeneralizedTimenotBeforeDateTest4",
    "an authority is no end entity": (
        r"DifferentPoliciesTest[78]|OverlappingPoliciesTest6|ValidonlyContainsCACertsTest13|ValidpathLenConstraintTest(8|14)"
    ),
    "a self-issued authority counts in a path's length": r"ValidSelfIssuedpathLenConstraintTest1[57]",
}


@pytest.mark.parametrize("name", [name for name in CHAINS if "Invalid" not in name])
def test_valid_path_is_accepted_or_its_refusal_declared(name: str) -> None:
    reasons = [why for why, names in DIFFERENCES.items() if re.fullmatch(f"(?:{names})EE", name)]
    assert len(reasons) == (0 if accepts(name) else 1)


@pytest.mark.parametrize(
    ("name", "issuer", "crl", "status"),
    [
        ("ValidCertificatePathTest1EE", "GoodCACert", "GoodCACRL", "good"),
        ("InvalidRevokedEETest3EE", "GoodCACert", "GoodCACRL", "revoked"),
        ("InvalidBadCRLSignatureTest4EE", "BadCRLSignatureCACert", "BadCRLSignatureCACRL", "unknown"),
        ("InvalidBadCRLIssuerNameTest5EE", "BadCRLIssuerNameCACert", "BadCRLIssuerNameCACRL", "unknown"),
        ("InvalidWrongCRLTest6EE", "WrongCRLCACert", "WrongCRLCACRL", "unknown"),
        ("ValidTwoCRLsTest7EE", "TwoCRLsCACert", "TwoCRLsCAGoodCRL", "good"),
        (
            "InvalidUnknownCRLEntryExtensionTest8EE",
            "UnknownCRLEntryExtensionCACert",
            "UnknownCRLEntryExtensionCACRL",
            "unknown",
        ),
        ("InvalidUnknownCRLExtensionTest9EE", "UnknownCRLExtensionCACert", "UnknownCRLExtensionCACRL", "unknown"),
        ("InvalidOldCRLnextUpdateTest11EE", "OldCRLnextUpdateCACert", "OldCRLnextUpdateCACRL", "unknown"),
        ("Invalidpre2000CRLnextUpdateTest12EE", "pre2000CRLnextUpdateCACert", "pre2000CRLnextUpdateCACRL", "unknown"),
        (
            "ValidGeneralizedTimeCRLnextUpdateTest13EE",
            "GeneralizedTimeCRLnextUpdateCACert",
            "GeneralizedTimeCRLnextUpdateCACRL",
            "good",
        ),
        ("ValidLongSerialNumberTest16EE", "LongSerialNumberCACert", "LongSerialNumberCACRL", "good"),
        ("InvalidLongSerialNumberTest18EE", "LongSerialNumberCACert", "LongSerialNumberCACRL", "revoked"),
        (
            "ValidSeparateCertificateandCRLKeysTest19EE",
            "SeparateCertificateandCRLKeysCertificateSigningCACert",
            "SeparateCertificateandCRLKeysCRL",
            "unknown",
        ),
        (
            "InvalidkeyUsageCriticalcRLSignFalseTest4EE",
            "keyUsageCriticalcRLSignFalseCACert",
            "keyUsageCriticalcRLSignFalseCACRL",
            "unknown",
        ),
        ("ValiddistributionPointTest1EE", "distributionPoint1CACert", "distributionPoint1CACRL", "good"),
        ("InvaliddistributionPointTest2EE", "distributionPoint1CACert", "distributionPoint1CACRL", "revoked"),
        ("InvaliddistributionPointTest3EE", "distributionPoint1CACert", "distributionPoint1CACRL", "unknown"),
        ("ValiddistributionPointTest4EE", "distributionPoint1CACert", "distributionPoint1CACRL", "good"),
        ("ValiddistributionPointTest5EE", "distributionPoint2CACert", "distributionPoint2CACRL", "good"),
        ("InvaliddistributionPointTest8EE", "distributionPoint2CACert", "distributionPoint2CACRL", "unknown"),
        (
            "ValidNoissuingDistributionPointTest10EE",
            "NoissuingDistributionPointCACert",
            "NoissuingDistributionPointCACRL",
            "good",
        ),
        (
            "InvalidonlyContainsUserCertsTest11EE",
            "onlyContainsUserCertsCACert",
            "onlyContainsUserCertsCACRL",
            "unknown",
        ),
        ("InvalidonlyContainsCACertsTest12EE", "onlyContainsCACertsCACert", "onlyContainsCACertsCACRL", "unknown"),
        (
            "InvalidonlyContainsAttributeCertsTest14EE",
            "onlyContainsAttributeCertsCACert",
            "onlyContainsAttributeCertsCACRL",
            "unknown",
        ),
        ("InvalidonlySomeReasonsTest15EE", "onlySomeReasonsCA1Cert", "onlySomeReasonsCA1compromiseCRL", "revoked"),
        ("ValidIDPwithindirectCRLTest22EE", "indirectCRLCA1Cert", "indirectCRLCA1CRL", "unknown"),
        (
            "InvaliddeltaCRLIndicatorNoBaseTest1EE",
            "deltaCRLIndicatorNoBaseCACert",
            "deltaCRLIndicatorNoBaseCACRL",
            "unknown",
        ),
        (
            "ValidUTF8StringCaseInsensitiveMatchTest11EE",
            "UTF8StringCaseInsensitiveMatchCACert",
            "UTF8StringCaseInsensitiveMatchCACRL",
            "good",
        ),
        ("ValidNameChainingWhitespaceTest3EE", "GoodCACert", "GoodCACRL", "good"),
        (
            "ValidBasicSelfIssuedOldWithNewTest1EE",
            "BasicSelfIssuedNewKeyCACert",
            "BasicSelfIssuedNewKeyCACRL",
            "unknown",
        ),
    ],
)
def test_crl_answers_as_the_suite_says_or_not_at_all(name: str, issuer: str, crl: str, status: str) -> None:
    verdict = check_crl(
        CRLS[crl], certificate=CERTIFICATES[name], issuer=CERTIFICATES[issuer], at=AT, max_age=timedelta(days=36500)
    )
    assert verdict.status.value == status, verdict.reason
