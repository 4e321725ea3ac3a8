"""`verified_claims`: OpenID Connect for Identity Assurance 1.0, and the openid-ida-verified-claims-1_0 schema.

A request is a template: what it restricts must hold, or the element is left out; what it names is told if we have it;
what it does not name is never told. Nothing is an error but a malformed request, and nothing is ever null
(both specifications: requesting verified claims, handling of what cannot be fulfilled).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from broker.errors import InvalidRequest
from broker.oidc import constraint
from broker.oidc.constraint import ANYTHING, Constraint

MAX_ELEMENTS: Final = 8
MAX_CLAIMS: Final = 32
MAX_MEMBERS: Final = 32
MAX_ENTRIES: Final = 8
MAX_LEVELS: Final = 4

JP_AML: Final = "jp_aml"
"""犯罪収益移転防止法 (the Act on Prevention of Transfer of Criminal Proceeds)."""
CLAIMS: Final = ("address", "birthdate", "gender", "name")
"""What the 署名用 certificate says of a person (4情報)."""
AUTHORITY: Final = "authority"
"""What somebody may do for somebody else (OpenID Connect Authority claims extension, a draft)."""
CHECK_METHODS: Final = ("vcrypt", "token")
"""The certificate's signature was checked; the person held the card and knew its PIN."""
DOCUMENT: Final = "jp_individual_number_card"
RECORD: Final = "population_register"
SIGNATURE: Final = "jpki_digital_signature"
"""`signature_type`: by the 署名用 key. The specification names no values of its own for Japan."""
NOT_DISCLOSED: Final = "not-disclosed"
"""Stands for the certificate's serial number, which the schema of an electronic signature demands: it never leaves us
(R14), nor does anything that is made of it."""
ONE_TRANSACTION: Final = "one_transaction"
"""`verification_process`: the two certificates are tied together by this transaction alone (design 4.13)."""

_OBJECTS: Final = frozenset(
    {"assurance_process", "document_details", "issuer", "record", "source", "attestation", "voucher", "derived_claims"}
)
_ARRAYS: Final = frozenset({"evidence", "check_details", "assurance_details", "evidence_ref", "attachments"})
_NEEDED: Final = MappingProxyType(  # what the answer's schema wants wherever the parent stands
    {"evidence": ("type",), "check_details": ("check_method",), "document_details": ("type",), "record": ("type",)}
)
_SIGNED: Final = ("signature_type", "issuer", "serial_number")  # the schema of an electronic signature wants them too
_NEVER: Final = frozenset({"document_number", "personal_number", "subject_dn"})  # R14, design 4.9


# --- the request -----------------------------------------------------------------------------------------------------

Template: TypeAlias = "Constraint | Members | Entries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """An object of which these members are wanted."""

    of: Mapping[str, Template]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """An array of which the entries are wanted that fit one of these (a logical OR)."""

    any_of: tuple[Template, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedClaimsRequest:
    """One element of the request: which claims, and how they must have been verified."""

    verification: Members
    claims: Mapping[str, Constraint]


def read(given: Any) -> tuple[VerifiedClaimsRequest, ...]:
    """The elements of `given`, parsed JSON: one object or an array of them. Raises InvalidRequest.

    Its text has been bounded and its depth judged by `broker.jose.parse_json`.
    """
    elements = given if isinstance(given, list) else [given]
    if not 1 <= len(elements) <= MAX_ELEMENTS:
        raise InvalidRequest(f"verified_claims: 1 to {MAX_ELEMENTS} elements")
    return tuple(_element(element) for element in elements)


def _element(given: Any) -> VerifiedClaimsRequest:
    if not isinstance(given, dict):
        raise InvalidRequest("verified_claims: an object with verification and claims")
    claims, verification = given.get("claims"), given.get("verification")
    if not isinstance(claims, dict) or not 1 <= len(claims) <= MAX_CLAIMS:
        raise InvalidRequest(f"verified_claims: claims is an object of 1 to {MAX_CLAIMS} members")
    if not isinstance(verification, dict) or "trust_framework" not in verification:
        raise InvalidRequest("verified_claims: verification asks for the trust_framework at least")
    return VerifiedClaimsRequest(
        verification=_members("verification", verification, MAX_LEVELS),
        claims=MappingProxyType(
            {name: constraint.read(f"verified_claims: claims.{name[:64]}", value) for name, value in claims.items()}
        ),
    )


def _template(name: str, given: Any, levels: int) -> Template:
    if given is None:
        return ANYTHING
    if name in _ARRAYS:
        if not isinstance(given, list) or not 1 <= len(given) <= MAX_ENTRIES:
            raise InvalidRequest(f"verified_claims: {name} is an array of 1 to {MAX_ENTRIES}")
        entries = tuple(_members(name, entry, levels) for entry in given)
        if name == "evidence":
            for entry in entries:
                _check_type(entry)
        return Entries(any_of=entries)
    if name in _OBJECTS and not (isinstance(given, dict) and constraint.WORDS.issuperset(given)):
        return _members(name, given, levels)
    return constraint.read(f"verified_claims: {name[:64]}", given)


def _members(name: str, given: Any, levels: int) -> Members:
    if not isinstance(given, dict) or len(given) > MAX_MEMBERS:
        raise InvalidRequest(f"verified_claims: {name} is an object of at most {MAX_MEMBERS} members")
    if levels == 0:
        raise InvalidRequest("verified_claims: nested too deeply")
    return Members(
        of=MappingProxyType({member: _template(member, value, levels - 1) for member, value in given.items()})
    )


def _check_type(entry: Members) -> None:
    kind = entry.of.get("type")
    if not isinstance(kind, Constraint) or kind.values is None or not kind.single:
        raise InvalidRequest("verified_claims: each evidence names its type by value")


def tell(elements: tuple[VerifiedClaimsRequest, ...]) -> Any:
    """The JSON that `read` makes the same elements of."""
    told = [
        {
            "verification": _tell(element.verification),
            "claims": {name: constraint.tell(said) for name, said in element.claims.items()},
        }
        for element in elements
    ]
    return told if len(told) > 1 else told[0]


def _tell(template: Template) -> Any:
    match template:
        case Members(of=members):
            return {name: _tell(part) for name, part in members.items()}
        case Entries(any_of=entries):
            return [_tell(entry) for entry in entries]
        case Constraint():
            return constraint.tell(template)


def purposes(elements: Iterable[VerifiedClaimsRequest]) -> dict[str, tuple[str, ...]]:
    """What each claim is wanted for, in the client's words: the consent page must show them, escaped."""
    told: dict[str, tuple[str, ...]] = {}
    for element in elements:
        for name, said in element.claims.items():
            if said.purpose is not None and said.purpose not in told.get(name, ()):
                told[name] = (*told.get(name, ()), said.purpose)
    return told


