"""Teaching the agent to trust a broker: what the broker says of itself, its fingerprint in words, and the trust file.

Whether the fingerprint is the printed one, only a person can say: TLS shows who holds a name today, not whom the
resident was told to trust. A web page never comes here.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cardreader.agent.jose import PublicKey, decode_base64url, parse_json, parse_jws, parse_public_key, verify
from cardreader.agent.request import STATEMENT_TYP
from cardreader.agent.trust import MAX_FILE, TrustInvalid, origin_of, parse_trust
from cardreader.errors import RequestMalformed, RequestSignatureInvalid

PATH: Final = "/.well-known/card-agent"
MAX_DOCUMENT: Final = 64 * 1024  # bytes
TIMEOUT: Final = 10.0  # seconds
_FINGERPRINT_BYTES: Final = 16  # 128 bits: who forges a key to match them must try 2^128
_CONSONANTS: Final = "bdfghjklmnprstvz"
_VOWELS: Final = "aiou"

Fetch = Callable[[str], bytes]


class PairingRefused(Exception):
    """The broker's answer cannot be trusted, or the trust file cannot be changed; says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a broker says of itself. Nothing of it is trusted before a person has compared the words."""

    origin: str
    issuer: str
    agent_root: PublicKey
    issuer_keys: tuple[str, ...] = field(repr=False)

    @property
    def host(self) -> str:
        """The name that the person must know."""
        return urlsplit(self.origin).netloc

    @property
    def words(self) -> str:
        """The fingerprint as eight words."""
        return fingerprint_words(self.agent_root)


def fingerprint_words(key: PublicKey) -> str:
    """The first 128 bits of the key's RFC 7638 SHA-256 thumbprint as eight pronounceable words.

    Proquints (arXiv:0901.4016): 16 bits to consonant, vowel, consonant, vowel, consonant. Brokers print the same.
    """
    raw = decode_base64url(key.thumbprint, what="thumbprint")[:_FINGERPRINT_BYTES]
    return " ".join(_proquint(int.from_bytes(raw[i : i + 2], "big")) for i in range(0, len(raw), 2))


def same_words(left: str, right: str) -> bool:
    """Whether two people read the same words: capitals, hyphens and spacing do not matter."""
    return _plain(left) == _plain(right)


def identify(url: str, *, sandbox: bool, fetch: Fetch) -> Identity:
    """Ask the broker at `url` who it is, over TLS, following nothing. Raises PairingRefused."""
    try:
        origin = origin_of(url)
    except ValueError as error:
        raise PairingRefused(f"{url} is {error}; write it like https://login.example.jp") from None
    try:
        document = parse_json(fetch(f"{origin}{PATH}"), what="the broker's answer")
        identity = _identity(document, origin=origin)
        parse_trust(json.dumps(_file("-", [_row(identity, name="-", sandbox=sandbox)])), sandbox=sandbox)
    except (RequestMalformed, RequestSignatureInvalid) as error:
        raise PairingRefused(f"the answer of {origin} is not a broker's: {error}") from None
    except TrustInvalid as error:
        raise PairingRefused(str(error)) from None
    return identity


