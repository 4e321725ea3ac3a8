"""What the card signs, whether it did, and the key its holder is found by."""

from __future__ import annotations

import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import SignatureInvalid
from broker.jose import b64url_decode, raw_ecdsa
from broker.jpki.challenge import (
    AUTH,
    JOINT,
    LINK_COMMIT,
    LINK_START,
    PROFESSION,
    TAGS,
    CardChallenge,
    frame,
    verify_signature,
)
from broker.jpki.subject import serial_fingerprint
from tests.broker.jpki.jpki_authority import PrivateKey, rsa_key, tlv

FOLDER = Path(__file__).parents[2] / "vectors" / "card-frame"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "frames.json").read_text(encoding="utf-8"))


def challenge(vector: dict[str, Any]) -> CardChallenge:
    return CardChallenge(
        tag=vector["tag"],
        issuer=vector["issuer"],
        origin=vector["origin"],
        request_key_thumbprint=vector["request_key_thumbprint"],
        nonce=b64url_decode(vector["nonce"]),
        client_id=vector["client_id"],
        transaction=vector["transaction"],
        action=vector["action"],
        previous=b64url_decode(vector["previous"]),
        issued_at_ms=vector["issued_at_ms"],
    )


LOGIN = challenge(VECTORS[0])


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_frame_is_the_published_one(vector: dict[str, Any]) -> None:
    built = frame(challenge(vector), b64url_decode(vector["certificate"]))
    assert built.hex() == vector["frame"]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(built)
    assert digest.finalize().hex() == vector["sha256"]


def test_published_file_is_what_its_script_writes() -> None:
    assert runpy.run_path(str(FOLDER / "make.py"))["vectors"]() == VECTORS


