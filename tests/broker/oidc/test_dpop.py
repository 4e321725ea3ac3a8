"""DPoP proofs: what RFC 9449 prints passes, and what bends one rule does not (cases 49 to 54 of the official suite)."""

from __future__ import annotations

import functools
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import jose
from broker.errors import InvalidDPoPProof, UseDPoPNonce
from broker.jose import b64url, b64url_decode
from broker.oidc import dpop
from broker.oidc.dpop import MAX_AGE, NONCE_STEP, NONCE_STEPS, SKEW, NonceKeys, Proof, check_proof, token_hash

PRINTED = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9449" / "proofs.json").read_text())
NOW = datetime(2026, 11, 20, 3, 0, 30, tzinfo=UTC)
URL = "https://op.example/token"
SECOND = timedelta(seconds=1)
KEYS = NonceKeys(secrets=(b"n" * 32,))
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256, FIPS 186-4 D.1.2.3


@functools.cache
def key(name: str = "client") -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def es256(data: bytes) -> bytes:
    return jose.raw_ecdsa(key().sign(data, ec.ECDSA(hashes.SHA256())), algorithm="ES256")


def ps256(data: bytes, salt: int = 32) -> bytes:
    return rsa_key().sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())


def make(
    *,
    header: dict[str, object] | None = None,
    sign: Callable[[bytes], bytes] = es256,
    **changes: object,
) -> str:
    """A proof that is good but for `header` and `changes`; a value None leaves the member out."""
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jose.public_jwk(key())} | (header or {})
    body = {"jti": "j", "htm": "POST", "htu": URL, "iat": int(NOW.timestamp())} | changes
    segments = (
        b64url(json.dumps({name: value for name, value in part.items() if value is not None}).encode())
        for part in (head, body)
    )
    signing_input = ".".join(segments)
    return f"{signing_input}.{b64url(sign(signing_input.encode()))}"


def judge(
    *proofs: str,
    method: str = "POST",
    url: str = URL,
    now: datetime = NOW,
    nonces: NonceKeys | None = None,
    access_token: str | None = None,
    expected_jkt: str | None = None,
) -> Proof:
    return check_proof(
        proofs, method=method, url=url, now=now, nonces=nonces, access_token=access_token, expected_jkt=expected_jkt
    )


# --- known answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("printed", PRINTED["proofs"], ids=lambda printed: printed["section"])
def test_the_proofs_printed_in_rfc9449_hold_for_their_request_alone(printed: dict[str, Any]) -> None:
    now = datetime.fromtimestamp(printed["iat"], tz=UTC)
    token = PRINTED["access_token"] if printed["with_access_token"] else None
    good: dict[str, Any] = {
        "method": printed["method"],
        "url": printed["url"],
        "now": now,
        "access_token": token,
        "expected_jkt": PRINTED["jkt"],
    }
    proof = judge(printed["proof"], **good)
    assert (proof.jkt, proof.jti, proof.iat) == (PRINTED["jkt"], printed["jti"], now)
    for other in (
        {"method": "PUT"},
        {"url": "https://other.example/token"},
        {"now": now + timedelta(hours=1)},
        {"access_token": "other"},
        {"expected_jkt": jose.thumbprint(jose.public_jwk(key()))},
    ):
        with pytest.raises(InvalidDPoPProof):
            judge(printed["proof"], **good | other)


def test_the_hash_of_an_access_token_is_the_one_printed_in_rfc9449_section_7_1() -> None:
    assert token_hash(PRINTED["access_token"]) == PRINTED["ath"]


# --- what must pass --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "sign", "jwk"),
    [
        ("ES256", es256, lambda: jose.public_jwk(key())),
        ("PS256", ps256, lambda: jose.public_jwk(rsa_key())),
        ("EdDSA", lambda data: edwards().sign(data), lambda: jose.public_jwk(edwards())),
    ],
    ids=["ES256", "PS256", "EdDSA"],
)
def test_a_proof_by_each_offered_algorithm_holds_and_names_its_key(
    algorithm: str, sign: Callable[[bytes], bytes], jwk: Callable[[], dict[str, str]]
) -> None:
    proof = judge(make(header={"alg": algorithm, "jwk": jwk()}, sign=sign), expected_jkt=jose.thumbprint(jwk()))
    assert proof == Proof(
        jkt=jose.thumbprint(jwk()),
        jti="j",
        iat=NOW.replace(microsecond=0),
        expires_at=NOW.replace(microsecond=0) + MAX_AGE + SKEW,
    )
    assert algorithm in dpop.ALGORITHMS


