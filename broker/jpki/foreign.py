"""Certificates of other authorities: HPKI (医師資格 and other licences) and 商業登記.

Their chains are longer than JPKI's and use more of RFC 5280 than `path` judges, so pyhanko-certvalidator builds and
checks the path: with pinned anchors, explicit policies and evidence of revocation for every certificate, in a child
process of its own with limits on time and memory, because a chain can be made that keeps it busy for minutes
(design 4.6). What the child believes is judged once more by our own rules: key strength, and GOOD by `revocation` for
every certificate below the anchor. Everything not proved is refused.
"""

from __future__ import annotations

import itertools
import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from broker.errors import (
    CertificateExpired,
    CertificateMalformed,
    CertificateRevoked,
    CertificateUntrusted,
    RevocationUnknown,
)
from broker.jose import rsa_weakness
from broker.jpki import foreign_child
from broker.jpki.certificate import (
    TrustedCertificate,
    UnrevokedCertificate,
    UnverifiedCertificate,
    issuer_key_hash,
    parse,
    unrevoked,
)
from broker.jpki.hcrole import hc_roles
from broker.jpki.issuer import prepared
from broker.jpki.profile import hierarchy
from broker.jpki.revocation import RevocationStatus, RevocationVerdict, check_crl, check_ocsp
from broker.nursery import Nursery

MAX_INTERMEDIATES: Final = 6
MAX_OF_ONE_SUBJECT: Final = 2
"""Eight intermediates of one name cost the path builder 14 s, ten more than a minute."""
MAX_ANCHORS: Final = 16
MAX_EVIDENCE: Final = 12
MAX_LIST: Final = 1024 * 1024
"""Bytes of one CRL. The public lists of these authorities have some kilobytes."""
PATIENCE: Final = 30.0
"""Seconds to wait for a free child. Each ends within its own processor time (`foreign_child`)."""
_JUDGE: Final = Nursery("broker.jpki.foreign_child", places=2)
"""Each child may take half a gibibyte, so strangers must not choose their number."""
_CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})
TEST_HIERARCHY: Final = "HPKI-TEST"
"""The O of an anchor that production never has."""
_MAX_RESULT: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProfile:
    """What a leaf must be. `policies`: one of these object identifiers must be valid along the path (RFC 5280 §6.1);
    empty where the anchor issues for nothing else. `usages`: names of keyUsage bits the leaf must carry.
    `test_policies` are valid as well, under anchors of TEST_HIERARCHY alone.
    """

    name: str
    policies: frozenset[str]
    test_policies: frozenset[str] = frozenset()
    usages: frozenset[str]
    needs_role: bool


HPKI_SIGNATURE: Final = ForeignProfile(
    name="HPKI_SIGNATURE",
    policies=frozenset({"1.2.392.100495.1.5.1.1.3.1"}),  # the MEDIS signing CA's certificate
    test_policies=frozenset({"1.2.392.100495.1.5.1.1.0.1"}),  # MEDIS's public test certificate
    usages=frozenset({"content_commitment"}),  # keyUsage critical, nonRepudiation only (a MEDIS test certificate)
    needs_role=True,
)
HPKI_AUTHENTICATION: Final = ForeignProfile(
    name="HPKI_AUTHENTICATION",
    policies=frozenset({"1.2.392.100495.1.5.1.2.3.1"}),  # the MEDIS authentication CA's certificate, for individuals
    test_policies=frozenset({"1.2.392.100495.1.5.1.2.0.1"}),  # not public; made after that of the test signing CA
    usages=frozenset({"digital_signature"}),
    needs_role=True,
)
COMMERCIAL_REGISTRATION: Final = ForeignProfile(
    name="COMMERCIAL_REGISTRATION",
    policies=frozenset(),  # 商業登記: the registrar's root (its digest is in 官報) issues for nothing else
    usages=frozenset({"digital_signature"}),  # keyUsage is there since March 2026 (MOJ, 電子認証システムの更改)
    needs_role=False,
)