@pytest.mark.parametrize(
    "change",
    [
        {"tag": LINK_START},
        {"issuer": "http://localhost:8001"},
        {"origin": "http://localhost:8001"},
        {"request_key_thumbprint": "x"},
        {"nonce": bytes(32)},
        {"client_id": "clinic"},
        {"transaction": "x"},
        {"action": '{"type":"link"}'},
        {"tag": LINK_COMMIT, "previous": b"x"},
        {"issued_at_ms": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_in_the_frame(change: dict[str, Any]) -> None:
    assert frame(dataclasses.replace(LOGIN, **change), b"certificate") != frame(LOGIN, b"certificate")
    assert frame(LOGIN, b"certificate ") != frame(LOGIN, b"certificate")


def test_text_moved_from_one_field_to_the_next_is_another_frame() -> None:
    one = dataclasses.replace(LOGIN, client_id="bank", transaction="1")
    two = dataclasses.replace(LOGIN, client_id="bank1", transaction="")
    assert frame(one, b"") != frame(two, b"")


@pytest.mark.parametrize(
    "wrong",
    [
        {"tag": "JPKI-FED-AUTH/2"},
        {"nonce": bytes(31)},
        {"action": ""},
        {"previous": b"x"},
        {"tag": LINK_COMMIT},
        {"issued_at_ms": -1},
        {"issued_at_ms": 2**64},
    ],
    ids=str,
)
def test_challenge_cannot_be_built_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        dataclasses.replace(LOGIN, **wrong)


def test_tags_are_the_designs_and_the_two_of_doctor_and_patient() -> None:
    assert {
        f"JPKI-FED-{purpose}/1"
        for purpose in ("AUTH", "LINK-START", "LINK-COMMIT", "CONSENT", "PROOF", "MANDATE", "ACCEPT")
    } == TAGS - {PROFESSION, JOINT}  # decision 68: an HPKI card's, and a patient's beside a doctor
    assert AUTH == "JPKI-FED-AUTH/1"


def test_nonce_does_not_print() -> None:
    assert repr(LOGIN.nonce) not in repr(LOGIN)


# --- signatures ------------------------------------------------------------------------------------------------------

CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
MESSAGE = frame(LOGIN, b"certificate")


def spki(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(algorithm: str, *, salt: int | None = None) -> tuple[bytes, bytes]:
    """(SubjectPublicKeyInfo, signature over MESSAGE)."""
    digest = HASHES[algorithm[2:]]
    if algorithm in CURVES:
        curve = ec.derive_private_key(0xC0FFEE, CURVES[algorithm])
        return spki(curve), raw_ecdsa(curve.sign(MESSAGE, ec.ECDSA(digest)), algorithm=algorithm)
    key = rsa_key("hanako")
    if algorithm.startswith("PS"):
        pss = padding.PSS(padding.MGF1(HASHES[algorithm[2:]]), digest.digest_size if salt is None else salt)
        return spki(key), key.sign(MESSAGE, pss, digest)
    return spki(key), key.sign(MESSAGE, padding.PKCS1v15(), digest)


ALGORITHMS = [f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signature_stands_under_its_own_algorithm_and_bytes_only(algorithm: str) -> None:
    key, signature = sign(algorithm)
    verify_signature(key, MESSAGE, signature, algorithm=algorithm)
    with pytest.raises(SignatureInvalid):
        verify_signature(key, MESSAGE + b"\x00", signature, algorithm=algorithm)
    with pytest.raises(SignatureInvalid):
        verify_signature(key, MESSAGE, bytes([signature[0] ^ 1]) + signature[1:], algorithm=algorithm)
    for other in (*ALGORITHMS, "HS256", "none", "EdDSA", "RS1", "rs256", ""):
        if other != algorithm:
            with pytest.raises(SignatureInvalid):
                verify_signature(key, MESSAGE, signature, algorithm=other)


def test_pss_salt_is_as_long_as_the_hash() -> None:
    for salt in (0, 20, 31, 33):
        key, signature = sign("PS256", salt=salt)
        with pytest.raises(SignatureInvalid):
            verify_signature(key, MESSAGE, signature, algorithm="PS256")


def test_elliptic_signature_is_r_and_s_and_not_der() -> None:
    key, signature = sign("ES256")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    wrong = (
        utils.encode_dss_signature(r, s),
        b"\x00" + signature,
        signature + b"\x00",
        bytes(64),
        signature[:32] + bytes(32),
        (r + order).to_bytes(33, "big") + s.to_bytes(33, "big"),
        b"",
    )
    for each in wrong:
        with pytest.raises(SignatureInvalid):
            verify_signature(key, MESSAGE, each, algorithm="ES256")


def test_bare_digest_info_and_short_keys_are_refused() -> None:
    key = rsa_key("hanako")
    digest = hashes.Hash(hashes.SHA256())
    digest.update(MESSAGE)
    over_digest = key.sign(digest.finalize(), padding.PKCS1v15(), hashes.SHA256())  # hashed once too often
    with pytest.raises(SignatureInvalid):
        verify_signature(spki(key), MESSAGE, over_digest, algorithm="RS256")
    short = rsa_key("short", 1024)
    with pytest.raises(SignatureInvalid, match="2048"):
        verify_signature(
            spki(short), MESSAGE, short.sign(MESSAGE, padding.PKCS1v15(), hashes.SHA256()), algorithm="RS256"
        )


def test_forged_padding_under_a_small_exponent_is_refused() -> None:
    """Bleichenbacher's forgery of 2006: a cube whose head looks like the padding (e = 3), the rest garbage."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    modulus = rsa_key("hanako").public_key().public_numbers().n
    key = rsa.RSAPublicNumbers(3, modulus).public_key()
    digest = hashes.Hash(hashes.SHA256())
    digest.update(MESSAGE)
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    head = b"\x00\x01" + b"\xff" * 8 + b"\x00" + info
    target = int.from_bytes(head + b"\xff" * (256 - len(head)), "big")
    low, high = 0, 1 << 700
    while low < high:  # the integer cube root
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= target else (low, middle - 1)
    assert (low**3).to_bytes(256, "big").startswith(head)
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SignatureInvalid):
        verify_signature(encoded, MESSAGE, low.to_bytes(256, "big"), algorithm="RS256")


def test_key_bound_to_pss_signs_nothing_else() -> None:
    plain, signature = sign("PS256")
    bits = plain[plain.index(b"\x03\x82") :]
    sha256 = tlv(0x30, bytes.fromhex("0609608648016503040201"), b"\x05\x00")
    mgf = tlv(0x30, bytes.fromhex("06092a864886f70d010108"), sha256)
    parameters = tlv(0x30, tlv(0xA0, sha256), tlv(0xA1, mgf), tlv(0xA2, b"\x02\x01\x20"))
    bound = tlv(0x30, tlv(0x30, bytes.fromhex("06092a864886f70d01010a"), parameters), bits)
    verify_signature(bound, MESSAGE, signature, algorithm="PS256")
    for algorithm in ("PS384", "RS256"):
        with pytest.raises(SignatureInvalid):
            verify_signature(bound, MESSAGE, sign(algorithm)[1], algorithm=algorithm)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=300), st.sampled_from(ALGORITHMS), st.data())
def test_any_key_and_signature_raise_only_our_error(
    key: bytes, signature: bytes, algorithm: str, data: st.DataObject
) -> None:
    true_key, true_signature = sign("ES256")
    mutated = bytearray(true_key)
    mutated[data.draw(st.integers(0, len(mutated) - 1))] ^= data.draw(st.integers(1, 255))
    for each, over in ((key, signature), (bytes(mutated), true_signature), (true_key, signature)):
        with pytest.raises(SignatureInvalid):
            verify_signature(each, MESSAGE, over, algorithm=algorithm)


# --- the key a holder is found by ------------------------------------------------------------------------------------


def test_fingerprint_depends_on_secret_issuer_key_and_serial_and_shows_none() -> None:
    secret, issuer, serial = b"s" * 32, b"i" * 32, 0x0133C349
    mine = serial_fingerprint(secret, issuer, serial)
    assert mine == serial_fingerprint(secret, issuer, serial)
    assert (len(mine), mine[0]) == (33, 1)
    assert serial.to_bytes(4, "big") not in mine
    others = {
        serial_fingerprint(b"t" * 32, issuer, serial),
        serial_fingerprint(secret, b"j" * 32, serial),
        serial_fingerprint(secret, issuer, serial + 1),
    }
    assert len(others | {mine}) == 4


@pytest.mark.parametrize(
    "wrong",
    [(b"s" * 31, b"i" * 32, 1), (b"s" * 32, b"i" * 20, 1), (b"s" * 32, b"i" * 32, 0), (b"s" * 32, b"i" * 32, 1 << 160)],
)
def test_fingerprint_of_what_no_certificate_carries_is_our_own_fault(wrong: tuple[bytes, bytes, int]) -> None:
    with pytest.raises(ValueError, match=r"."):
        serial_fingerprint(*wrong)