@functools.cache
def edwards() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    "htu",
    [
        URL,
        f"{URL}?a=b",
        f"{URL}#c",
        f"{URL}?a=b#c",
        f"{URL}?",
        f"{URL}#",
        "https://OP.Example/token",
        "HTTPS://op.example/token",
        "https://op.example:443/token",
        "https://op.example:/token",
        "https://op.example/%74oken",
        "https://op.example/%74%6Fken?x=%C3%A9",
        "https://op.example/a/../token",
        "https://op.example/./token",
    ],
)
def test_case_54_an_address_written_otherwise_is_the_same(htu: str) -> None:
    assert judge(make(htu=htu)).jti == "j"
    assert judge(make(htu=URL), url=htu).jti == "j"


def test_case_54_unknown_claims_and_header_members_are_ignored() -> None:
    assert judge(make(header={"kid": "x", "y": 1}, extra={"deep": [1]}, ath="not asked", nonce="nobody's")).jti == "j"


def test_case_54_a_key_may_say_more_about_itself() -> None:
    jwk = {**jose.public_jwk(key()), "kid": "k", "use": "sig", "alg": "ES256", "key_ops": ["verify"], "ext": True}
    assert judge(make(header={"jwk": jwk})).jkt == jose.thumbprint(jose.public_jwk(key()))


# --- what must not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 2, 3])
def test_case_49_and_52_there_is_exactly_one_proof(count: int) -> None:
    with pytest.raises(InvalidDPoPProof, match="exactly one"):
        judge(*[make(jti=str(number)) for number in range(count)])


def test_case_52_two_proofs_joined_by_a_comma_are_refused() -> None:
    for comma in (",", ", "):
        with pytest.raises(InvalidDPoPProof):
            judge(comma.join((make(), make(jti="k"))))


@pytest.mark.parametrize(
    "proof",
    ["", ".", "..", "x", "a.b.c", "Bearer x", "e30.e30.", "e30.e30.AA", "é", "\n", "x" * 9000, "." * 8000],
    ids=lambda proof: repr(proof[:9]),
)
def test_case_52_what_is_not_a_jws_is_refused(proof: str) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(proof)


@pytest.mark.parametrize("member", ["typ", "alg", "jwk"])
def test_case_52_every_header_member_is_required(member: str) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(header={member: None}))


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
def test_case_52_every_claim_is_required(claim: str) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(**{claim: None}))


def test_case_52_ath_is_required_beside_an_access_token() -> None:
    assert judge(make(ath=token_hash("t")), access_token="t")
    with pytest.raises(InvalidDPoPProof, match="ath"):
        judge(make(), access_token="t")


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "dpop", "dpop+jws", "at+jwt", "client-authentication+jwt", "", " dpop+jwt"]
)
def test_case_52_a_token_of_another_type_is_no_proof(typ: str) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(header={"typ": typ}))


