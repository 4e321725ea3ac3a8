"""Every setting of the broker: its name, type, default and meaning, read once at start.

A setting comes from the environment (`BROKER_ISSUER`), from a file named there (`BROKER_KEY_PASSPHRASE_FILE`, for
secrets), or from the TOML file named by `BROKER_CONFIG` (`issuer = "…"`), in that order. An unknown or unsafe
one stops the start by its name (R10).
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from broker.errors import SettingsError

PREFIX = "BROKER_"
MAX_FILE = 1024 * 1024
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
_PHONE = re.compile(r"[+]?[0-9]+(-[0-9]+)*")
_MAIL = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+")
_OTHER_HEADERS = {"authorization", "content-length", "content-type", "cookie", "dpop", "host", "origin", "referer"}


def _means(meaning: str) -> dict[str, str]:
    return {"meaning": meaning}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided. Relative paths are taken from the working folder."""

    issuer: str = field(metadata=_means("the issuer URL, https and without a path; clients pin it"))
    database_url: str = field(metadata=_means("SQLAlchemy URL: sqlite:///file or postgresql://host/name"))
    key_directory: Path = field(metadata=_means("the folder of the encrypted key file, made by `broker keys create`"))
    key_passphrase: str = field(
        repr=False, metadata=_means("opens the key file; give it as BROKER_KEY_PASSPHRASE_FILE")
    )
    anchors: Path = field(metadata=_means("PEM file of the accepted user-authentication CA certificates"))
    sign_anchors: str = field(
        default="",
        metadata=_means(
            "PEM file of the accepted digital-signature (署名用) CA certificates; empty: nobody proves name or address"
            " here, and nothing is signed"
        ),
    )
    accepted_kinds: tuple[str, ...] = field(
        default=("plastic",),
        metadata=_means("whose certificates log in: plastic, android, iphone, or phone where one policy serves both"),
    )
    phone_policies: tuple[str, ...] = field(
        default=(), metadata=_means("the certificate policy of each accepted phone: android=1.2.3,iphone=1.2.4")
    )
    crl_sources: Path = field(metadata=_means("TOML or JSON file of the sources of revocation (docs/sources.md)"))
    key_token: str = field(
        default="",
        metadata=_means(
            "the `pkcs11:` URI (RFC 7512) of the token that holds the signing keys: token, module-path, pin-source;"
            " empty where the key file holds them"
        ),
    )
    hpki_anchors: str = field(
        default="", metadata=_means("PEM file of the accepted HPKI root certificates; empty: no HPKI certificate is")
    )
    hpki_authorities: str = field(
        default="",
        metadata=_means(
            "PEM file of the HPKI authorities below those roots whose cards log in (認証用); empty: nobody logs in by"
            " HPKI card"
        ),
    )
    hpki_crl_sources: str = field(
        default="",
        metadata=_means(
            "TOML or JSON file of the revocation lists of those roots and authorities, one at least for each"
            " (docs/sources.md)"
        ),
    )
    commercial_registration_anchors: str = field(
        default="",
        metadata=_means("PEM file of the registrar's roots (商業登記); empty: no such certificate is accepted"),
    )
    commercial_registration_lists: tuple[str, ...] = field(
        default=(),
        metadata=_means(
            "https addresses of the registrar's revocation lists (comma-separated); needed with its roots, so that a"
            " corporation's own certificate can sign a power of attorney"
        ),
    )
    authority_policies: str = field(
        default="",
        metadata=_means(
            "folder of procuring authorities' policies (*.json) that officers may choose on /verify; empty: none"
        ),
    )
    procuring_entities: str = field(
        default="",
        metadata=_means(
            "TOML file of the procuring entities (発注機関) that powers may name: code, name, name_en; empty: any code"
            " will do"
        ),
    )
    seal: str = field(
        default="",
        metadata=_means(
            "TOML file of the seal on documents: its certificates, anchors, revocation lists and time-stamp authority;"
            " empty: no document is sealed"
        ),
    )
    revocation_directory: str = field(
        default="",
        metadata=_means(
            "the folder of the revocation indexes, on this machine's own disk; empty for `revocation` beside the keys"
        ),
    )
    crl_max_age_hours: int = field(
        default=30, metadata=_means("how old a revocation list may be before its word counts as unknown")
    )
    correspondence_url: str = field(
        default="",
        metadata=_means("the gateway to J-LIS's old-new mapping; empty: a renewed certificate begins a new account"),
    )
    agent_origins: tuple[str, ...] = field(
        default=("http://127.0.0.1:24780", "http://[::1]:24780"),
        metadata=_means("where the reader agent answers (comma-separated); the card form goes to the first"),
    )
    client_certificate_header: str = field(
        default="",
        metadata=_means(
            "the header in which the TLS front on this machine hands on a client's certificate (RFC 8705);"
            " the front must overwrite it in every request; empty: certificates are not looked at"
        ),
    )
    client_address_header: str = field(
        default="",
        metadata=_means(
            "the header in which the front on this machine states the address of who calls (X-Real-IP); the front must"
            " overwrite it in every request; empty: the connection's own address, which counts only where it is not"
            " loopback"
        ),
    )
    client_ca: str = field(
        default="",
        metadata=_means("PEM file of the authorities whose certificates prove a client (`tls_client_auth`)"),
    )
    mtls_origin: str = field(
        default="",
        metadata=_means("the https origin at which the front asks clients for a certificate; empty: the issuer's own"),
    )
    dpop_nonces: bool = field(
        default=False,
        metadata=_means(
            "whether every DPoP proof must carry a nonce of ours (RFC 9449 section 8): none can be made in advance, and"
            " a client's first request costs it a second one"
        ),
    )
    login_starts: int = field(
        default=6000,
        metadata=_means("how many logins of one client may begin in a minute, on all hosts together; above it 429"),
    )
    front_channel_logout: bool = field(
        default=False,
        metadata=_means("load a page of the client's in a frame at logout, for clients that know no other way"),
    )
    login_receipt_days: int = field(
        default=400, metadata=_means("how long a client can look up the receipt of a login, in days from the login on")
    )
    receipt_days: int = field(
        default=2557,
        metadata=_means("the same for proofs of name and address and for signatures; 2557 days are seven years"),
    )
    register_policy: str = field(
        default="",
        metadata=_means(
            "the log policy (C2SP tlog-policy) whose witnesses cosign the register of mandates; each needs an address;"
            " empty: no register is kept, and there are no mandates"
        ),
    )
    host: str = field(default="127.0.0.1", metadata=_means("the address to listen on"))
    port: int = field(default=8000, metadata=_means("the port to listen on"))
    workers: int = field(default=2, metadata=_means("worker processes; at most 2 on SQLite"))
    hosts: int = field(
        default=1, metadata=_means("how many machines serve this issuer together; more than one needs PostgreSQL")
    )
    embedded_jobs: bool = field(
        default=True, metadata=_means("run the timetable in a thread of the server instead of `broker jobs run`")
    )
    approve_sectors: bool = field(
        default=False,
        metadata=_means("the sandbox alone: a sector_identifier_uri needs no `broker client approve-sector`"),
    )
    open_registration: str = field(
        default="",
        metadata=_means("the sandbox alone: the profile that anybody may register a client of without a token"),
    )
    default_language: str = field(default="ja", metadata=_means("ja or en, for people whose browser asks for neither"))
    help_url: str = field(
        default="", metadata=_means("where residents find more help than on our own page `/help`; empty for none")
    )
    operator: str = field(default="", metadata=_means("who runs this service, as its pages tell residents"))
    operator_en: str = field(default="", metadata=_means("the same on English pages; empty: the same words"))
    contact_phone: str = field(default="", metadata=_means("the telephone number of the help desk; empty for none"))
    contact_mail: str = field(default="", metadata=_means("the mail address of the help desk; empty for none"))
    contact_hours: str = field(default="", metadata=_means("when the help desk answers; empty to leave it out"))
    contact_hours_en: str = field(default="", metadata=_means("the same on English pages; empty: the same words"))
    procedures_url: str = field(
        default="https://www.jpki.go.jp/",
        metadata=_means("where residents read what a counter does for a locked PIN or an expired certificate"),
    )

    def __post_init__(self) -> None:
        _check_issuer(self.issuer)
        if not self.database_url.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise SettingsError("database_url: sqlite:///… or postgresql://… only")
        if self.sqlite and self.hosts > 1:
            raise SettingsError("hosts: SQLite serves one machine; several need PostgreSQL")
        if self.sqlite and self.workers > 2:
            raise SettingsError("workers: SQLite takes at most two writing workers")
        for name, least, most in (
            ("workers", 1, 64),
            ("hosts", 1, 1000),
            ("port", 1, 65535),
            ("crl_max_age_hours", 1, 168),
            ("login_starts", 1, 1_000_000),
            ("login_receipt_days", 1, 36_525),
            ("receipt_days", 1, 36_525),
        ):
            if not least <= getattr(self, name) <= most:
                raise SettingsError(f"{name}: {least} to {most}")
        if self.default_language not in {"ja", "en"}:
            raise SettingsError("default_language: ja or en")
        if self.open_registration not in {"", "fapi2", "oidc"}:
            raise SettingsError("open_registration: fapi2 or oidc, or empty")
        if not self.agent_origins:
            raise SettingsError("agent_origins: at least one")
        for name in ("help_url", "procedures_url"):
            address = getattr(self, name)
            if address and not address.startswith("https://"):
                raise SettingsError(f"{name}: https only")
        if self.contact_phone and not _PHONE.fullmatch(self.contact_phone):
            raise SettingsError("contact_phone: digits, hyphens and a leading + only")
        if self.contact_mail and not _MAIL.fullmatch(self.contact_mail):
            raise SettingsError("contact_mail: one address")
        _check_front(self)

    @property
    def sqlite(self) -> bool:
        return self.database_url.startswith("sqlite:")

    @property
    def secure(self) -> bool:
        """Served under https, so cookies are Secure and carry the __Host- prefix."""
        return self.issuer.startswith("https://")

    @property
    def revocation_folder(self) -> Path:
        given = self.revocation_directory
        return Path(given) if given else self.key_directory.parent / "revocation"

    @property
    def crl_max_age(self) -> timedelta:
        return timedelta(hours=self.crl_max_age_hours)


