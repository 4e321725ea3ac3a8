"""The strict gate for JWS and JWK (RFC 7515, 7517, 7518, 7638, 8725), `broker.jwe` for JWE: no other parses one.

PyJWT supplies the signature primitives; everything an attacker can choose is judged here first: size, nesting,
duplicate members, base64url's one spelling, the header, and the key's own limits.
"""

from __future__ import annotations

from broker.jose.encoding import (
    MAX_DEPTH,
    MAX_TOKEN,
    b64url,
    b64url_decode,
    compact_json,
    parse_claims,
    parse_json,
    parse_json_array,
)
from broker.jose.jws import (
    MAX_KEYS,
    Signer,
    UnverifiedJWS,
    ascii_token,
    fitting_keys,
    protected_header,
    read_jws,
    sign_jws,
    verify_jws,
    verify_self_signed,
)
from broker.jose.keys import (
    PRIVATE_MEMBERS,
    RSA_CEILING,
    RSA_FLOOR,
    PrivateKey,
    SignatureKey,
    load_public_key,
    public_jwk,
    raw_ecdsa,
    rsa_weakness,
    signature_holds,
    thumbprint,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_KEYS",
    "MAX_TOKEN",
    "PRIVATE_MEMBERS",
    "RSA_CEILING",
    "RSA_FLOOR",
    "PrivateKey",
    "SignatureKey",
    "Signer",
    "UnverifiedJWS",
    "ascii_token",
    "b64url",
    "b64url_decode",
    "compact_json",
    "fitting_keys",
    "load_public_key",
    "parse_claims",
    "parse_json",
    "parse_json_array",
    "protected_header",
    "public_jwk",
    "raw_ecdsa",
    "read_jws",
    "rsa_weakness",
    "sign_jws",
    "signature_holds",
    "thumbprint",
    "verify_jws",
    "verify_self_signed",
]
