"""The authorization request: RFC 6749 §4.1.1, OIDC Core §3.1.2, RFC 7636, RFC 9207.

Two stages, because only a proved client and redirect URI may be told about an error by redirect
(RFC 6749 §4.1.2.1): `locate` finds them or ends in a page, `check` judges all the rest. Where the parameters came
from (the query, a request object, a pushed request) has been settled before.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from broker.errors import (
    InteractionRequired,
    InvalidAuthorizationDetails,
    InvalidRequest,
    InvalidRequestObject,
    InvalidScope,
    LoginRequired,
    ProofNotAllowed,
    UnauthorizedClient,
    UnknownClient,
    UnsupportedResponseType,
)
from broker.ids import ClientID, Subject
from broker.oidc import (
    authorization_details,
    claims_request,
    joint,
    licence,
    mandate_question,
    resource,
    sign_transaction,
)
from broker.oidc.client import Client, GrantType, SecurityProfile, is_loopback
from broker.oidc.linked_id import SCOPE as LINKED_ID
from broker.oidc.mandate_question import MandateQuestion
from broker.oidc.pkce import check_challenge
from broker.oidc.responses import ResponseMode, choose, modes_of

MAX_PARAMETERS = 100
MAX_VALUE_LENGTH = 2048
MAX_OBJECT_LENGTH = 32 * 1024
"""Characters of a parameter that holds a JWT or JSON."""
_LONG = frozenset(
    {
        "request",
        "claims",
        "authorization_details",
        "id_token_hint",
        "client_assertion",
        "login_hint_token",
        "token",
        "subject_token",
        "actor_token",
    }
)
OFFLINE_ACCESS = "offline_access"
PROFILE = "profile"
DELEGATIONS = "delegations"
"""To read and to end the person's powers of attorney for them."""
SCOPES = frozenset(
    {
        "openid",
        OFFLINE_ACCESS,
        PROFILE,
        LINKED_ID,
        DELEGATIONS,
        sign_transaction.SCOPE,
        *licence.SCOPES,
        *claims_request.IDENTITY,
        *claims_request.ATTRIBUTE_SCOPES,
    }
)
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749 §3.3
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_VSCHAR = re.compile(r"[\x20-\x7e]*")  # RFC 6749 appendix A.5


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What an RP asked for, every rule checked."""

    client_id: ClientID
    redirect_uri: str
    code_challenge: str
    scope: frozenset[str]
    state: str | None = None
    nonce: str | None = None
    response_mode: str = "query"
    prompt: frozenset[str] = frozenset()
    max_age: int | None = None
    """Seconds since the card signature (OIDC Core §3.1.2.1)."""
    ui_locales: str | None = None
    acr_values: tuple[str, ...] = ()
    login_hint: str | None = field(default=None, repr=False)
    subject: Subject | None = field(default=None, repr=False)
    """The only one who may answer: of id_token_hint, or `sub` in the claims request (OIDC Core §3.1.2.1, §5.5.1)."""
    claims: str = ""
    """The `claims` parameter (OIDC Core §5.5) as checked JSON; empty for none."""
    authorization_details: str = ""
    """RFC 9396 §2 as checked JSON; empty for none."""
    resources: tuple[str, ...] = ()
    """RFC 8707 §2."""
    dpop_jkt: str | None = None
    """RFC 9449 §10: the code may be redeemed with this key alone."""
    pushed: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the request_uri it came by; used up when the login completes (RFC 9126 §7.3)."""
    sign_transaction: str | None = None
    """`sign_transaction_id`: what is signed in this login (`oidc.sign_transaction`)."""
    joint: str | None = None
    """`joint_transaction_id`: which matter this login is one half of (`oidc.joint`)."""
    link: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the link_request that this login answers (accounts.link)."""
    binding_message: str | None = None
    """What the other device shows too, so that the two can be compared (CIBA Core §7.1)."""
    device: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the device code that this login approves (RFC 8628); then there is no `redirect_uri`."""
    backchannel: str | None = field(default=None, repr=False)
    """SHA-256 (hex) of the auth_req_id that this login approves (CIBA Core); then there is no `redirect_uri`."""
    own: str | None = None
    """A login to the resident's own page, and where it leads there (flows.my_page); it brings nobody a code."""

    @property
    def questions(self) -> tuple[MandateQuestion, ...]:
        """What it asks about powers of attorney."""
        return authorization_details.questions(self.authorization_details)

    @property
    def elsewhere(self) -> bool:
        """It is approved here for another device, and this browser brings nothing back to the client."""
        return self.device is not None or self.backchannel is not None