def _check_issuer(issuer: str, name: str = "issuer") -> None:
    parts = urlsplit(issuer)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise SettingsError(f"{name}: a URL of scheme and host alone, without a trailing slash")
    if parts.username or parts.password or issuer != issuer.lower():
        raise SettingsError(f"{name}: lower case, without a user")


def _check_front(settings: Settings) -> None:
    """Whoever reaches the broker's port past the front could write any certificate into its header (RFC 8705 §6.3)."""
    stated = settings.client_address_header
    if stated and (not _HEADER.fullmatch(stated) or stated.lower() in _OTHER_HEADERS):
        raise SettingsError("client_address_header: the name of a header that nothing else uses")
    if stated and not loopback(settings.host):
        raise SettingsError("client_address_header: only with host on loopback, so that nobody goes past the front")
    header = settings.client_certificate_header
    if header and header.lower() == stated.lower():
        raise SettingsError("client_address_header: another header than that of the certificate")
    if not header:
        for name in ("client_ca", "mtls_origin"):
            if getattr(settings, name):
                raise SettingsError(f"{name}: of use only with client_certificate_header")
        return
    if not _HEADER.fullmatch(header) or header.lower() in _OTHER_HEADERS:
        raise SettingsError("client_certificate_header: the name of a header that nothing else uses")
    if not loopback(settings.host):
        raise SettingsError("client_certificate_header: only with host on loopback, so that nobody goes past the front")
    if settings.mtls_origin:
        _check_issuer(settings.mtls_origin, "mtls_origin")
        if not settings.mtls_origin.startswith("https://"):
            raise SettingsError("mtls_origin: https only")