# --- what has been verified ------------------------------------------------------------------------------------------


class EvidenceType(StrEnum):
    """What a proof rests on."""

    ELECTRONIC_SIGNATURE = "electronic_signature"
    DOCUMENT = "document"
    ELECTRONIC_RECORD = "electronic_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of an evidence (`check_details`)."""

    method: str
    """One of CHECK_METHODS."""
    organization: str | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        if self.method not in CHECK_METHODS:
            raise ValueError(f"{self.method} is not a check that we make")

    def data(self) -> dict[str, Any]:
        return _present(check_method=self.method, organization=self.organization, time=_stamp(self.time))


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The signature, the card (as `document`), or the register behind both (as `electronic_record`)."""

    type: EvidenceType
    checks: tuple[Check, ...]
    issuer: str | None = None
    """Who issued the certificate or the card, or keeps the register."""
    country_code: str = "JPN"  # ISO 3166-1 alpha-3, as ICAO 9303 writes it
    issued: date | None = None
    expires: date | None = None
    created_at: datetime | None = None
    """When it was signed, or when the register's data were told."""

    def data(self) -> dict[str, Any]:
        origin = _present(name=self.issuer, country_code=self.country_code)
        checks = [check.data() for check in self.checks]
        if self.type is EvidenceType.ELECTRONIC_SIGNATURE:
            return {
                "type": "electronic_signature",
                "check_details": checks,
                "signature_type": SIGNATURE,
                "issuer": self.issuer or "",
                "serial_number": NOT_DISCLOSED,
                **_present(created_at=_stamp(self.created_at)),
            }
        if self.type is EvidenceType.DOCUMENT:
            details = _present(
                type=DOCUMENT,
                issuer=origin,
                date_of_issuance=None if self.issued is None else self.issued.isoformat(),
                date_of_expiry=None if self.expires is None else self.expires.isoformat(),
            )
            return {"type": "document", "check_details": checks, "document_details": details}
        record = {"type": RECORD, "source": origin, **_present(created_at=_stamp(self.created_at))}
        return {"type": "electronic_record", "check_details": checks, "record": record}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedData:
    """What one proof showed about one person, and may be told to one client (consent and scope are judged already)."""

    trust_frameworks: tuple[str, ...]
    """Whose rules it meets, the one told unasked first: see `frameworks`."""
    time: datetime
    evidence: tuple[Evidence, ...]
    process: str | None = None
    """`verification_process`, told unasked: what makes the proof worth less must not be overlooked."""
    claims: Mapping[str, Any] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.trust_frameworks:
            raise ValueError("a proof stands under a trust framework")
        if unknown := self.claims.keys() - {*CLAIMS, AUTHORITY}:
            raise ValueError(f"{min(unknown)} is not a claim that a certificate proves")
        object.__setattr__(self, "claims", MappingProxyType(dict(self.claims)))


def frameworks(own: str, *, aml: bool) -> tuple[str, ...]:
    """The trust frameworks that a proof may claim towards a client: `own` always, `jp_aml` hardly ever (design 4.11).

    `aml` says that the law's method is met: the client is registered for it, and the resident signed that client's own
    application, which says what the business is about; ours says only who is to learn what.
    """
    return (own, JP_AML) if aml else (own,)