CLAIMS = {
    "jti empty": {"jti": ""},
    "jti too long": {"jti": "x" * 257},
    "jti a number": {"jti": 1},
    "jti a list": {"jti": ["j"]},
    "htm PUT": {"htm": "PUT"},
    "htm lower case": {"htm": "post"},
    "htm a list": {"htm": ["POST"]},
    "htm true": {"htm": True},
    "htu another path": {"htu": "https://op.example/par"},
    "htu another host": {"htu": "https://op.example.evil.example/token"},
    "htu another scheme": {"htu": "http://op.example/token"},
    "htu another port": {"htu": "https://op.example:8443/token"},
    "htu port of the other scheme": {"htu": "https://op.example:80/token"},
    "htu longer path": {"htu": f"{URL}/"},
    "htu shorter path": {"htu": "https://op.example"},
    "htu path in capitals": {"htu": "https://op.example/TOKEN"},
    "htu doubled slash": {"htu": "https://op.example//token"},
    "htu reserved character decoded": {"htu": "https://op.example/%2Ftoken"},
    "htu with a user": {"htu": "https://op.example@op.example/token"},
    "htu with a user before": {"htu": "https://x:y@op.example/token"},
    "htu with a space": {"htu": f" {URL}"},
    "htu with a tab": {"htu": "https://op.example/\ttoken"},
    "htu with a line": {"htu": f"{URL}\n"},
    "htu with a backslash": {"htu": "https:\\\\op.example\\token"},
    "htu with a long s": {"htu": "http\u017f://op.example/token"},
    "htu with a Kelvin sign": {"htu": "https://op.example/to\u212aen"},
    "htu with a broken escape": {"htu": "https://op.example/token%"},
    "htu with a full-width dot": {"htu": "https://op\uff0eexample/token"},
    "htu of five nines and one": {"htu": "https://op.example:999999/token"},
    "htu relative": {"htu": "/token"},
    "htu too long": {"htu": f"{URL}?{'a' * 2048}"},
    "htu a list": {"htu": [URL]},
    "htu a number": {"htu": 1},
    "htu an object": {"htu": {}},
    "iat an hour ago": {"iat": NOW.timestamp() - 3600},
    "iat in an hour": {"iat": NOW.timestamp() + 3600},
    "iat a string": {"iat": str(int(NOW.timestamp()))},
    "iat true": {"iat": True},
    "iat negative": {"iat": -1},
    "iat at the end of the calendar": {"iat": 253_402_300_799},
    "iat beyond the calendar": {"iat": 1e300},
    "exp a string": {"exp": "never"},
}


@pytest.mark.parametrize("changes", CLAIMS.values(), ids=CLAIMS)
def test_case_53_a_claim_that_breaks_one_rule_is_refused(changes: dict[str, object]) -> None:
    assert judge(make())
    with pytest.raises(InvalidDPoPProof):
        judge(make(**changes))


def test_jti_has_1_to_256_characters() -> None:
    for length in (1, 256):
        assert len(judge(make(jti="x" * length)).jti) == length


def test_case_53_rs256_none_and_shared_secrets_are_refused() -> None:
    rsa_jwk = jose.public_jwk(rsa_key())
    secret = {"kty": "oct", "k": b64url(b"s" * 32)}

    def rs256(data: bytes) -> bytes:
        return rsa_key().sign(data, padding.PKCS1v15(), hashes.SHA256())

    def hs256(data: bytes) -> bytes:
        return hmac.digest(b"s" * 32, data, "sha256")

    for header, sign in (
        ({"alg": "RS256", "jwk": rsa_jwk}, rs256),
        ({"alg": "PS256", "jwk": rsa_jwk}, rs256),
        ({"alg": "none"}, lambda _: b""),
        ({"alg": "None"}, lambda _: b""),
        ({"alg": "ES256"}, lambda _: b""),
        ({"alg": "HS256", "jwk": secret}, hs256),
        ({"alg": "ES256", "jwk": secret}, hs256),
    ):
        with pytest.raises(InvalidDPoPProof):
            judge(make(header=header, sign=sign))


SIGNATURES: dict[str, Callable[[bytes], bytes]] = {
    "another key's": lambda data: jose.raw_ecdsa(key("other").sign(data, ec.ECDSA(hashes.SHA256())), algorithm="ES256"),
    "over other bytes": lambda data: es256(data + b"x"),
    "in DER": lambda data: key().sign(data, ec.ECDSA(hashes.SHA256())),
    "cut short": lambda data: es256(data)[:-1],
    "too long": lambda data: es256(data) + b"\0",
    "all zero": lambda _: bytes(64),
    "r zero": lambda data: bytes(32) + es256(data)[32:],
    "s zero": lambda data: es256(data)[:32] + bytes(32),
    "r and s the order": lambda _: ORDER.to_bytes(32, "big") * 2,
    "r and s one": lambda _: (1).to_bytes(32, "big") * 2,
    "s above the order": lambda data: es256(data)[:32] + (ORDER + 1).to_bytes(32, "big"),
    "r beyond 256 bits": lambda data: b"\1" + es256(data)[:32] + b"\0" + es256(data)[32:],
    "DER of zero": lambda _: encode_dss_signature(0, 0),
    "of SHA-384": lambda data: jose.raw_ecdsa(key().sign(data, ec.ECDSA(hashes.SHA384())), algorithm="ES256"),
}


