"""Where ours and npm oidc-provider answer a negative in different words, and why we keep ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Difference:
    """What each of the two answers, and by which rule ours is right or as right."""

    ours: str
    theirs: str
    reason: str


DIFFERENCES: Final[dict[str, Difference]] = {
    "6 redirect_uri with a fragment registered": Difference(
        "json 400 invalid_redirect_uri",
        "json 400 invalid_client_metadata",
        "RFC 7591 §3.2.2 has a code of its own for redirect URIs; the suite takes either.",
    ),
    "14 unsigned request object": Difference(
        "redirect request_not_supported",
        "redirect invalid_request_object",
        "The suite's module wants it processed in full or refused as not supported (OIDC Core §3.1.2.6).",
    ),
    "32 request_uri within PAR": Difference(
        "json 400 invalid_request",
        "json 400 request_uri_not_supported",
        "RFC 9126 §2.1 forbids the parameter, whatever is supported; the suite takes either.",
    ),
    "45 client_id of another": Difference(
        "json 401 invalid_client",
        "json 400 invalid_request",
        "Who the client is stands in doubt, so its authentication failed (RFC 7521 §4.2); the suite names it.",
    ),
    "49 no proof": Difference(
        "json 400 invalid_dpop_proof",
        "json 400 invalid_grant",
        "Nothing is wrong with the grant, which stays good; the suite takes either.",
    ),
    "50 dpop_jkt of another key at PAR": Difference(
        "json 400 invalid_dpop_proof",
        "json 400 invalid_request",
        "RFC 9449 §10.1 asks for a refusal without a code for it; the suite takes either.",
    ),
    "53 proof used twice": Difference(
        "json 401 invalid_dpop_proof",
        "json 401 invalid_token",
        "The token is as good as before, the proof is not: RFC 9449 §7.1 tells the two apart.",
    ),
    "own no scope openid": Difference(
        "redirect invalid_scope",
        "redirect invalid_request",
        "RFC 6749 §4.1.2.1 has a code for scopes that are missing or malformed.",
    ),
    "own response_mode unknown": Difference(
        "redirect invalid_request",
        "redirect unsupported_response_mode",
        "No such error is registered; RFC 6749 §4.1.2.1 has invalid_request for bad values.",
    ),
    "own response_mode fragment": Difference(
        "redirect invalid_request",
        "login",
        "A code has no business in a fragment: we list the modes we serve, and this one is not among them.",
    ),
    "own introspection unauthenticated": Difference(
        "json 401 invalid_client",
        "json 400 invalid_request",
        "RFC 7662 §2.3 and RFC 6749 §5.2: no client authentication included is invalid_client, with 401.",
    ),
    "own revocation unauthenticated": Difference(
        "json 401 invalid_client",
        "json 400 invalid_request",
        "RFC 7009 §2.2.1 and RFC 6749 §5.2: no client authentication included is invalid_client, with 401.",
    ),
    "own registration with no redirect_uris": Difference(
        "json 400 invalid_redirect_uri",
        "json 400 invalid_client_metadata",
        "RFC 7591 §3.2.2: the value of one or more redirection URIs is at fault.",
    ),
    "own registration with texts that are none": Difference(
        "json 400 invalid_client_metadata",
        "json 400 invalid_redirect_uri",
        "An entry that is no text is no redirection URI to judge: the document is malformed, whatever the member.",
    ),
}