def mandate_framework(issuer: str) -> str:
    """The name of this provider's rules for powers of attorney."""
    return f"{issuer}/trust-framework/mandate"


def own_framework(issuer: str) -> str:
    """The name of this provider's own rules: there is no registered one for JPKI, so it is a URI under the issuer."""
    return f"{issuer}/trust-framework/jpki"


# --- the answer ------------------------------------------------------------------------------------------------------


def answer(
    request: tuple[VerifiedClaimsRequest, ...], *proofs: VerifiedData | None, now: datetime
) -> dict[str, Any] | list[dict[str, Any]] | None:
    """What to put under `verified_claims` where it was asked for; None: the claim is absent.

    Each element is answered on its own, and by each proof: one answer is an object, several are an array.
    """
    told = [
        part for element in request for proof in proofs if (part := answer_one(element, proof, now=now)) is not None
    ]
    if not told:
        return None
    return told if len(told) > 1 else told[0]


def answer_one(element: VerifiedClaimsRequest, proof: VerifiedData | None, *, now: datetime) -> dict[str, Any] | None:
    """The answer to one element, or None where it must be left out."""
    if proof is None:
        return None
    claims = {
        name: proof.claims[name]
        for name, said in element.claims.items()
        if proof.claims.get(name) is not None and said.admits(proof.claims[name], now=now)
    }
    if not claims:
        return None
    for framework in proof.trust_frameworks:
        data = {
            "trust_framework": framework,
            "time": _stamp(proof.time),
            "evidence": [evidence.data() for evidence in proof.evidence],
            **_present(verification_process=proof.process),
        }
        verification = _fill(element.verification, data, "verification", now)
        if verification is not _UNMET:
            if proof.process is not None:
                verification["verification_process"] = proof.process
            return {"verification": verification, "claims": claims}
    return None


class _Verdict(Enum):
    UNMET = auto()
    ABSENT = auto()


_UNMET: Final = _Verdict.UNMET
"""A restriction does not hold."""
_ABSENT: Final = _Verdict.ABSENT
"""Nothing to tell, and nothing wrong with that."""


def _fill(template: Template, data: Any, name: str, now: datetime) -> Any:
    """What of `data` the template asks for; _UNMET where it fails a restriction, _ABSENT where there is nothing."""
    match template:
        case Constraint():
            if isinstance(data, dict | list) or data is None or name in _NEVER:
                return _UNMET if template.restricts else _ABSENT
            return data if template.admits(data, now=now) else _UNMET
        case Members(of=members):
            return _fill_object(members, data if isinstance(data, dict) else {}, name, now)
        case Entries(any_of=entries):
            return _fill_array(entries, data if isinstance(data, list) else [], name, now)


def _fill_object(members: Mapping[str, Template], data: dict[str, Any], name: str, now: datetime) -> Any:
    told: dict[str, Any] = {}
    for member, part in members.items():
        value = _fill(part, data.get(member), member, now)
        if value is _UNMET:
            return _UNMET
        if value is not _ABSENT:
            told[member] = value
    if not told:
        return _ABSENT
    signed = name == "evidence" and data.get("type") == EvidenceType.ELECTRONIC_SIGNATURE
    for member in (*_NEEDED.get(name, ()), *(_SIGNED if signed else ())):
        if member not in data:
            return _ABSENT
        told.setdefault(member, data[member])
    return told


def _fill_array(entries: tuple[Template, ...], data: list[Any], name: str, now: datetime) -> Any:
    told = []
    met = not data and not all(_restricts(entry) for entry in entries)
    for item in data:
        for entry in entries:
            value = _fill(entry, item, name, now)
            if value is _UNMET:
                continue
            met = True
            if value is not _ABSENT:
                told.append(value)
            break
    if not met:
        return _UNMET
    return told or _ABSENT


def _restricts(template: Template) -> bool:
    match template:
        case Constraint():
            return template.restricts
        case Members(of=members):
            return any(_restricts(part) for part in members.values())
        case Entries(any_of=entries):
            return all(_restricts(entry) for entry in entries)


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _stamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, whole seconds, as the schema wants it."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what is announced -----------------------------------------------------------------------------------------------


def metadata(trust_frameworks: tuple[str, ...] = ()) -> dict[str, Any]:
    """Members for the provider's metadata (Identity Assurance 1.0): none while no identity is proved here."""
    if not trust_frameworks:
        return {}
    return {
        "verified_claims_supported": True,
        "trust_frameworks_supported": list(trust_frameworks),
        "claims_in_verified_claims_supported": [*CLAIMS, AUTHORITY],
        "evidence_supported": [kind.value for kind in EvidenceType],
        "documents_supported": [DOCUMENT],
        "documents_check_methods_supported": list(CHECK_METHODS),
        "electronic_records_supported": [RECORD],
    }