def to_json(request: AuthorizationRequest) -> str:
    """For storage; defaults are left out."""
    values: dict[str, Any] = {}
    for entry in fields(request):
        value = getattr(request, entry.name)
        if value != entry.default:
            values[entry.name] = sorted(value) if isinstance(value, frozenset) else value
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> AuthorizationRequest:
    """What `to_json` wrote."""
    values = json.loads(text)
    for name in ("scope", "prompt"):
        values[name] = frozenset(values.get(name, ()))
    for name in ("acr_values", "resources"):
        values[name] = tuple(values.get(name, ()))
    return AuthorizationRequest(**values)


def single_values(pairs: Iterable[tuple[str, str]], *, repeatable: frozenset[str] = frozenset()) -> dict[str, str]:
    """One value a name; an empty one counts as absent (RFC 6749 §3.1). Raises InvalidRequest.

    Names in `repeatable` (`resource`, RFC 8707 §2) may stand several times; their values come joined by spaces.
    """
    values: dict[str, str] = {}
    for count, (name, value) in enumerate(pairs, start=1):
        longest = MAX_OBJECT_LENGTH if name in _LONG else MAX_VALUE_LENGTH
        if count > MAX_PARAMETERS or len(value) > longest or len(name) > 128:
            raise InvalidRequest("too many or too long parameters")
        if name in values and name not in repeatable:
            raise InvalidRequest("a parameter stands twice")
        values[name] = f"{values[name]} {value}" if name in values else value
    return {name: value for name, value in values.items() if value}


def locate(parameters: Mapping[str, str], client: Client | None) -> str:
    """The redirect URI to answer to, compared byte for byte (RFC 9700 §2.1). Raises UnknownClient.

    A native client's loopback address may have any port (RFC 8252 §7.3).
    """
    if client is None or parameters.get("client_id") != client.client_id:
        raise UnknownClient("no such client")
    uri = parameters.get("redirect_uri")
    if uri is None or not any(
        _same_address(uri, registered, native=client.native) for registered in client.redirect_uris
    ):
        raise UnknownClient("redirect_uri is not registered")
    return uri


def _same_address(uri: str, registered: str, *, native: bool) -> bool:
    if uri == registered:
        return True
    if not native:
        return False
    known = urlsplit(registered)
    host = known.hostname or ""
    if known.scheme != "http" or not is_loopback(host) or host == "localhost":  # RFC 8252 §8.3: a literal address
        return False
    start, rest = registered[: len("http://") + len(known.netloc)], registered[len("http://") + len(known.netloc) :]
    bare = start.removesuffix(f":{known.port}") if known.port is not None else start
    return re.fullmatch(f"{re.escape(bare)}:[0-9]{{1,5}}{re.escape(rest)}", uri) is not None