@pytest.mark.parametrize("sign", SIGNATURES.values(), ids=SIGNATURES)
def test_case_53_a_bad_signature_is_refused(sign: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(sign=sign))


def test_case_53_an_edwards_signature_has_one_spelling_and_a_salt_one_length() -> None:
    order = 2**252 + 27742317777372353535851937790883648493  # RFC 8032 §5.1

    def malleable(data: bytes) -> bytes:
        signature = edwards().sign(data)
        shifted = int.from_bytes(signature[32:], "little") + order
        return signature[:32] + shifted.to_bytes(32, "little")

    with pytest.raises(InvalidDPoPProof):
        judge(make(header={"alg": "EdDSA", "jwk": jose.public_jwk(edwards())}, sign=malleable))
    for salt in (0, 20, 64):
        with pytest.raises(InvalidDPoPProof):
            judge(
                make(
                    header={"alg": "PS256", "jwk": jose.public_jwk(rsa_key())},
                    sign=lambda data, salt=salt: ps256(data, salt),
                )
            )


def test_case_53_a_private_key_in_the_header_is_refused_whatever_its_kind() -> None:
    for member in ("d", "p", "q", "dp", "dq", "qi", "oth", "k"):
        with pytest.raises(InvalidDPoPProof, match="private key"):
            judge(make(header={"jwk": {**jose.public_jwk(key()), member: "AAAA"}}))


JWKS: dict[str, Callable[[], object]] = {
    "a string": lambda: "key",
    "a list": lambda: [jose.public_jwk(key())],
    "empty": dict,
    "a key set": lambda: {"keys": [jose.public_jwk(key())]},
    "no type": lambda: {**jose.public_jwk(key()), "kty": None},
    "type a list": lambda: {**jose.public_jwk(key()), "kty": ["EC"]},
    "another curve": lambda: jose.public_jwk(ec.generate_private_key(ec.SECP384R1())),
    "off the curve": lambda: {**jose.public_jwk(key()), "y": b64url(bytes(31) + b"\1")},
    "the point at infinity": lambda: {**jose.public_jwk(key()), "x": b64url(bytes(32)), "y": b64url(bytes(32))},
    "another's key": lambda: jose.public_jwk(key("other")),
    "for encryption": lambda: {**jose.public_jwk(key()), "use": "enc"},
    "for signing only": lambda: {**jose.public_jwk(key()), "key_ops": ["sign"]},
    "for another algorithm": lambda: {**jose.public_jwk(key()), "alg": "ES384"},
    "a coordinate too short": lambda: {**jose.public_jwk(key()), "x": "AAAA"},
    "a coordinate padded": lambda: {**jose.public_jwk(key()), "x": jose.public_jwk(key())["x"] + "="},
    "a coordinate that is a number": lambda: {**jose.public_jwk(key()), "x": 1},
}


@pytest.mark.parametrize("jwk", JWKS.values(), ids=JWKS)
def test_case_53_a_key_that_is_none_for_this_signature_is_refused(jwk: Callable[[], object]) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(header={"jwk": jwk()}))


def test_case_53_a_short_rsa_key_is_refused() -> None:
    short = rsa_key(1024)
    with pytest.raises(InvalidDPoPProof, match="2048"):
        judge(
            make(
                header={"alg": "PS256", "jwk": jose.public_jwk(short)},
                sign=lambda data: short.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
            )
        )


@pytest.mark.parametrize("member", ["crit", "b64", "jku", "x5u", "x5c", "zip"])
def test_case_53_other_ways_to_name_a_key_are_refused(member: str) -> None:
    with pytest.raises(InvalidDPoPProof, match=member):
        judge(make(header={member: "https://evil.example/"}))


def test_case_53_an_access_token_or_key_other_than_the_proof_s_is_refused() -> None:
    good = make(ath=token_hash("t"))
    assert judge(good, access_token="t", expected_jkt=jose.thumbprint(jose.public_jwk(key())))
    for token, jkt in (("u", None), ("t", jose.thumbprint(jose.public_jwk(key("other")))), ("t", ""), ("t", "é")):
        with pytest.raises(InvalidDPoPProof):
            judge(good, access_token=token, expected_jkt=jkt)
    for ath in (b64url_decode(token_hash("t")).hex(), token_hash("t") + "=", 1, [token_hash("t")], ""):
        with pytest.raises(InvalidDPoPProof):
            judge(make(ath=ath), access_token="t")