def validate_foreign_path(
    leaf: bytes,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes] = (),
    crls: Sequence[bytes] = (),
    ocsps: Sequence[bytes] = (),
    at: datetime,
    max_age: timedelta,
    profile: ForeignProfile,
) -> UnrevokedCertificate:
    """Prove `leaf` (DER) under one of the pinned `anchors` at `at` (aware), unrevoked, within 5 s.

    `intermediates` may come from a stranger: at most 6, two of one subject. `crls` and `ocsps` are the evidence, which
    the caller has from its configured sources; `max_age` bounds its age. Nothing is fetched here.

    Raises CertificateMalformed, CertificateUntrusted (also when it took too long), CertificateExpired,
    CertificateRevoked, RevocationUnknown; ValueError for a naive `at`.
    """
    case = admit(
        leaf,
        anchors=anchors,
        intermediates=intermediates,
        crls=crls,
        ocsps=ocsps,
        at=at,
        max_age=max_age,
        profile=profile,
    )
    check_dates(case)
    for rule in LEAF_RULES:
        rule.check(case.leaf, profile)
    chain = find_path(case)
    verdicts = [verdict(case, one, issuer) for one, issuer in itertools.pairwise(chain)]
    trusted = TrustedCertificate(
        der=case.leaf.der,
        issuer=chain[1].der,
        issuer_key_hash=issuer_key_hash(chain[1].der),
        serial=case.leaf.serial,
        spki=case.leaf.spki,
        not_before=case.leaf.not_before,
        not_after=case.leaf.not_after,
        profile=profile.name,
        kind="foreign",
    )
    for each in reversed(verdicts):  # from the anchor down: a dead authority's word about its leaves is none
        proved = unrevoked(trusted, each)
    return proved


# --- the steps, which `foreign_explain` goes through too -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A leaf with all it is judged by, within bounds; `roots` are the anchors in force at `at` (UTC)."""

    leaf: UnverifiedCertificate
    roots: tuple[UnverifiedCertificate, ...]
    between: tuple[UnverifiedCertificate, ...]
    crls: tuple[bytes, ...]
    ocsps: tuple[bytes, ...]
    at: datetime
    max_age: timedelta
    profile: ForeignProfile


def admit(
    leaf: bytes,
    *,
    anchors: Sequence[bytes],
    intermediates: Sequence[bytes],
    crls: Sequence[bytes],
    ocsps: Sequence[bytes],
    at: datetime,
    max_age: timedelta,
    profile: ForeignProfile,
) -> Case:
    """Hold everything to its bounds before anything is judged. Raises CertificateMalformed, CertificateUntrusted."""
    if at.tzinfo is None:
        raise ValueError("the time must say its zone")
    at = at.astimezone(UTC)
    subject = parse(leaf)
    pinned = [parse(anchor) for anchor in _few(anchors, MAX_ANCHORS, "anchors")]
    roots = tuple(root for root in pinned if root.not_before <= at <= root.not_after)
    between = tuple(parse(each) for each in _few(intermediates, MAX_INTERMEDIATES, "intermediate certificates"))
    _few((*crls, *ocsps), MAX_EVIDENCE, "lists and responses")
    if max(map(len, (*crls, *ocsps)), default=0) > MAX_LIST:
        raise CertificateUntrusted("a list is longer than is judged here")
    if not roots:  # the library would take none for "whatever the system trusts"
        raise CertificateUntrusted("no anchor is in force")
    if len({hierarchy(root) == TEST_HIERARCHY for root in roots}) > 1:
        raise CertificateUntrusted("anchors of production and of a test never mix")
    names = Counter(prepared(each.subject) for each in between)
    if max(names.values(), default=0) > MAX_OF_ONE_SUBJECT:
        raise CertificateUntrusted("more than two intermediate certificates of one subject")
    return Case(
        leaf=subject,
        roots=roots,
        between=between,
        crls=tuple(crls),
        ocsps=tuple(ocsps),
        at=at,
        max_age=max_age,
        profile=profile,
    )


def check_dates(case: Case) -> None:
    """Raises CertificateExpired."""
    if not case.leaf.not_before <= case.at <= case.leaf.not_after:
        raise CertificateExpired("outside its validity period")


@dataclass(frozen=True, slots=True)
class LeafRule:
    """One thing a leaf must be; the check raises CertificateUntrusted, CertificateMalformed."""

    name: str
    source: str
    check: Callable[[UnverifiedCertificate, ForeignProfile], None]


def _no_authority(leaf: UnverifiedCertificate, _profile: ForeignProfile) -> None:
    constraints = leaf.extension(x509.BasicConstraints)
    if constraints is not None and constraints.value.ca:
        raise CertificateUntrusted("leaf is an authority's certificate")


def _usage_fits(leaf: UnverifiedCertificate, profile: ForeignProfile) -> None:
    usage = leaf.extension(x509.KeyUsage)
    if usage is None or not all(getattr(usage.value, name) for name in profile.usages):
        raise CertificateUntrusted("keyUsage is not the profile's")