def check(parameters: Mapping[str, str], client: Client, *, hinted: Subject | None = None) -> AuthorizationRequest:
    """Judge a request whose client and redirect URI `locate` has proved. Raises ProtocolError.

    `hinted` is whom a verified id_token_hint names. Unknown parameters are ignored (RFC 6749 §3.1).
    """
    if GrantType.AUTHORIZATION_CODE not in client.grant_types:
        raise UnauthorizedClient("this client has no authorization_code grant")
    if parameters.keys() & {"request", "request_uri"}:
        raise InvalidRequestObject("a request inside a request")
    if "response_type" not in parameters:
        raise InvalidRequest("response_type is required")
    if parameters["response_type"] != "code":
        raise UnsupportedResponseType("only response_type=code is served")
    mode = choose(parameters.get("response_mode"), modes_for(parameters["redirect_uri"]))
    challenge = check_challenge(parameters.get("code_challenge"), parameters.get("code_challenge_method"))
    scope_text = parameters.get("scope", "")
    if not _SCOPE.fullmatch(scope_text):
        raise InvalidScope("scope is missing or malformed")
    asked = frozenset(scope_text.split(" "))
    if "openid" not in asked:
        raise InvalidScope("scope must contain openid")
    for name in ("state", "nonce"):
        if not _VSCHAR.fullmatch(parameters.get(name, "")):
            raise InvalidRequest(f"{name} must be printable ASCII")
    asked_claims = claims_request.parse(parameters["claims"]) if "claims" in parameters else claims_request.NOTHING
    scope = _scope(asked, claims_request.scope_of(asked_claims, asked), client)
    prompt = _prompt(parameters.get("prompt"))
    details = _details(parameters.get("authorization_details"), client)
    if "link_request" in parameters and authorization_details.questions(details):
        raise InvalidRequest("a link is made by itself, without a question about mandates")
    joined = joint.read_parameter(parameters.get(joint.PARAMETER))
    licence.check_request(asked, scope, joined, prompt, client)
    if details and licence.SCOPES & scope:
        raise InvalidRequest("a licence is asked for by itself, without authorization_details")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        response_mode=mode.value,
        code_challenge=challenge,
        scope=scope,
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        prompt=prompt,
        max_age=_max_age(parameters.get("max_age"), client.default_max_age),
        ui_locales=parameters.get("ui_locales"),
        acr_values=_acr_values(parameters.get("acr_values"), asked_claims, client),
        login_hint=parameters.get("login_hint"),
        subject=_subject(hinted, asked_claims),
        claims=claims_request.to_json(asked_claims),
        authorization_details=details,
        resources=resource.parse(parameters.get("resource", ""), known=client.resources),
        dpop_jkt=_jkt(parameters.get("dpop_jkt")),
        sign_transaction=sign_transaction.read_request(parameters.get("sign_transaction_id"), asked, client),
        joint=joined,
        link=_link(parameters.get("link_request"), scope, prompt),
    )


def modes_for(redirect_uri: str) -> frozenset[ResponseMode]:
    """The response modes that can reach an address."""
    private = urlsplit(redirect_uri).scheme not in {"http", "https"}
    return modes_of(private_use_address=private, signed_only=False)


def mode_of_refusal(parameters: Mapping[str, str], redirect_uri: str) -> ResponseMode:
    """How a request that was not judged to its end is answered: as it asked, if that can be; else in the query."""
    try:
        return choose(parameters.get("response_mode"), modes_for(redirect_uri))
    except InvalidRequest:
        return ResponseMode.QUERY


def check_person(request: AuthorizationRequest, subject: Subject) -> None:
    """Refuse anybody but the one that the client asked for (OIDC Core §3.1.2.1, §5.5.1). Raises LoginRequired."""
    if request.subject is not None and request.subject != subject:
        raise LoginRequired("another person than the one asked for")
    claims_request.check_subject(claims_request.from_json(request.claims), subject)


def check_strength(request: AuthorizationRequest, reached: Collection[str | None]) -> None:
    """Refuse where no `acr` of `reached` is one that the client calls essential (OIDC Core §5.5.1.1).

    Before the card: what a login could reach; after it, what this one did. Raises UnmetAuthenticationRequirements.
    """
    claims_request.check_acr(claims_request.from_json(request.claims), reached)


