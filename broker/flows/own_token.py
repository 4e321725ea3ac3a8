"""Our own access tokens, read back. What this process has signed or verified before is not verified again.

The very same octets under a key that is still published: nothing else is recognised. Whether a token was ended is the
store's word at every use.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from broker.errors import InvalidToken
from broker.flows.ports import KeyUse, Ports
from broker.jose import Signer, parse_claims, read_jws, sign_jws, verify_jws
from broker.oidc.tokens import ACCESS_TOKEN_TYPE

MOST: Final = 4096
"""Tokens remembered: a few megabytes of a worker."""

_KNOWN: Final[OrderedDict[bytes, tuple[str, Mapping[str, Any]]]] = OrderedDict()


def sign_access_token(claims: Mapping[str, Any], *, signer: Signer) -> str:
    """An access token, remembered. Raises StoreUnavailable."""
    token = sign_jws(claims, signer=signer, typ=ACCESS_TOKEN_TYPE)
    _remember(token, signer.kid, claims)
    return token


def read_access_token(token: str, *, ports: Ports) -> Mapping[str, Any]:
    """The claims of an access token that we signed. Raises InvalidToken."""
    jwks = ports.keys.jwks(KeyUse.ACCESS_TOKEN)
    known = _KNOWN.get(_name(token))
    if known is not None and any(jwk["kid"] == known[0] for jwk in jwks["keys"]):
        return known[1]
    read = read_jws(token)
    claims = parse_claims(verify_jws(read, jwks=jwks, algorithms=("ES256",), typ=ACCESS_TOKEN_TYPE))
    if read.kid is not None:
        _remember(token, read.kid, claims)
    return claims


def _remember(token: str, kid: str, claims: Mapping[str, Any]) -> None:
    _KNOWN[_name(token)] = (kid, MappingProxyType(dict(claims)))
    while len(_KNOWN) > MOST:
        try:
            _KNOWN.popitem(last=False)
        except KeyError:  # another thread has just made room
            break


def _name(token: str) -> bytes:
    try:
        return sha256(token.encode("ascii")).digest()
    except UnicodeEncodeError:
        raise InvalidToken("token is not ASCII") from None