def test_case_50_and_51_the_key_a_code_is_bound_to_must_be_the_proof_s() -> None:
    bound = judge(make()).jkt
    assert judge(make(jti="k"), expected_jkt=bound).jkt == bound
    with pytest.raises(InvalidDPoPProof, match="another key"):
        judge(make(), expected_jkt=jose.thumbprint(jose.public_jwk(key("other"))))


def test_a_proof_of_more_than_8192_characters_is_refused_unread() -> None:
    assert len(make(filler="x" * 5000)) < dpop.MAX_PROOF < len(make(filler="x" * 6143))
    assert judge(make(filler="x" * 5000))
    with pytest.raises(InvalidDPoPProof, match="too long"):
        judge(make(filler="x" * 6143))


def test_a_member_that_stands_twice_is_refused() -> None:
    head, _, _ = make().split(".")
    body = b64url(f'{{"jti":"j","jti":"k","htm":"POST","htu":"{URL}","iat":{int(NOW.timestamp())}}}'.encode())
    with pytest.raises(InvalidDPoPProof, match="twice"):
        judge(f"{head}.{body}.{b64url(es256(f'{head}.{body}'.encode()))}")


def test_an_endpoint_without_an_http_address_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="address"):
        judge(make(), url="/token")


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "holds"), [(-60, False), (-59.5, True), (-59, True), (0, True), (8, True), (10, True), (10.5, False)]
)
def test_case_53_iat_may_lie_60_s_back_and_10_s_ahead(offset: float, holds: bool) -> None:
    proof = make(iat=NOW.timestamp() + offset)
    if holds:
        assert judge(proof).expires_at - NOW == timedelta(seconds=offset) + MAX_AGE + SKEW
    else:
        with pytest.raises(InvalidDPoPProof):
            judge(proof)


@settings(deadline=None)
@given(age=st.integers(-20, 200))
def test_a_proof_is_remembered_longer_than_it_can_be_used(age: int) -> None:
    """Even by a host of ours whose clock is SKEW behind the one that will forget it."""
    proof = make(iat=int(NOW.timestamp()))
    try:
        remembered = judge(proof, now=NOW + age * SECOND).expires_at
    except InvalidDPoPProof:
        return
    with pytest.raises(InvalidDPoPProof):
        judge(proof, now=remembered - SKEW)


# --- nonces ----------------------------------------------------------------------------------------------------------


def test_a_nonce_of_ours_judges_freshness_in_place_of_iat() -> None:
    nonce = dpop.mint_nonce(KEYS.secrets[0], NOW)
    for iat in (0, int(NOW.timestamp()) - 3600, int(NOW.timestamp()) + 3600, 253_402_300_799):
        assert judge(make(nonce=nonce, iat=iat), nonces=KEYS).iat.timestamp() == iat


def test_a_proof_without_a_nonce_is_told_to_use_one() -> None:
    with pytest.raises(UseDPoPNonce):
        judge(make(), nonces=KEYS)


@pytest.mark.parametrize("nonce", ["", "x", "é", "=" * 43, "A" * 43, "A" * 42, "A" * 44, "\u0660" * 43, "A" * 5000])
def test_a_nonce_that_is_not_ours_is_told_to_use_another(nonce: str) -> None:
    assert not dpop.nonce_is_fresh(nonce, KEYS, NOW)
    with pytest.raises(UseDPoPNonce):
        judge(make(nonce=nonce), nonces=KEYS)


@pytest.mark.parametrize("nonce", [1, True, [], {}])
def test_a_nonce_that_is_no_string_is_a_broken_proof(nonce: object) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(make(nonce=nonce), nonces=KEYS)


def test_a_broken_proof_is_not_helped_by_a_nonce() -> None:
    for changes in ({"htm": "PUT"}, {"htu": "https://x.example/"}, {"jti": None}, {"iat": None}):
        with pytest.raises(InvalidDPoPProof):
            judge(make(**changes), nonces=KEYS)