def _scope(asked: frozenset[str], needed: frozenset[str], client: Client) -> frozenset[str]:
    """What is served of `needed` (`asked`, and what claims asked for by name need) and registered for the client.

    Unknown scopes are ignored (OIDC Core §3.1.2.1). `offline_access` means a refresh token; the resident is asked about
    it like about every scope (§11). Raises ProofNotAllowed for a scope that says who a resident is, where the client
    may not know; but a claim asked for by name is only absent then (§5.5.1), and `profile` and `address`, which every
    client of OIDC Core may try (§5.4), are passed over for one of profile `oidc`. What residents register themselves is
    served only to clients that say what for (`data_use`).
    """
    identity = frozenset({PROFILE, *claims_request.IDENTITY})
    known = client.scope if client.proves_identity else client.scope - identity
    tried = frozenset({PROFILE, "address"}) if client.profile is SecurityProfile.OIDC else frozenset()
    if (asked & identity) - known - tried:
        raise ProofNotAllowed("the client is not registered for what says who a resident is")
    granted = needed & SCOPES & known
    granted -= frozenset() if client.asks_mandates else {DELEGATIONS}
    granted -= {name for name in granted & claims_request.ATTRIBUTE_SCOPES if client.use_of(name) is None}
    return granted if GrantType.REFRESH_TOKEN in client.grant_types else granted - {OFFLINE_ACCESS}


def _acr_values(value: str | None, asked: claims_request.ClaimsRequest, client: Client) -> tuple[str, ...]:
    """`acr_values`, or what stands for it: the registered default where the request says nothing about `acr`."""
    if value is not None:
        return tuple(value.split())
    return () if claims_request.preferred_acr(asked) else client.default_acr_values


def _subject(hinted: Subject | None, asked: claims_request.ClaimsRequest) -> Subject | None:
    """Whom an id_token_hint or a claims request names, if it is one person. Raises LoginRequired: two of them."""
    required = claims_request.required_subjects(asked)
    if required is None:
        return hinted
    if not required or (hinted is not None and hinted not in required):
        raise LoginRequired("id_token_hint and claims ask for different people")
    return hinted or (Subject(*required) if len(required) == 1 else None)


def _details(text: str | None, client: Client) -> str:
    if text is None:
        return ""
    allowed = client.authorization_details_types
    if not client.asks_mandates:
        allowed -= {mandate_question.TYPE}
    details = authorization_details.parse(text, allowed=allowed)
    if sum(detail.type == mandate_question.TYPE for detail in details) > mandate_question.MAX_QUESTIONS:
        raise InvalidAuthorizationDetails(f"at most {mandate_question.MAX_QUESTIONS} questions about mandates")
    return authorization_details.to_json(details)


def _jkt(value: str | None) -> str | None:
    if value is not None and not _THUMBPRINT.fullmatch(value):
        raise InvalidRequest("dpop_jkt is a SHA-256 thumbprint (RFC 9449 §10)")
    return value


def _link(handle: str | None, scope: frozenset[str], prompt: frozenset[str]) -> str | None:
    """A link is made by the card alone, and by itself: the card signs for the number and for nothing beside it (R2).

    Raises InvalidRequest, InvalidScope, InteractionRequired.
    """
    if handle is None:
        return None
    if not _THUMBPRINT.fullmatch(handle):
        raise InvalidRequest("link_request is not as we gave it")
    if LINKED_ID not in scope or scope - {"openid", LINKED_ID, OFFLINE_ACCESS}:
        raise InvalidScope("a link_request goes with scope linked_id, and with nothing that says who somebody is")
    if "none" in prompt:
        raise InteractionRequired("a link needs the card")
    return hashlib.sha256(handle.encode()).hexdigest()


def _prompt(value: str | None) -> frozenset[str]:
    asked = frozenset((value or "").split())
    if not asked <= PROMPTS:
        raise InvalidRequest("unknown prompt")
    if "none" in asked and len(asked) > 1:
        raise InvalidRequest("prompt=none stands alone (OIDC Core §3.1.2.1)")
    return asked


def _max_age(value: str | None, default: int | None) -> int | None:
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidRequest("max_age must be a number of seconds")
    return int(value)
