"""Signing keys in a PKCS #11 token (an HSM; SoftHSM2 in the tests), named by a `pkcs11:` URI (RFC 7512).

One session per process, behind one lock: python-pkcs11 promises the module a single thread and then lets go of the
interpreter around its calls, so a session per thread crashes. Opened at the first use and again in a forked child.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, unquote_to_bytes

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from broker.errors import InvalidToken, SettingsError, StoreUnavailable
from broker.jose import load_public_key, public_jwk, signature_holds, thumbprint
from broker.keys.algorithms import RSA_BITS

if TYPE_CHECKING:
    import pkcs11
    from pkcs11.types import SignMixin

T = TypeVar("T")

ALGORITHMS: Final = ("ES256", "PS256", "RS256", "EdDSA")
_ED25519: Final = "1.3.101.112"
"""RFC 8410 §3."""
WAIT: Final = 2.0
"""Seconds to wait for the token while another thread uses it."""
MAX_PIN: Final = 256

_PATH: Final = frozenset({"token", "serial"})
_QUERY: Final = frozenset({"module-path", "pin-source"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenURI:
    """Which token, through which module, opened with what."""

    module_path: str
    token: str
    serial: bytes | None
    pin_source: Path

    @classmethod
    def parse(cls, text: str) -> TokenURI:
        """RFC 7512 §2.3: `pkcs11:token=NAME?module-path=/….so&pin-source=file:/…`. Raises SettingsError.

        Only what names a token, its module and the file of its PIN is taken: `serial` beside `token`; never
        `pin-value`, which would put the PIN where settings are printed. Keys are named by the key file, not here.
        """
        scheme, colon, rest = text.partition(":")
        path, _, query = rest.partition("?")
        if scheme.lower() != "pkcs11" or not colon or len(text) > 4096:
            raise SettingsError("key_token: not a pkcs11: URI")
        attributes = _attributes(path, ";", _PATH)
        query_attributes = _attributes(query, "&", _QUERY)
        missing = [name for name in ("token",) if name not in attributes]
        missing += [name for name in ("module-path", "pin-source") if name not in query_attributes]
        if missing:
            raise SettingsError(f"key_token: the URI lacks {', '.join(missing)}")
        source = unquote(query_attributes["pin-source"])
        source = source.removeprefix("file:").removeprefix("//") if source.startswith("file:") else source
        module = unquote(query_attributes["module-path"])
        if not source.startswith("/") or not module.startswith("/"):
            raise SettingsError("key_token: module-path and pin-source are absolute paths of files")
        serial = attributes.get("serial")
        return cls(
            module_path=module,
            token=unquote(attributes["token"]),
            serial=None if serial is None else unquote_to_bytes(serial),
            pin_source=Path(source),
        )

    def pin(self) -> str:
        """What the file holds. Raises StoreUnavailable."""
        try:
            with self.pin_source.open("r", encoding="utf-8") as file:
                pin = file.read(MAX_PIN + 1).rstrip("\n")
        except (OSError, UnicodeDecodeError) as unreadable:
            raise StoreUnavailable(f"{self.pin_source.name} cannot be read: the token stays shut") from unreadable
        if not 0 < len(pin) <= MAX_PIN:
            raise StoreUnavailable(f"{self.pin_source.name} holds no PIN")
        return pin


def _attributes(text: str, separator: str, known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(separator) if text else ():
        name, equals, value = part.partition("=")
        if name not in known:
            raise SettingsError(f"key_token: the attribute {name[:40]!r} is not taken")
        if not equals or not value or name in found:
            raise SettingsError(f"key_token: {name} is given once and not empty")
        found[name] = value
    return found


class Token:
    """One token of this process. Made by `token`, never twice for one URI."""

    def __init__(self, uri: TokenURI) -> None:
        self.uri = uri
        self._session: pkcs11.Session | None = None
        self._keys: dict[bytes, Callable[[bytes], bytes]] = {}
        self._refused: bytes | None = None

    def sign(self, object_id: bytes, jwk: Mapping[str, str], alg: str, data: bytes) -> bytes:
        """A signature in JOSE form. Raises StoreUnavailable: the token is away, or holds another key than `jwk`.

        A session that was lost is opened again, once; a signature that failed is made again, never half taken.
        """
        return self._trying(lambda: self._key(object_id, jwk, alg)(data))

    def generate(self, alg: str, object_id: bytes, label: str) -> dict[str, str]:
        """Make a key pair that never leaves the token; answers its public JWK.

        Raises SettingsError: an algorithm or id that cannot be had; StoreUnavailable.
        """
        if alg not in ALGORITHMS:
            raise SettingsError(f"no {alg} keys are made in a token; it serves {', '.join(ALGORITHMS)}")
        return self._trying(lambda: self._generate(alg, object_id, label), once=True)

    def destroy(self, object_id: bytes) -> None:
        """Destroy the key pair of this id; nothing where there is none. Raises StoreUnavailable."""

        def destroy() -> None:
            self._keys.pop(object_id, None)
            with self._writing() as session:
                for found in self._objects(session, object_id):
                    found.destroy()

        self._trying(destroy)

    def _trying(self, work: Callable[[], T], *, once: bool = False) -> T:
        from pkcs11.exceptions import PinIncorrect, PKCS11Error

        if not _lock.acquire(timeout=WAIT):
            raise StoreUnavailable("the token is busy")
        try:
            try:
                return work()
            except PKCS11Error as failed:
                if once or isinstance(failed, PinIncorrect):
                    raise
                _forget_all(self.uri.module_path)  # a lost device answers again only after a new C_Initialize
                return work()
        except PKCS11Error as failed:
            _forget_all(self.uri.module_path)
            raise StoreUnavailable(f"the token does not serve: {type(failed).__name__}") from failed
        finally:
            _lock.release()

    def _open(self, *, writing: bool = False) -> pkcs11.Session:
        """Log in. A PIN that the token refused is not shown to it again: tokens count, and lock for good."""
        from pkcs11.exceptions import PinIncorrect

        pin = self.uri.pin()
        if self._refused == hashlib.sha256(pin.encode()).digest():
            raise StoreUnavailable(f"the token refused the PIN in {self.uri.pin_source.name}: not tried again")
        library = _library(self.uri.module_path)
        wanted: dict[str, Any] = {"token_label": self.uri.token}
        if self.uri.serial is not None:
            wanted["token_serial"] = self.uri.serial
        try:
            session: pkcs11.Session = library.get_token(**wanted).open(rw=writing, user_pin=pin)
        except PinIncorrect:
            self._refused = hashlib.sha256(pin.encode()).digest()
            raise
        self._refused = None
        return session

    def _reading(self) -> pkcs11.Session:
        if self._session is None:
            self._session = self._open()
        return self._session

    @contextmanager
    def _writing(self) -> Iterator[pkcs11.Session]:
        """A session that may write, in the place of the one that reads: a process logs in to a token once."""
        self.close()
        session = self._open(writing=True)
        try:
            yield session
        finally:
            session.close()

    def close(self) -> None:
        """Log out, where a session is open."""
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            session.close()

    def forget(self) -> None:
        """Let go of a session that is gone already."""
        self._session = None
        self._keys.clear()

    @staticmethod
    def _objects(session: pkcs11.Session, object_id: bytes, **which: Any) -> list[Any]:
        from pkcs11 import Attribute

        attributes: dict[Any, Any] = {Attribute.ID: object_id}
        attributes |= {Attribute[name.upper()]: value for name, value in which.items()}
        return list(session.get_objects(attributes))

    def _key(self, object_id: bytes, jwk: Mapping[str, str], alg: str) -> Callable[[bytes], bytes]:
        """What signs with the private key of this id; once a session, a signature proves it the one the file names."""
        known = self._keys.get(object_id)
        if known is not None:
            return known
        from pkcs11 import ObjectClass

        found = self._objects(self._reading(), object_id, **{"class": ObjectClass.PRIVATE_KEY})
        if len(found) != 1:
            raise StoreUnavailable(
                f"the token holds {len(found)} private keys of one id: wrong token, or a key is gone"
            )
        sign = self._signing(alg, found[0])
        probe = secrets.token_bytes(32)
        try:
            fits = signature_holds(alg, load_public_key(jwk), probe, sign(probe))
        except InvalidToken:
            fits = False
        if not fits:
            raise StoreUnavailable("the token holds another key under this id than the key file names")
        self._keys[object_id] = sign
        return sign

    @staticmethod
    def _signing(alg: str, key: SignMixin) -> Callable[[bytes], bytes]:
        from pkcs11 import MGF, Mechanism

        match alg:
            case "ES256":  # R and S side by side already; hashed here, because not every token does both
                return lambda data: key.sign(hashlib.sha256(data).digest(), mechanism=Mechanism.ECDSA)
            case "EdDSA":  # the whole message: Ed25519 hashes it twice
                return lambda data: key.sign(data, mechanism=Mechanism.EDDSA)
            case "RS256":
                return lambda data: key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS)
            case "PS256":
                parameters = (Mechanism.SHA256, MGF.SHA256, 32)
                return lambda data: key.sign(data, mechanism=Mechanism.SHA256_RSA_PKCS_PSS, mechanism_param=parameters)
            case _:
                raise StoreUnavailable(f"a token key does not serve {alg}")

    def _generate(self, alg: str, object_id: bytes, label: str) -> dict[str, str]:
        from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag
        from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
        from pkcs11.util.rsa import encode_rsa_public_key

        wanted: dict[str, Any] = {
            "id": object_id,
            "label": label,
            "store": True,
            "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
            "private_template": {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        }
        with self._writing() as session:
            if self._objects(session, object_id):
                raise SettingsError("the token has an object of this id already")
            if alg == "ES256":
                curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
                public, _ = session.create_domain_parameters(KeyType.EC, curve, local=True).generate_keypair(**wanted)
                der = encode_ec_public_key(public)
            elif alg == "EdDSA":
                curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(_ED25519)}
                parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
                public, _ = parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, **wanted)
                point = bytes(public[Attribute.EC_POINT])
                return public_jwk(Ed25519PublicKey.from_public_bytes(point[-32:]))  # some tokens wrap it, some do not
            else:
                public, _ = session.generate_keypair(KeyType.RSA, RSA_BITS, **wanted)
                der = encode_rsa_public_key(public)
        return public_jwk(_public_key(der, rsa=alg != "ES256"))


def _public_key(der: bytes, *, rsa: bool) -> Any:
    if rsa:  # PKCS #1, without an AlgorithmIdentifier
        from asn1crypto.keys import PublicKeyInfo, RSAPublicKey

        der = PublicKeyInfo.wrap(RSAPublicKey.load(der), "rsa").dump()
    return load_der_public_key(der)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSigner:
    """Fulfils jose.Signer with a key that stays in its token."""

    alg: str
    kid: str
    jwk: Mapping[str, str]
    object_id: bytes
    token: Token = field(repr=False)

    def sign(self, data: bytes, /) -> bytes:
        """Raises StoreUnavailable where the token does not answer, or holds another key."""
        return self.token.sign(self.object_id, self.jwk, self.alg, data)


def signer(uri: TokenURI, *, alg: str, object_id: bytes, jwk: Mapping[str, str]) -> TokenSigner:
    """A signer for a key of the token; the token is not touched yet. Raises SettingsError, ValueError."""
    if alg not in ALGORITHMS:
        raise ValueError(f"a token key does not serve {alg}")
    return TokenSigner(alg=alg, kid=thumbprint(jwk), jwk=jwk, object_id=object_id, token=token(uri))


# --- what a process has one of ---------------------------------------------------------------------------------------

_lock = threading.RLock()
_tokens: dict[TokenURI, Token] = {}
_stale: set[str] = set()
"""Modules that must be initialised again before their next use."""


def token(uri: TokenURI) -> Token:
    """This process's only handle of a token. Raises SettingsError: extra [hsm] is not installed."""
    try:
        import pkcs11  # noqa: F401 -- only whether it is there
    except ImportError as absent:
        raise SettingsError("key_token: python-pkcs11 is not installed (extra [hsm])") from absent
    with _lock:
        return _tokens.setdefault(uri, Token(uri))


def _library(path: str) -> Any:
    import pkcs11

    try:
        library = pkcs11.lib(path)
    except RuntimeError as broken:  # PKCS11Error is one, and so is what the loader says
        raise StoreUnavailable(f"{Path(path).name} cannot be loaded") from broken
    if path in _stale:
        _stale.discard(path)
        library.reinitialize()
    return library


def _forget_all(module_path: str) -> None:
    for each in _tokens.values():
        if each.uri.module_path == module_path:
            each.forget()
    _stale.add(module_path)


def _after_fork() -> None:
    """A child's module state is its parent's, and the lock may be held by a thread that the child does not have."""
    global _lock  # noqa: PLW0603 -- a child needs a lock of its own
    _lock = threading.RLock()
    for each in _tokens.values():
        _forget_all(each.uri.module_path)


os.register_at_fork(after_in_child=_after_fork)