def fetch_document(url: str) -> bytes:
    """One GET by this machine's certificate authorities; no redirect, no proxy. Raises PairingRefused."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        connection.request("GET", parts.path, headers={"Accept": "application/json"})
        with connection.getresponse() as response:
            body, status = response.read(MAX_DOCUMENT + 1), response.status
    except ssl.SSLCertVerificationError as error:
        raise PairingRefused(f"{parts.netloc} does not prove its name: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        raise PairingRefused(f"{parts.netloc} cannot be reached: {type(error).__name__}") from None
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        raise PairingRefused(f"{url} answers with status {status}, not with a broker's identity")
    if len(body) > MAX_DOCUMENT:
        raise PairingRefused(f"{url} answers with more than {MAX_DOCUMENT} bytes")
    return body


def trusted(path: Path) -> tuple[tuple[str, str, str], ...]:
    """(name, issuer, fingerprint words) of each broker in the trust file. Raises TrustInvalid."""
    return tuple(
        (row["name"], row["issuer"], fingerprint_words(parse_public_key(row["agent_root"], what="agent_root")))
        for row in _read(path)["brokers"]
    )


def is_new(path: Path) -> bool:
    """Whether there is no trust file yet, so that a phrase must be chosen."""
    return not path.exists()


def add(path: Path, identity: Identity, *, name: str, phrase: str | None, sandbox: bool) -> None:
    """Write the broker into the trust file, whole or not at all; one known by the same key gets its new CA keys.

    `phrase` is needed for a new file and ignored for an old one. Raises PairingRefused, TrustInvalid.
    """
    document = _file(phrase or "", []) if is_new(path) else _read(path)
    row = _row(identity, name=name, sandbox=sandbox)
    others = []
    for known in document["brokers"]:
        if known["issuer"] != identity.issuer:
            others.append(known)
        elif known["agent_root"] != row["agent_root"]:
            raise PairingRefused(
                f"{identity.host} is trusted already, by another key. If the operator announced a new one, remove the "
                f"old first:  cardreader trust --remove {identity.origin}"
            )
    _write(path, {**document, "brokers": [*others, row]})


def remove(path: Path, url: str) -> bool:
    """Undo `add`. Returns whether the file still names a broker; the last one takes the file with it.

    Raises PairingRefused where the broker is not in it, TrustInvalid.
    """
    document = _read(path)
    left = [row for row in document["brokers"] if url.rstrip("/") not in (row["issuer"].rstrip("/"), _origin(row))]
    if len(left) == len(document["brokers"]):
        raise PairingRefused(f"{url} is not in {path}")
    if left:
        _write(path, {**document, "brokers": left})
        return True
    try:
        path.unlink()
    except OSError as error:
        raise PairingRefused(f"{path} cannot be removed: {error.strerror}") from None
    return False


def _identity(document: object, *, origin: str) -> Identity:
    if not isinstance(document, dict) or document.keys() != {"issuer", "agent_root", "statement", "issuer_keys"}:
        raise RequestMalformed("it has not exactly issuer, agent_root, statement and issuer_keys")
    issuer, keys = document["issuer"], document["issuer_keys"]
    if not isinstance(issuer, str) or not (issuer.rstrip("/") == origin or issuer.startswith(f"{origin}/")):
        raise RequestMalformed("its issuer is at another address")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RequestMalformed("issuer_keys is no list of texts")
    root = parse_public_key(document["agent_root"], what="agent_root")
    if verify(parse_jws(document["statement"], typ=STATEMENT_TYP), root).get("iss") != issuer:
        raise RequestMalformed("its statement of keys is another issuer's")
    return Identity(origin=origin, issuer=issuer, agent_root=root, issuer_keys=tuple(keys))


def _row(identity: Identity, *, name: str, sandbox: bool) -> dict[str, Any]:
    return {
        "issuer": identity.issuer,
        "agent_root": dict(identity.agent_root.jwk),
        "issuer_keys": list(identity.issuer_keys),
        "name": name,
        "sandbox": sandbox,
    }


def _file(phrase: str, brokers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": 1, "phrase": phrase, "brokers": brokers}


def _read(path: Path) -> dict[str, Any]:
    """The file as it stands, judged as the agent will judge it (sandbox entries stay possible: they are listed too)."""
    try:
        text = path.read_bytes()[: MAX_FILE + 1]
        document: dict[str, Any] = parse_json(text, what="the trust file")
        parse_trust(text, sandbox=True)
    except OSError as error:
        raise TrustInvalid(f"the trust file {path} cannot be read: {error.strerror}") from None
    except RequestMalformed as error:
        raise TrustInvalid(f"the trust file {path} is damaged: {error}") from None
    return document


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, ensure_ascii=False, indent=1)
    try:
        parse_trust(text, sandbox=True)
    except RequestMalformed as error:
        raise TrustInvalid(f"the trust file would be damaged: {error}") from None
    try:
        if path.exists() and not path.stat().st_mode & 0o200:
            raise PermissionError(13, "it is read-only")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".trust-")  # mkstemp makes it 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PairingRefused(f"{path} cannot be written: {error.strerror}") from None


def _origin(row: Mapping[str, Any]) -> str:
    return origin_of(str(row["issuer"]))


def _proquint(number: int) -> str:
    letters = []
    for shift, width in ((12, 4), (10, 2), (6, 4), (4, 2), (0, 4)):
        part = number >> shift & (1 << width) - 1
        letters.append((_CONSONANTS if width == 4 else _VOWELS)[part])
    return "".join(letters)


def _plain(words: str) -> str:
    return "".join(character for character in words.casefold() if character.isalpha())
