"""What the official plans send and a provider must refuse (and some that it must not), each by one function of a side.

The numbers are those of the list that the broker's own tests carry in their names; `own` are beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from joserfc.jwk import ECKey

from tests.interop.clients import CALLBACK, LEFT
from tests.interop.sides import VERIFIER, FromNow, Reply, Side

Case = Callable[[Side], Reply]
CODE, OTHER, FAPI, FAPI2 = "plain", "other", "fapi", "fapi-other"
"""Two clients of profile oidc, two of profile fapi2."""

_STRANGER: Final = ECKey.generate_key("P-256", {"kid": "stranger"}, private=True)


def _authorize(**changes: str | None) -> Case:
    return lambda side: side.authorize(side.parameters(CODE, **changes))


def _assertion(**changes: Any) -> Case:
    """At PAR, as a FAPI client."""
    return lambda side: side.push(FAPI, assertion=side.assertion(FAPI, **changes))[0]


def _aud(endpoint: str) -> Case:
    return lambda side: side.push(FAPI, assertion=side.assertion(FAPI, aud=side.endpoint(endpoint)))[0]


def _pushed(**changes: str | None) -> Case:
    return lambda side: side.push(FAPI, side.parameters(FAPI, **changes))[0]


def _object(**changes: Any) -> Case:
    def ask(side: Side) -> Reply:
        return side.push(FAPI, {"client_id": FAPI, "request": side.request_object(FAPI, **changes)})[0]

    return ask


def _later(**seconds: int) -> Case:
    """A pushed request object whose times are these many seconds from now."""
    return _object(**{name: FromNow(value) for name, value in seconds.items()})


def _proof(**changes: Any) -> Case:
    """A DPoP proof that is wrong in one way, at the token endpoint with a good code."""

    def ask(side: Side) -> Reply:
        proof = side.clients[FAPI].proof("POST", side.endpoint("token"), **changes)
        return side.token(FAPI, side.code(FAPI), dpop=proof)[0]

    return ask


def _resource(scheme: str = "DPoP", **changes: Any) -> Case:
    """A DPoP proof that is wrong in one way, at userinfo with a good token."""

    def ask(side: Side) -> Reply:
        token = side.token(FAPI, side.code(FAPI), dpop=True)[1]["access_token"]
        if changes.get("ath") == "none":
            changes["ath"] = None
        proof = side.clients[FAPI].proof("GET", side.endpoint("userinfo"), token=token, **changes)
        return side.userinfo(token, scheme=scheme, dpop=proof)

    return ask


def n16_codereuse(side: Side) -> Reply:
    code = side.code(CODE)
    assert side.token(CODE, code)[0].status == 200
    return side.token(CODE, code)[0]


def n17_the_token_of_a_reused_code(side: Side) -> Reply:
    code = side.code(CODE)
    token = side.token(CODE, code)[1]["access_token"]
    assert side.userinfo(token).status == 200
    side.token(CODE, code)
    return side.userinfo(token)


def n18_refresh_token_of_another_client(side: Side) -> Reply:
    code = side.code(CODE, scope="openid offline_access", prompt="consent")
    refresh = side.token(CODE, code)[1]["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh}
    return side.post(side.endpoint("token"), form, by=OTHER)[0]


def n29_request_uri_after_success(side: Side) -> Reply:
    request_uri = side.push(FAPI)[1]["request_uri"]
    url = f"{side.endpoint('authorization')}?client_id={FAPI}&request_uri={request_uri}"
    side.visit(url, FAPI)
    return side.follow(url)


def n31_request_uri_of_another_client(side: Side) -> Reply:
    request_uri = side.push(FAPI)[1]["request_uri"]
    return side.authorize({"client_id": FAPI2, "request_uri": request_uri})


def n32_request_uri_within_par(side: Side) -> Reply:
    request_uri = side.push(FAPI)[1]["request_uri"]
    return side.push(FAPI, side.parameters(FAPI, request_uri=request_uri))[0]


def n34_put(side: Side) -> Reply:
    """By its kind alone: which of the 4xx it is, no program asks."""
    reply, _ = side.push(FAPI, method="PUT")
    return Reply(kind="refused" if 400 <= reply.status < 500 else "taken")


def n44_client_id_alone(side: Side) -> Reply:
    form = {"grant_type": "authorization_code", "code": side.code(CODE), "redirect_uri": CALLBACK}
    return side.post(side.endpoint("token"), {**form, "code_verifier": VERIFIER, "client_id": CODE})[0]


def n46_code_of_another_client(side: Side) -> Reply:
    return side.token(OTHER, side.code(CODE))[0]


def n51_code_bound_to_another_key(side: Side) -> Reply:
    code = side.code(FAPI, dpop_jkt=side.clients[FAPI2].dpop.thumbprint())
    return side.token(FAPI, code, dpop=True)[0]


def n50_dpop_jkt_of_another_key(side: Side) -> Reply:
    proof = side.clients[FAPI].proof("POST", side.endpoint("pushed_authorization_request"))
    asked = side.parameters(FAPI, dpop_jkt=side.clients[FAPI2].dpop.thumbprint())
    return side.push(FAPI, asked, headers={"DPoP": proof})[0]


def n53_bearer_for_a_bound_token(side: Side) -> Reply:
    return side.userinfo(side.token(FAPI, side.code(FAPI), dpop=True)[1]["access_token"])


def n53_proof_used_twice(side: Side) -> Reply:
    token = side.token(FAPI, side.code(FAPI), dpop=True)[1]["access_token"]
    proof = side.clients[FAPI].proof("GET", side.endpoint("userinfo"), token=token)
    assert side.userinfo(token, scheme="DPoP", dpop=proof).status == 200
    return side.userinfo(token, scheme="DPoP", dpop=proof)


def own_assertion_used_twice(side: Side) -> Reply:
    assertion = side.assertion(FAPI)
    assert side.push(FAPI, assertion=assertion)[0].status == 201
    return side.push(FAPI, assertion=assertion)[0]


def own_duplicate_parameter(side: Side) -> Reply:
    return side.follow(f"{side.endpoint('authorization')}?client_id={CODE}&client_id={OTHER}&response_type=code")


def _logout(**changes: str | None) -> Case:
    def ask(side: Side) -> Reply:
        hint = side.token(CODE, side.code(CODE))[1]["id_token"]
        head, body, _ = hint.split(".")
        made = {
            "id_token_hint": hint,
            "modified": f"eyJhbGciOiJub25lIn0.{body}.",
            "foreign": f"{head}.{body}.{'A' * 86}",
        }
        asked = {"post_logout_redirect_uri": LEFT, **changes}
        if "id_token_hint" in asked:
            asked["id_token_hint"] = made[str(asked["id_token_hint"])]
        return Reply(kind=side.logout({name: value for name, value in asked.items() if value is not None}))

    return ask


def _form_fault(**changes: Any) -> Case:
    return lambda side: side.token(CODE, side.code(CODE), **changes)[0]


CASES: Final[dict[str, Case]] = {
    "1 response_type missing": _authorize(response_type=None),
    "2 redirect_uri not registered": _authorize(redirect_uri="http://127.0.0.5:9/other"),
    "3 no redirect_uri of two": _authorize(redirect_uri=None),
    "4 redirect_uri with another query": _authorize(redirect_uri=f"{CALLBACK}?x=2"),
    "5 redirect_uri with a query": _authorize(redirect_uri=f"{CALLBACK}?foo=bar"),
    "6 redirect_uri with a fragment registered": lambda side: side.register({"redirect_uris": [f"{CALLBACK}#f"]}),
    "8 initiate_login_uri without https": lambda side: side.register({"initiate_login_uri": "http://rp.example/login"}),
    "9 prompt=none, nobody logged in": _authorize(prompt="none"),
    "12 unknown parameter": _authorize(extra="foobar"),
    "14 unsigned request object": lambda side: side.authorize(
        side.parameters(CODE, request=side.request_object(CODE, alg="none"))
    ),
    "15 request_uri by reference": _authorize(request_uri="https://rp.example/request.jwt"),
    "16 code used twice": n16_codereuse,
    "17 token of a code used twice": n17_the_token_of_a_reused_code,
    "18 refresh token of another client": n18_refresh_token_of_another_client,
    "21 post_logout_redirect_uri not registered": _logout(
        id_token_hint="id_token_hint", post_logout_redirect_uri="http://127.0.0.5:9/other"
    ),
    "22 post_logout_redirect_uri with a query": _logout(
        id_token_hint="id_token_hint", post_logout_redirect_uri=f"{LEFT}?foo=bar"
    ),
    "23 id_token_hint made unsigned": _logout(id_token_hint="modified"),
    "24 id_token_hint of another key": _logout(id_token_hint="foreign"),
    "25 no id_token_hint": _logout(),
    "28 no PAR": lambda side: side.authorize(side.parameters(FAPI)),
    "29 request_uri after success": n29_request_uri_after_success,
    "31 request_uri of another client": n31_request_uri_of_another_client,
    "32 request_uri within PAR": n32_request_uri_within_par,
    "33 request_uri within the object": _object(request_uri="urn:ietf:params:oauth:request_uri:x"),
    "34 PAR by PUT": n34_put,
    "35 no code_challenge": _pushed(code_challenge=None, code_challenge_method=None),
    "36 plain code_challenge": _pushed(code_challenge=VERIFIER, code_challenge_method="plain"),
    "37 no code_verifier": _form_fault(code_verifier=None),
    "37 wrong code_verifier": _form_fault(code_verifier="x" * 43),
    "38 array as audience": lambda side: side.push(FAPI, assertion=side.assertion(FAPI, aud=[side.issuer]))[0],
    "38 PAR endpoint as audience": _aud("pushed_authorization_request"),
    "38 token endpoint as audience": _aud("token"),
    "39 nbf 8 s ahead": _assertion(nbf=FromNow(8)),
    "39 nbf 70 s ahead": _assertion(nbf=FromNow(70), exp=FromNow(200)),
    "40 exp 5 min ago": _assertion(exp=FromNow(-300), iat=FromNow(-400)),
    "41 wrong audience": _assertion(aud="https://elsewhere.example"),
    "42 no sub": _assertion(sub=None),
    "43 RS256": _assertion(alg="RS256"),
    "44 client_id alone": n44_client_id_alone,
    "45 client_id of another": _form_fault(client_id=OTHER),
    "46 code of another client": n46_code_of_another_client,
    "48 code id_token": _authorize(response_type="code id_token"),
    "48 code token": _authorize(response_type="code token"),
    "49 no proof": lambda side: side.token(FAPI, side.code(FAPI))[0],
    "50 dpop_jkt of another key at PAR": n50_dpop_jkt_of_another_key,
    "51 code bound to another key": n51_code_bound_to_another_key,
    "52 not a JWT": lambda side: side.token(FAPI, side.code(FAPI), dpop="not.a.jwt")[0],
    "52 wrong typ": _proof(typ="jwt"),
    "52 no typ": _proof(typ=None),
    "52 no jwk": _proof(jwk=None),
    "52 no jti": _proof(jti=None),
    "52 no htm": _proof(htm=None),
    "52 no htu": _proof(htu=None),
    "52 no iat": _proof(iat=None),
    "52 no ath": _resource(ath="none"),
    "53 alg none": _proof(alg="none"),
    "53 another key's signature": lambda side: _proof(
        key=_STRANGER, jwk=side.clients[FAPI].dpop.as_dict(private=False)
    )(side),
    "53 private key in jwk": lambda side: _proof(jwk=side.clients[FAPI].dpop.as_dict(private=True))(side),
    "53 htm PUT": _proof(htm="PUT"),
    "53 other htu": _proof(htu="http://localhost/other"),
    "53 iat an hour ago": _proof(iat=FromNow(-3600)),
    "53 iat an hour ahead": _proof(iat=FromNow(3600)),
    "53 wrong ath": _resource(ath="x" * 43),
    "53 another key at userinfo": _resource(key=_STRANGER),
    "53 Bearer for a bound token": n53_bearer_for_a_bound_token,
    "53 proof used twice": n53_proof_used_twice,
    "54 htu with query and fragment": lambda side: _proof(htu=f"{side.endpoint('token')}?a=b#c")(side),
    "54 unknown claims": _proof(foo="bar"),
    "55 object without exp": _object(exp=None),
    "55 object without nbf": _object(nbf=None),
    "55 object expired": _later(exp=-60, nbf=-300, iat=-300),
    "55 object exp 70 min ahead": _later(exp=70 * 60),
    "55 object nbf 70 min ago": _later(nbf=-70 * 60, exp=60),
    "55 object nbf 8 s ahead": _later(nbf=8),
    "55 object for another audience": _object(aud="https://elsewhere.example"),
    "56 object RS256": _object(alg="RS256"),
    "56 object unsigned": _object(alg="none"),
    "56 object signed by another": lambda side: _object(key=side.clients[FAPI2].key)(side),
    "own no scope openid": _authorize(scope="offline_access"),
    "own prompt none and login": _authorize(prompt="none login"),
    "own max_age no number": _authorize(max_age="soon"),
    "own response_mode unknown": _authorize(response_mode="web_message"),
    "own response_mode fragment": _authorize(response_mode="fragment"),
    "own unknown client": lambda side: side.authorize(side.parameters(CODE, client_id="nobody")),
    "own client_id twice": own_duplicate_parameter,
    "own claims no JSON": _authorize(claims="{"),
    "own assertion used twice": own_assertion_used_twice,
    "own grant_type unknown": _form_fault(grant_type="password"),
    "own grant_type missing": _form_fault(grant_type=None),
    "own code missing": lambda side: side.token(CODE, None)[0],
    "own code unknown": lambda side: side.token(CODE, "x" * 43)[0],
    "own redirect_uri of the other": _form_fault(redirect_uri=f"{CALLBACK}?x=1"),
    "own userinfo without token": lambda side: side.userinfo(None),
    "own userinfo with a wrong token": lambda side: side.userinfo("x" * 43),
    "own introspection unauthenticated": lambda side: side.post(side.endpoint("introspection"), {"token": "x"})[0],
    "own introspection without token": lambda side: side.post(side.endpoint("introspection"), {}, by=CODE)[0],
    "own introspection of nothing": lambda side: side.post(side.endpoint("introspection"), {"token": "x"}, by=CODE)[0],
    "own revocation unauthenticated": lambda side: side.post(side.endpoint("revocation"), {"token": "x"})[0],
    "own revocation of nothing": lambda side: side.post(side.endpoint("revocation"), {"token": "x"}, by=CODE)[0],
    "own registration with a wrong invitation": lambda side: side.register({}, invitation="x" * 43),
    "own registration with no redirect_uris": lambda side: side.register({"redirect_uris": []}),
    "own registration with texts that are none": lambda side: side.register({"redirect_uris": [7]}),
}
