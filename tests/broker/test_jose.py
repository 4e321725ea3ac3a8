"""The JOSE gate: what RFC 7515 and 7638 printed passes, and whatever bends a rule does not."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import jose
from broker.errors import InvalidToken

VECTORS = Path(__file__).parents[1] / "vectors"
APPENDIX_A = json.loads((VECTORS / "rfc7515" / "appendix-a.json").read_text())
THUMBPRINT = json.loads((VECTORS / "rfc7638" / "section-3.1.json").read_text())


@functools.cache
def ec_key(name: str = "mine") -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048, exponent: int = 65537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)


@dataclass(frozen=True)
class KeySigner:
    """A software key behind the Signer port."""

    key: ec.EllipticCurvePrivateKey
    kid: str = "k1"
    alg: str = "ES256"

    def sign(self, data: bytes, /) -> bytes:
        return jose.raw_ecdsa(self.key.sign(data, ec.ECDSA(hashes.SHA256())), algorithm="ES256")


SIGNER = KeySigner(ec_key())
JWK = {**jose.public_jwk(ec_key()), "kid": "k1", "use": "sig", "alg": "ES256"}
JWKS = {"keys": [JWK]}
CLAIMS = {"iss": "https://login.example.jp", "iat": 1_800_000_000, "name": "山田花子"}


def verify(token: str | bytes, jwks: Mapping[str, Any] = JWKS, algorithms: tuple[str, ...] = ("ES256",)) -> bytes:
    return jose.verify_jws(token, jwks=jwks, algorithms=algorithms)


def raw_token(header: bytes, payload: bytes = b"{}") -> str:
    """A JWS by our key over any header, so that only the header can be the fault."""
    signing_input = f"{jose.b64url(header)}.{jose.b64url(payload)}"
    return f"{signing_input}.{jose.b64url(SIGNER.sign(signing_input.encode()))}"


# --- known answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", APPENDIX_A, ids=[vector["section"] for vector in APPENDIX_A])
def test_signature_printed_in_rfc7515_appendix_a_holds(vector: dict[str, Any]) -> None:
    head, body, signature = vector["jws"].split(".")
    assert verify(vector["jws"], {"keys": [vector["jwk"]]}, (vector["alg"],)) == jose.b64url_decode(body)
    changed = jose.b64url(bytes([jose.b64url_decode(signature)[0] ^ 1]) + jose.b64url_decode(signature)[1:])
    with pytest.raises(InvalidToken):
        verify(f"{head}.{body}.{changed}", {"keys": [vector["jwk"]]}, (vector["alg"],))


def test_thumbprint_is_the_one_printed_in_rfc7638_section_3_1() -> None:
    assert jose.thumbprint(THUMBPRINT["jwk"]) == THUMBPRINT["thumbprint"]


# --- signing and verifying -------------------------------------------------------------------------------------------


def test_what_is_signed_comes_back_and_names_its_key_and_type() -> None:
    token = jose.sign_jws(CLAIMS, signer=SIGNER, typ="card-request+jwt", header={"x": 1})
    assert jose.parse_claims(verify(token)) == CLAIMS
    header = json.loads(jose.b64url_decode(token.split(".")[0]))
    assert header == {"alg": "ES256", "kid": "k1", "typ": "card-request+jwt", "x": 1}
    assert jose.verify_jws(token, jwks=JWKS, algorithms={"ES256"}, typ="application/Card-Request+JWT")
    with pytest.raises(InvalidToken, match="type"):
        jose.verify_jws(token, jwks=JWKS, algorithms={"ES256"}, typ="at+jwt")


def test_extra_header_cannot_replace_algorithm_or_key() -> None:
    token = jose.sign_jws(b"x", signer=SIGNER, typ=None, header={"alg": "none", "kid": "other"})
    assert verify(token) == b"x"


def test_bytes_are_signed_as_they_stand() -> None:
    assert verify(jose.sign_jws(b'{ "a" : 1 }', signer=SIGNER, typ=None)) == b'{ "a" : 1 }'


HEADERS = {
    "none": b'{"alg":"none"}',
    "HS256 with the public key": b'{"alg":"HS256"}',
    "no algorithm": b'{"kid":"k1"}',
    "algorithm that is no string": b'{"alg":["ES256"]}',
    "crit": b'{"alg":"ES256","crit":["exp"],"exp":1}',
    "b64": b'{"alg":"ES256","b64":true}',
    "jku": b'{"alg":"ES256","jku":"https://evil.example/jwks"}',
    "jwk": b'{"alg":"ES256","jwk":{}}',
    "x5u": b'{"alg":"ES256","x5u":"https://evil.example/"}',
    "x5c": b'{"alg":"ES256","x5c":[]}',
    "a member twice": b'{"alg":"ES256","alg":"ES256"}',
    "a member twice, escaped": b'{"alg":"ES256","\\u0061lg":"none"}',
    "unknown kid": b'{"alg":"ES256","kid":"../../dev/null"}',
    "kid that is no string": b'{"alg":"ES256","kid":1}',
    "typ that is no string": b'{"alg":"ES256","typ":{}}',
    "not an object": b'["ES256"]',
    "not JSON": b"ES256",
    "UTF-16": '{"alg":"ES256"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"alg":"ES256"}',
    "half a surrogate pair": b'{"alg":"ES256","x":"\\ud800"}',
    "NaN": b'{"alg":"ES256","x":NaN}',
    "a number beyond all": b'{"alg":"ES256","x":1e999}',
    "a number of 5000 digits": b'{"alg":"ES256","x":' + b"9" * 5000 + b"}",
    "nested 17 deep": b'{"alg":"ES256","x":' + b"[" * 16 + b"]" * 16 + b"}",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_header_that_bends_a_rule_is_refused(header: bytes) -> None:
    with pytest.raises(InvalidToken):
        verify(raw_token(header))


def test_header_at_the_limit_of_nesting_passes() -> None:
    assert verify(raw_token(b'{"alg":"ES256","x":' + b"[" * 15 + b"]" * 15 + b"}")) == b"{}"
    assert verify(raw_token(b'{"alg":"ES256","x":"' + b"[" * 40 + b'\\"{{{"}')) == b"{}"


@pytest.mark.parametrize(
    "bend",
    [
        lambda token: token + "=",
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token + ".",
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token.replace(".", ". ", 1),
        lambda token: token[:-2] + ("-_" if token[-2:] != "-_" else "_-"),
        lambda token: token[:-1] + chr(ord(token[-1]) + 1),
        lambda token: token.replace("e", "é", 1),
        lambda token: token + "A" * 16 * 1024,
    ],
)
def test_token_spelled_otherwise_is_refused(bend: Callable[[str], str]) -> None:
    token = jose.sign_jws(CLAIMS, signer=SIGNER, typ=None)
    assert verify(token)
    with pytest.raises(InvalidToken):
        verify(bend(token))


def test_signature_in_der_is_refused() -> None:
    head, body, _ = jose.sign_jws(b"x", signer=SIGNER, typ=None).split(".")
    der = ec_key().sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidToken):
        verify(f"{head}.{body}.{jose.b64url(der)}")


@pytest.mark.parametrize(
    "limit",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "ES384"},
        {"kid": "k2"},
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"y": jose.public_jwk(ec_key("other"))["y"]},
    ],
    ids=count(),  # a name of its content would be another in each worker
)
def test_key_s_own_limits_are_obeyed(limit: dict[str, Any]) -> None:
    token = jose.sign_jws(b"x", signer=SIGNER, typ=None)
    with pytest.raises(InvalidToken):
        verify(token, {"keys": [{**JWK, **limit}]})


def test_key_is_found_among_others_and_never_guessed() -> None:
    other = {**jose.public_jwk(ec_key("other")), "kid": "k2"}
    unknown = {"kty": "new", "kid": "k1"}
    token = jose.sign_jws(b"x", signer=SIGNER, typ=None)
    assert verify(token, {"keys": [other, unknown, JWK]}) == b"x"
    without_kid = raw_token(b'{"alg":"ES256"}', b"x")
    assert verify(without_kid) == b"x"
    for keys in ([JWK, other], [JWK, JWK], [], [None], "keys", None):
        with pytest.raises(InvalidToken):
            verify(without_kid, {"keys": keys})


def test_shared_secret_works_only_where_the_caller_allows_it_and_is_long_enough() -> None:
    def token(secret: bytes) -> str:
        signing_input = f"{jose.b64url(json.dumps({'alg': 'HS256'}).encode())}.{jose.b64url(b'x')}"
        return f"{signing_input}.{jose.b64url(hmac.digest(secret, signing_input.encode(), 'sha256'))}"

    secret = bytes(32)
    jwks = {"keys": [{"kty": "oct", "k": jose.b64url(secret)}]}
    assert verify(token(secret), jwks, ("HS256",)) == b"x"
    with pytest.raises(InvalidToken):
        verify(token(secret), jwks, ("ES256", "RS256"))
    short = {"keys": [{"kty": "oct", "k": jose.b64url(bytes(31))}]}
    with pytest.raises(InvalidToken):
        verify(token(bytes(31)), short, ("HS256",))


def test_public_key_is_no_shared_secret() -> None:
    spki = json.dumps(JWK).encode()
    signing_input = f"{jose.b64url(json.dumps({'alg': 'HS256', 'kid': 'k1'}).encode())}.e30"
    forged = f"{signing_input}.{jose.b64url(hmac.digest(spki, signing_input.encode(), hashlib.sha256))}"
    with pytest.raises(InvalidToken):
        verify(forged, JWKS, ("ES256", "HS256"))


@pytest.mark.parametrize(("bits", "exponent"), [(1024, 65537), (2048, 3)], ids=["1024 bits", "exponent 3"])
def test_weak_rsa_keys_are_refused(bits: int, exponent: int) -> None:
    key = rsa_key(bits, exponent)
    numbers = key.public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    jwk = {
        "kty": "RSA",
        "n": jose.b64url(numbers.n.to_bytes(size, "big")),
        "e": jose.b64url(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")),
    }
    signing_input = f"{jose.b64url(json.dumps({'alg': 'RS256'}).encode())}.e30"
    signature = key.sign(signing_input.encode(), padding.PKCS1v15(), hashes.SHA256())
    with pytest.raises(InvalidToken, match="RSA"):
        verify(f"{signing_input}.{jose.b64url(signature)}", {"keys": [jwk]}, ("RS256",))


def test_a_key_in_the_header_is_used_only_where_the_caller_asks_for_it() -> None:
    own = {"alg": "ES256", "typ": "dpop+jwt", "jwk": jose.public_jwk(ec_key())}
    token = raw_token(json.dumps(own).encode(), b"x")
    assert jose.verify_self_signed(token, algorithms={"ES256"}, typ="dpop+jwt") == (b"x", jose.thumbprint(JWK))
    for refused in (
        lambda: verify(token),
        lambda: jose.parse_claims(jose.read_jws(token).payload),
        lambda: jose.verify_self_signed(token, algorithms={"PS256"}, typ="dpop+jwt"),
        lambda: jose.verify_self_signed(token, algorithms={"ES256"}, typ="JWT"),
        lambda: jose.verify_self_signed(
            raw_token(json.dumps(own | {"jwk": None}).encode()), algorithms={"ES256"}, typ="dpop+jwt"
        ),
    ):
        with pytest.raises(InvalidToken):
            refused()


def test_a_shared_secret_in_the_header_is_refused_even_by_a_careless_caller() -> None:
    head = {"alg": "HS256", "typ": "x", "jwk": {"kty": "oct", "k": jose.b64url(bytes(32))}}
    signing_input = f"{jose.b64url(json.dumps(head).encode())}.e30"
    token = f"{signing_input}.{jose.b64url(hmac.digest(bytes(32), signing_input.encode(), 'sha256'))}"
    with pytest.raises(InvalidToken, match="private"):
        jose.verify_self_signed(token, algorithms={"HS256"}, typ="x")


def test_keys_in_headers_do_not_push_registered_keys_out_of_memory() -> None:
    jose.load_public_key(JWK)
    before = jose.keys._load.cache_info().misses
    for _ in range(3):
        stranger = ec.generate_private_key(ec.SECP256R1())
        head = {"alg": "ES256", "typ": "x", "jwk": jose.public_jwk(stranger)}
        signing_input = f"{jose.b64url(json.dumps(head).encode())}.e30"
        signature = jose.raw_ecdsa(stranger.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256())), algorithm="ES256")
        assert jose.verify_self_signed(f"{signing_input}.{jose.b64url(signature)}", algorithms={"ES256"}, typ="x")
    assert jose.keys._load.cache_info().misses == before


def test_rsa_pss_and_edwards_keys_verify() -> None:
    key, edwards = rsa_key(), ed25519.Ed25519PrivateKey.generate()
    head = jose.b64url(json.dumps({"alg": "PS256"}).encode()) + ".e30"
    for salt, holds in ((32, True), (20, False)):
        signature = key.sign(head.encode(), padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
        token = f"{head}.{jose.b64url(signature)}"
        if holds:
            assert verify(token, {"keys": [jose.public_jwk(key)]}, ("PS256",)) == b"{}"
        else:
            with pytest.raises(InvalidToken):
                verify(token, {"keys": [jose.public_jwk(key)]}, ("PS256",))
    head = jose.b64url(json.dumps({"alg": "EdDSA"}).encode()) + ".e30"
    token = f"{head}.{jose.b64url(edwards.sign(head.encode()))}"
    assert verify(token, {"keys": [jose.public_jwk(edwards)]}, ("EdDSA",)) == b"{}"


def test_number_with_a_leading_zero_is_no_jwk() -> None:
    jwk = jose.public_jwk(rsa_key())
    padded = {**jwk, "n": jose.b64url(b"\x00" + jose.b64url_decode(jwk["n"]))}
    with pytest.raises(InvalidToken):
        jose.load_public_key(padded)


def test_public_jwk_holds_nothing_private() -> None:
    for key in (ec_key(), rsa_key(), ed25519.Ed25519PrivateKey.generate()):
        assert not {"d", "p", "q"} & jose.public_jwk(key).keys()
        assert jose.public_jwk(jose.load_public_key(jose.public_jwk(key))) == jose.public_jwk(key)


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ['"1800000000"', "true", "null", "-1", "1e400", "[]", "253402300800"])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "auth_time"])
def test_date_that_is_no_numeric_date_is_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidToken):
        jose.parse_claims(f'{{"{name}":{value}}}'.encode())


def test_claims_nobody_has_verified_are_read_but_not_believed() -> None:
    forged = jose.sign_jws({"iss": "client"}, signer=KeySigner(ec_key("other")), typ=None)
    assert jose.parse_claims(jose.read_jws(forged).payload) == {"iss": "client"}
    with pytest.raises(InvalidToken):
        verify(forged)


# --- hostile bytes ---------------------------------------------------------------------------------------------------

TOKEN = jose.sign_jws(CLAIMS, signer=SIGNER, typ="JWT")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_token_is_refused_with_our_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    changed = TOKEN[:at] + data.draw(st.characters(max_codepoint=0x2FF)) + TOKEN[at + 1 :]
    if changed != TOKEN:
        with pytest.raises(InvalidToken):
            verify(changed)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "enc", "epk", "apu", "apv", "kid", "typ", "zip", "crit", "p2c"]),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=8),
            st.lists(st.text(max_size=3), max_size=2),
            st.sampled_from(["ECDH-ES", "A256GCM", "ES256", "none", "dir"]),
            st.just(jose.public_jwk(ec_key("other"))),
        ),
    )
)
def test_any_header_is_refused_with_our_error(header: dict[str, object]) -> None:
    head = jose.b64url(json.dumps(header).encode())
    with pytest.raises(InvalidToken):
        verify(f"{head}.e30.{jose.b64url(bytes(64))}")


@pytest.mark.parametrize("filler", [b"[" * 11_000, b'"' * 11_000, b'{"a":' * 2_200, b"\\" * 11_000])
@pytest.mark.timeout(5)
def test_token_of_almost_16_kb_of_nonsense_is_refused_at_once(filler: bytes) -> None:
    token = raw_token(b'{"alg":"ES256","x":' + filler)
    assert 14_000 < len(token) < jose.MAX_TOKEN
    with pytest.raises(InvalidToken):
        verify(token)