def _role_stated(leaf: UnverifiedCertificate, profile: ForeignProfile) -> None:
    if profile.needs_role and not hc_roles(leaf.der):
        raise CertificateUntrusted("no hcRole")


LEAF_RULES: Final = (
    LeafRule("not-a-ca", "RFC 5280 §4.2.1.9", _no_authority),
    LeafRule("key-usage", "RFC 5280 §4.2.1.3", _usage_fits),
    LeafRule("hc-role", "ISO 17090-2; MHLW HPKI certificate policy §7.1.2", _role_stated),
)


def find_path(case: Case) -> list[UnverifiedCertificate]:
    """The path that the child found, leaf first. Raises CertificateRevoked, CertificateUntrusted, -Malformed."""
    testing = hierarchy(case.roots[0]) == TEST_HIERARCHY
    policies = case.profile.policies | (case.profile.test_policies if testing else frozenset())
    path = _judged_apart(
        foreign_child.Question(
            leaf=case.leaf.der,
            anchors=tuple(root.der for root in case.roots),
            intermediates=tuple(each.der for each in case.between),
            crls=case.crls,
            ocsps=case.ocsps,
            at=case.at,
            policies=tuple(sorted(policies)),
        )
    )
    chain = [parse(each) for each in path]
    _check_answer(chain, case)
    return chain


def verdict(case: Case, one: UnverifiedCertificate, issuer: UnverifiedCertificate) -> RevocationVerdict:
    """What the evidence says of one certificate: one REVOKED outweighs every GOOD. Raises RevocationUnknown."""
    known: dict[str, Any] = {"certificate": one.der, "issuer": issuer.der, "at": case.at, "max_age": case.max_age}
    verdicts = [check_crl(crl, **known) for crl in case.crls]
    verdicts += [check_ocsp(each, **known) for each in case.ocsps]
    for wanted in (RevocationStatus.REVOKED, RevocationStatus.GOOD):
        for found in verdicts:
            if found.status is wanted:
                return found
    raise RevocationUnknown("no list or response tells of a certificate on the path")


def _few(given: Sequence[bytes], most: int, what: str) -> Sequence[bytes]:
    if len(given) > most:
        raise CertificateUntrusted(f"more than {most} {what}")
    return given


def _check_answer(chain: Sequence[UnverifiedCertificate], case: Case) -> None:
    """The child has touched hostile bytes: its path must be made of what it was given, and of strong keys."""
    inner = {each.der for each in (*case.between, *case.roots)}
    if (
        len(chain) < 2
        or chain[0].der != case.leaf.der
        or chain[-1].der not in {root.der for root in case.roots}
        or any(each.der not in inner for each in chain[1:])
    ):
        raise CertificateUntrusted("no path to an anchor")
    for each in chain:
        key = each.key
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            strong = not rsa_weakness(numbers.n, numbers.e)
        else:
            strong = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES
        if not strong:
            raise CertificateUntrusted("a key on the path is of a kind or size that is not accepted, or weak")


# --- the child -------------------------------------------------------------------------------------------------------


def _judged_apart(question: foreign_child.Question) -> tuple[bytes, ...]:
    """The path, leaf first. Raises CertificateRevoked, and CertificateUntrusted: no path, or none found in time."""
    done = _JUDGE.run(_written(question), patience=PATIENCE)
    if done.status is None or done.status < 0:  # a signal: its time was over
        raise CertificateUntrusted("the chain could not be judged in time")
    if done.status == foreign_child.NOT_INSTALLED:
        raise CertificateUntrusted("pyhanko-certvalidator is not installed: no foreign chain can be judged")
    if done.status == foreign_child.REVOKED:
        raise CertificateRevoked("a certificate on the path is revoked")
    if done.status != 0 or len(done.output) > _MAX_RESULT:
        raise CertificateUntrusted("no path to an anchor, or no evidence for each of its certificates")
    try:
        return tuple(b64decode(each, validate=True) for each in json.loads(done.output))
    except (ValueError, TypeError) as broken:
        raise CertificateMalformed("the chain could not be judged") from broken


def _written(question: foreign_child.Question) -> bytes:
    def texts(all_: Sequence[bytes]) -> list[str]:
        return [b64encode(each).decode() for each in all_]

    return json.dumps(
        {
            "leaf": b64encode(question.leaf).decode(),
            "anchors": texts(question.anchors),
            "intermediates": texts(question.intermediates),
            "crls": texts(question.crls),
            "ocsps": texts(question.ocsps),
            "at": question.at.isoformat(),
            "policies": question.policies,
        }
    ).encode()