@settings(deadline=None)
@given(age=st.integers(-200, 400))
def test_a_nonce_is_good_from_a_minute_ahead_until_its_third_minute_ends(age: int) -> None:
    minted = datetime(2026, 11, 20, 3, 0, 0, tzinfo=UTC)
    fresh = dpop.nonce_is_fresh(dpop.mint_nonce(KEYS.secrets[0], minted), KEYS, minted + age * SECOND)
    assert fresh is (-NONCE_STEP <= age * SECOND < NONCE_STEPS * NONCE_STEP)


@settings(deadline=None)
@given(begin=st.integers(0, 10_000), age=st.integers(0, 179))
def test_a_proof_with_a_nonce_is_remembered_until_the_nonce_has_run_out(begin: int, age: int) -> None:
    minted = NOW + begin * SECOND
    nonce, later = dpop.mint_nonce(KEYS.secrets[0], minted), minted + age * SECOND
    if not dpop.nonce_is_fresh(nonce, KEYS, later):
        return
    expires = judge(make(nonce=nonce), nonces=KEYS, now=later).expires_at - SKEW
    assert dpop.nonce_is_fresh(nonce, KEYS, expires - SECOND)
    assert not dpop.nonce_is_fresh(nonce, KEYS, expires)


def test_hosts_share_nonces_by_their_secret_alone_and_a_secret_can_be_replaced() -> None:
    old, new = b"o" * 32, b"w" * 32
    nonce = dpop.mint_nonce(old, NOW)
    assert nonce == dpop.mint_nonce(old, NOW + 20 * SECOND)
    assert dpop.nonce_is_fresh(nonce, NonceKeys(secrets=(new, old)), NOW)
    assert not dpop.nonce_is_fresh(nonce, NonceKeys(secrets=(new,)), NOW)
    assert "oooo" not in repr(NonceKeys(secrets=(old,)))


@pytest.mark.parametrize("secrets", [(), (b"x" * 31,), (b"x" * 32, b"")])
def test_a_short_or_missing_secret_is_refused(secrets: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        NonceKeys(secrets=secrets)


# --- properties ------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(text=st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,40}){2}", fullmatch=True))
def test_whatever_a_header_holds_is_a_refusal_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidDPoPProof):
        judge(text)


@settings(deadline=None)
@given(position=st.integers(0, 10_000), character=st.sampled_from("AZaz09-_.="))
def test_a_proof_with_one_character_changed_is_refused(position: int, character: str) -> None:
    proof = make()
    position %= len(proof)
    if proof[position] == character:
        return
    with pytest.raises(InvalidDPoPProof):
        judge(proof[:position] + character + proof[position + 1 :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(claim=st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "exp"]), value=JSON)
def test_whatever_a_claim_holds_is_judged_or_refused(claim: str, value: object) -> None:
    try:
        proof = judge(make(**{claim: value}), nonces=KEYS if claim == "nonce" else None)
    except (InvalidDPoPProof, UseDPoPNonce):
        return
    assert proof.jti == (value if claim == "jti" else "j")


@settings(deadline=None)
@given(
    path=st.lists(st.sampled_from(["a", "b", ".", "..", "", "%2f", "%7E", "~", "%41", "A"]), max_size=6),
    host=st.sampled_from(["op.example", "OP.example", "op.example:443", "op.example:", "op.example:8443", "[::1]"]),
)
def test_the_normal_form_of_an_address_is_its_own_normal_form(path: list[str], host: str) -> None:
    address = f"https://{host}/{'/'.join(path)}"
    assert judge(make(htu=address), url=address)
    plain = dpop._address(address)
    assert plain is not None
    scheme, name, port, normal = plain
    assert dpop._address(f"{scheme}://{name}:{port}{normal}?x#y") == plain
    assert "/./" not in f"{normal}/"
    assert "/../" not in f"{normal}/"


@pytest.mark.parametrize(
    ("path", "normal"),
    [
        ("/a/b/c/./../../g", "/a/g"),
        ("/a/..", "/"),
        ("/a/b/.", "/a/b/"),
        ("/../../x", "/x"),
        ("", "/"),
        ("/%7euser", "/~user"),
        ("/a%2fb", "/a%2Fb"),
    ],
)
def test_dot_segments_leave_as_rfc3986_section_5_2_4_prints(path: str, normal: str) -> None:
    plain = dpop._address(f"https://h{path}")
    assert plain == ("https", "h", 443, normal)
