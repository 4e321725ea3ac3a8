"""Encryption behind the gate: what RFC 7520 printed is read, and only an encryption key ever receives."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe as oracle
from joserfc.jwk import ECKey, RSAKey

from broker import jose, jwe
from broker.errors import InvalidToken

COOKBOOK = json.loads((Path(__file__).parents[1] / "vectors" / "rfc7520" / "section-5.json").read_text())


@functools.cache
def ec_key(name: str = "mine") -> ec.EllipticCurvePrivateKey:
    assert name
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def jwk(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, **words: Any
) -> dict[str, Any]:
    return {**jose.public_jwk(key), **words}


def to_mine(payload: bytes) -> str:
    keys = {"keys": [jwk(ec_key(), use="enc")]}
    return jwe.encrypt_compact(payload, jwks=keys, alg="ECDH-ES", enc="A256GCM")


def header_of(token: str) -> dict[str, Any]:
    return jose.parse_json(jose.b64url_decode(token.split(".", maxsplit=1)[0]))


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", COOKBOOK["messages"], ids=lambda message: f"RFC 7520 {message['section']}")
def test_what_rfc7520_printed_is_read(message: dict[str, Any]) -> None:
    words = message["key"]
    curve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[words["crv"]]
    key = ec.derive_private_key(int.from_bytes(jose.b64url_decode(words["d"]), "big"), curve)
    assert jose.public_jwk(key).items() <= words.items()
    plaintext = jwe.decrypt_compact(
        message["compact"], key=key, algorithms=[message["alg"]], encryptions=[message["enc"]]
    )
    assert plaintext.decode() == COOKBOOK["plaintext"]
    assert jwe.recipient(message["compact"]) == words["kid"]
    with pytest.raises(InvalidToken):  # the card agent's answer comes in one form only
        jwe.decrypt_compact(message["compact"], key=key)


def test_answer_is_read_by_its_one_time_key_only() -> None:
    token = to_mine(b'{"format":"jpki-fed:1"}')
    assert jwe.decrypt_compact(token, key=ec_key()) == b'{"format":"jpki-fed:1"}'
    with pytest.raises(InvalidToken):
        jwe.decrypt_compact(token, key=ec_key("other"))


@pytest.mark.parametrize(
    "protected",
    [
        {"alg": "ECDH-ES", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "ECDH-ES+A256KW", "enc": "A256GCM"},
        {"alg": "ECDH-ES", "enc": "A128GCM"},
        {"alg": "ECDH-ES", "enc": "A256CBC-HS512"},
    ],
    ids=str,
)
def test_answer_encrypted_otherwise_is_refused(protected: dict[str, str]) -> None:
    algorithms = ["ECDH-ES", "ECDH-ES+A256KW", "A256GCM", "A128GCM", "A256CBC-HS512", "DEF"]
    token = oracle.encrypt_compact(protected, b"x", ECKey.import_key(jwk(ec_key())), algorithms=algorithms)
    with pytest.raises(InvalidToken):
        jwe.decrypt_compact(token, key=ec_key())


def test_what_the_caller_allows_beyond_our_list_is_refused_all_the_same() -> None:
    token = oracle.encrypt_compact(
        {"alg": "RSA-OAEP", "enc": "A256GCM"},
        b"x",
        RSAKey.import_key(jwk(rsa_key())),
        algorithms=["RSA-OAEP", "A256GCM"],
    )
    with pytest.raises(InvalidToken, match="not accepted"):
        jwe.decrypt_compact(token, key=rsa_key(), algorithms=["RSA-OAEP"], encryptions=["A256GCM"])


@pytest.mark.parametrize(
    "ephemeral",
    [
        None,
        {},
        {**jose.public_jwk(ec.generate_private_key(ec.SECP384R1()))},
        {**jose.public_jwk(ec_key("other")), "y": jose.b64url(bytes(32))},  # a point off the curve
        {"kty": "oct", "k": "AAAA"},
    ],
    ids=["none", "empty", "P-384", "off the curve", "oct"],
)
def test_ephemeral_key_that_is_no_point_of_our_curve_is_refused(ephemeral: object) -> None:
    _, *rest = to_mine(b"x").split(".")
    header = {"alg": "ECDH-ES", "enc": "A256GCM", **({} if ephemeral is None else {"epk": ephemeral})}
    with pytest.raises(InvalidToken):
        jwe.decrypt_compact(".".join([jose.b64url(json.dumps(header).encode()), *rest]), key=ec_key())


def test_answer_beyond_16_kb_is_refused() -> None:
    token = to_mine(bytes(13_000))
    assert len(token) > jose.MAX_TOKEN
    with pytest.raises(InvalidToken, match="too long"):
        jwe.decrypt_compact(token, key=ec_key())


def test_a_key_of_the_other_kind_reads_nothing() -> None:
    token = to_mine(b"x")
    with pytest.raises(InvalidToken, match="not one for this algorithm"):
        jwe.decrypt_compact(token, key=rsa_key())


@pytest.mark.parametrize(("part", "octets"), [(2, 8), (2, 16), (4, 8), (4, 12), (4, 17), (4, 0)])
def test_a_nonce_or_tag_of_another_length_is_refused_before_any_key_is_used(part: int, octets: int) -> None:
    parts = to_mine(b"x").split(".")
    parts[part] = jose.b64url(jose.b64url_decode(parts[part])[:octets].ljust(octets, b"x"))
    with pytest.raises(InvalidToken, match="as long as"):
        jwe.decrypt_compact(".".join(parts), key=ec_key())


def test_a_wrapped_key_stands_exactly_where_the_algorithm_has_one() -> None:
    head, _, *rest = to_mine(b"x").split(".")
    with pytest.raises(InvalidToken, match="wrapped"):
        jwe.decrypt_compact(".".join([head, "AAAA", *rest]), key=ec_key())
    keys = {"keys": [jwk(rsa_key(), use="enc")]}
    head, _, *rest = jwe.encrypt_compact(b"x", jwks=keys, alg="RSA-OAEP-256", enc="A128GCM").split(".")
    with pytest.raises(InvalidToken, match="wrapped"):
        jwe.decrypt_compact(
            ".".join([head, "", *rest]), key=rsa_key(), algorithms=jwe.ALGORITHMS, encryptions=jwe.ENCRYPTIONS
        )


def test_an_encrypted_token_is_told_from_a_signed_one() -> None:
    assert jwe.is_encrypted(to_mine(b"x"))
    assert jwe.is_encrypted(to_mine(b"x").encode())
    assert not jwe.is_encrypted("a.b.c")


# --- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("enc", jwe.ENCRYPTIONS)
@pytest.mark.parametrize("alg", jwe.ALGORITHMS)
def test_every_algorithm_served_is_read_by_another_implementation_and_by_us(alg: str, enc: str) -> None:
    key = rsa_key() if alg.startswith("RSA") else ec_key()
    keys = {"keys": [jwk(key, use="enc", kid="e1")]}
    token = jwe.encrypt_compact("山田".encode(), jwks=keys, alg=alg, enc=enc, cty="JWT")
    assert {"alg": alg, "enc": enc, "kid": "e1", "cty": "JWT"}.items() <= header_of(token).items()
    assert "zip" not in header_of(token)
    assert jwe.decrypt_compact(token, key=key, algorithms=[alg], encryptions=[enc]) == "山田".encode()
    kind = RSAKey if isinstance(key, rsa.RSAPrivateKey) else ECKey
    read = oracle.decrypt_compact(token, kind.import_key({**private_jwk(key)}), algorithms=[alg, enc])
    assert read.plaintext == "山田".encode()


def private_jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return {**jwk(key), "d": jose.b64url(key.private_numbers().private_value.to_bytes(32, "big"))}
    numbers = key.private_numbers()
    parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {**jwk(key)} | {
        name: jose.b64url(part.to_bytes((part.bit_length() + 7) // 8, "big")) for name, part in parts.items()
    }


@pytest.mark.parametrize(
    "words",
    [
        {"use": "sig"},
        {"use": "sig", "alg": "ECDH-ES"},
        {"use": "enc", "alg": "ES256"},
        {"use": "enc", "alg": "ECDH-ES+A128KW"},
        {"alg": "ES256"},
        {},
        {"use": "enc", "key_ops": ["sign", "verify"]},
        {"use": "enc", "key_ops": "deriveKey"},
        {"use": "enc", "key_ops": [["deriveKey"]]},
        {"use": None, "alg": "ECDH-ES"},
        {"use": "enc", "kty": "RSA"},
        {"use": "enc", "kid": 7},
    ],
    ids=str,
)
def test_a_key_that_does_not_say_it_is_for_encryption_never_receives(words: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        jwe.encrypt_compact(b"x", jwks={"keys": [jwk(ec_key(), **words)]}, alg="ECDH-ES", enc="A256GCM")


@pytest.mark.parametrize(
    "words", [{"use": "enc"}, {"use": "enc", "key_ops": ["deriveBits"]}, {"alg": "ECDH-ES"}], ids=str
)
def test_a_key_that_says_so_receives(words: dict[str, Any]) -> None:
    token = jwe.encrypt_compact(b"x", jwks={"keys": [jwk(ec_key(), **words)]}, alg="ECDH-ES", enc="A256GCM")
    assert jwe.decrypt_compact(token, key=ec_key()) == b"x"


def test_the_signing_key_beside_it_is_passed_over() -> None:
    keys = {"keys": [jwk(ec_key("signing"), use="sig", kid="s"), jwk(ec_key(), use="enc", kid="e")]}
    token = jwe.encrypt_compact(b"x", jwks=keys, alg="ECDH-ES", enc="A256GCM")
    assert jwe.recipient(token) == "e"
    assert jwe.decrypt_compact(token, key=ec_key()) == b"x"
    with pytest.raises(InvalidToken):
        jwe.encrypt_compact(b"x", jwks=keys, alg="ECDH-ES", enc="A256GCM", kid="s")


def test_of_several_the_first_that_has_a_name_of_its_own_receives() -> None:
    keys = [
        jwk(ec_key("nameless"), use="enc"),
        jwk(ec_key("twin 1"), use="enc", kid="twin"),
        jwk(ec_key("twin 2"), use="enc", kid="twin"),
        jwk(ec_key(), use="enc", kid="mine"),
        jwk(ec_key("later"), use="enc", kid="later"),
    ]
    token = jwe.encrypt_compact(b"x", jwks={"keys": keys}, alg="ECDH-ES", enc="A256GCM")
    assert jwe.recipient(token) == "mine"
    assert jwe.decrypt_compact(token, key=ec_key()) == b"x"
    later = jwe.encrypt_compact(b"x", jwks={"keys": keys}, alg="ECDH-ES", enc="A256GCM", kid="later")
    assert jwe.decrypt_compact(later, key=ec_key("later")) == b"x"
    for unclear in (keys[:1] * 2, keys[1:3]):
        with pytest.raises(InvalidToken):
            jwe.encrypt_compact(b"x", jwks={"keys": unclear}, alg="ECDH-ES", enc="A256GCM")


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": {}},
        {"keys": []},
        {"keys": ["x", None, 1]},
        {"keys": [jwk(ec_key(), use="enc", kid=f"k{number}") for number in range(jose.MAX_KEYS + 1)]},
        {"keys": [{"kty": "EC", "use": "enc", "crv": "P-256", "x": "AAAA", "y": "AAAA"}]},
        {"keys": [{"kty": "OKP", "use": "enc", **jose.public_jwk(ed25519.Ed25519PrivateKey.generate())}]},
    ],
    ids=["none", "object", "empty", "no keys", "too many", "no point", "Ed25519"],
)
def test_what_is_no_key_set_receives_nothing(jwks: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        jwe.encrypt_compact(b"x", jwks=jwks, alg="ECDH-ES", enc="A256GCM")


@pytest.mark.parametrize(("alg", "enc"), [("RSA1_5", "A256GCM"), ("dir", "A256GCM"), ("ECDH-ES", "A256CBC-HS512")])
def test_an_algorithm_that_is_not_served_encrypts_nothing(alg: str, enc: str) -> None:
    with pytest.raises(InvalidToken, match="not served"):
        jwe.encrypt_compact(b"x", jwks={"keys": [jwk(ec_key(), use="enc")]}, alg=alg, enc=enc)


# --- hostile bytes ---------------------------------------------------------------------------------------------------

ANSWER = to_mine(b'{"format":"jpki-fed:1"}')


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_mutated_answer_is_refused_with_our_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(ANSWER) - 1))
    changed = ANSWER[:at] + data.draw(st.characters(max_codepoint=0x2FF)) + ANSWER[at + 1 :]
    if changed != ANSWER:
        with pytest.raises(InvalidToken):
            jwe.decrypt_compact(changed, key=ec_key())


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "enc", "epk", "apu", "apv", "kid", "typ", "zip", "crit", "p2c"]),
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=8),
            st.lists(st.text(max_size=3), max_size=2),
            st.sampled_from(["ECDH-ES", "A256GCM", "RSA-OAEP-256", "none", "dir"]),
            st.just(jose.public_jwk(ec_key("other"))),
        ),
    )
)
def test_any_header_is_refused_with_our_error(header: dict[str, object]) -> None:
    _, *rest = ANSWER.split(".")
    head = jose.b64url(json.dumps(header).encode())
    for key in (ec_key(), rsa_key()):
        with pytest.raises(InvalidToken):
            jwe.decrypt_compact(
                ".".join([head, *rest]),
                key=key,
                algorithms=frozenset(jwe.ALGORITHMS),
                encryptions=frozenset(jwe.ENCRYPTIONS),
            )