def loopback(host: str) -> bool:
    """Is this host name this machine and nothing else?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_plain_http(settings: Settings) -> None:
    """Production serves https only; the sandbox, which has a door of its own, never calls this."""
    if not settings.secure:
        raise SettingsError("issuer: https only (the sandbox has a door of its own for http on loopback)")
    if settings.open_registration:
        raise SettingsError("open_registration: clients are invited (`broker client invite`) outside the sandbox")
    if settings.approve_sectors:
        raise SettingsError("approve_sectors: an administrator approves sectors (the sandbox does it by itself)")
    if settings.correspondence_url and not settings.correspondence_url.startswith("https://"):
        raise SettingsError("correspondence_url: https only")


def read(environment: Mapping[str, str]) -> Settings:
    """The settings in this environment. Raises SettingsError naming the first that is unknown, missing or unsafe."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    config = given.pop("config", None)
    values: dict[str, Any] = dict(_toml(Path(config))) if config else {}
    known = {entry.name: entry for entry in fields(Settings)}
    for name, value in given.items():
        if name.endswith("_file") and name.removesuffix("_file") in known and name not in known:
            values[name.removesuffix("_file")] = _text(Path(value)).rstrip("\n")
        else:
            values[name] = value
    for name in values:
        if name not in known:
            raise SettingsError(f"unknown setting: {PREFIX}{name.upper()}")
    for name, entry in known.items():
        if name not in values and entry.default is MISSING:
            raise SettingsError(f"missing setting: {PREFIX}{name.upper()}: {entry.metadata['meaning']}")
    return Settings(**{name: _typed(name, value, str(known[name].type)) for name, value in values.items()})


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as broken:
        raise SettingsError(f"{path.name}: not TOML: {broken}") from broken


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise SettingsError(f"{path.name}: larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise SettingsError(f"{path.name}: cannot be read: {unreadable}") from unreadable


def _typed(name: str, value: Any, kind: str) -> Any:
    match kind, value:
        case "str", str():
            return value
        case "Path", str():
            return Path(value)
        case "int", int() if not isinstance(value, bool):
            return value
        case "int", str() if value.isascii() and value.isdigit():
            return int(value)
        case "bool", bool():
            return value
        case "bool", "true" | "false":
            return value == "true"
        case "tuple[str, ...]", str():
            return tuple(part.strip() for part in value.split(",") if part.strip())
        case "tuple[str, ...]", list() if all(isinstance(part, str) for part in value):
            return tuple(value)
        case _:
            raise SettingsError(f"{name}: not a {kind}")


def reference() -> str:
    """The settings as a Markdown table; docs/settings.md is this text, and a test holds it to it."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for entry in fields(Settings):
        default = "required" if entry.default is MISSING else f"`{_shown(entry.default)}`"
        lines.append(f"| `{PREFIX}{entry.name.upper()}` | {default} | {entry.metadata['meaning']} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return ",".join(default) if isinstance(default, tuple) else str(default)
