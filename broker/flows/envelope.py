"""What is signed, and perhaps encrypted, for one client: ID tokens, userinfo, introspection, JARM, logout tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broker.errors import InvalidToken, StoreUnavailable
from broker.flows.ports import KeyUse, Ports
from broker.jose import compact_json, sign_jws
from broker.jwe import encrypt_compact
from broker.oidc.client import Client, Encryption


def signed_for(
    client: Client, claims: Mapping[str, Any], *, alg: str, encryption: Encryption | None, typ: str, ports: Ports
) -> str:
    """A JWS, within a JWE where the client wants it (OIDC Core §10.2: signed, then encrypted).

    Raises StoreUnavailable: no key of `alg`, or no key to encrypt to: never sent open instead.
    """
    token = sign_jws(claims, signer=ports.keys.signer(KeyUse.ID_TOKEN, alg), typ=typ)
    return token if encryption is None else _encrypted(client, token.encode(), encryption, cty="JWT", ports=ports)


def check_envelope(client: Client, *, alg: str, encryption: Encryption | None, ports: Ports) -> None:
    """Could `signed_for` answer now? Asked before anything is used up for the answer. Raises StoreUnavailable."""
    ports.keys.signer(KeyUse.ID_TOKEN, alg)
    if encryption is not None:
        _encrypted(client, b"", encryption, cty="JWT", ports=ports)


def encrypted_for(client: Client, claims: Mapping[str, Any], encryption: Encryption, *, ports: Ports) -> str:
    """A JWE over plain JSON, for what is not signed. Raises StoreUnavailable."""
    return _encrypted(client, compact_json(claims), encryption, cty=None, ports=ports)


def _encrypted(client: Client, payload: bytes, encryption: Encryption, *, cty: str | None, ports: Ports) -> str:
    try:
        return encrypt_compact(
            payload, jwks=ports.client_keys.of(client), alg=encryption.alg, enc=encryption.enc, cty=cty
        )
    except InvalidToken as missing:
        raise StoreUnavailable(f"{client.client_id}: no key to encrypt its answer to") from missing
