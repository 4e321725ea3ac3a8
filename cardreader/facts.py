"""Gathering what `cardreader doctor` judges: service, kernel, readers, one look at the card, agent, allow-list, clock.

Reads only. The card is asked for what it shows before a PIN; no try is used. What cannot be found out is left out.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from cryptography import x509

from cardreader import jpki_ap
from cardreader.agent.peer import holder_of_port
from cardreader.agent.trust import TrustInvalid, load_trust
from cardreader.apdu import converse
from cardreader.channel import Channel
from cardreader.doctor import CardFacts, Facts, ServiceState, TrustFacts
from cardreader.errors import (
    CardError,
    CardTimeout,
    MalformedCardData,
    NoSignCertificate,
    NotHPKICard,
    NotJPKICard,
    ServiceNotRunning,
    UnexpectedStatus,
    answer_for,
)
from cardreader.hpki_ap import HPKIApplication
from cardreader.hpki_face import read_faces
from cardreader.pcsc import PCSCReaders
from cardreader.transport import CardConnection, Readers

_SOCKET = Path("/run/pcscd/pcscd.comm")
_SMART_CARD_CLASS = "0b"  # USB interface class (bInterfaceClass)
_KNOWN_READERS = {"054c:06c1", "054c:06c3", "04e6:5591", "072f:2200"}  # NFC readers without that class: RC-S380, …
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_CONNECT_SECONDS = 2.0


def gather(*, trust_path: Path, port: int, sandbox: bool, now: datetime, readers: PCSCReaders, look: bool) -> Facts:
    """Everything, on this machine, now. `look` False leaves the card alone."""
    service = service_state()
    states = None
    card = None
    if service is ServiceState.ANSWERS:
        try:
            states = readers.look()
        except CardTimeout:
            service = ServiceState.SILENT
        except ServiceNotRunning:
            service = ServiceState.FORBIDDEN  # the socket takes us, the service does not: its policy
        except CardError:
            service = ServiceState.SILENT
    if look and states:
        card = look_at_card(readers)
    holder = holder_of_port(port) or ("?" if _is_taken(port) else "")
    return Facts(
        service=service,
        socket=str(socket_path()),
        has_systemd=Path("/run/systemd/system").is_dir(),
        kernel_modules=_kernel_modules(),
        usb_readers=_usb_readers(),
        readers=states,
        card=card,
        port=port,
        port_holder=holder,
        port_is_agent=_is_agent(holder),
        trust=_trust(trust_path, sandbox=sandbox),
        now=now,
        clock_floor=_program_date(),
        synchronized=_is_synchronized(),
    )


def socket_path() -> Path:
    """Where the PC/SC library looks for its service."""
    named = os.environ.get("PCSCLITE_CSOCK_NAME")
    return Path(named) if named else _SOCKET


def service_state() -> ServiceState:
    """How the service's socket takes us."""
    if find_spec("smartcard") is None:
        return ServiceState.NO_LIBRARY
    if not sys.platform.startswith("linux"):
        return ServiceState.ANSWERS  # the system's own service has no socket to look at: only asking it can tell
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(str(socket_path()))
        except TimeoutError:
            return ServiceState.SILENT
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                return ServiceState.FORBIDDEN
            is_installed = shutil.which("pcscd", path="/usr/sbin:/usr/local/sbin:/sbin:" + os.environ.get("PATH", ""))
            return ServiceState.NOT_RUNNING if is_installed else ServiceState.NOT_INSTALLED
    return ServiceState.ANSWERS


def look_at_card(readers: Readers) -> CardFacts:
    """What the card shows before a PIN, or the error that kept us from it."""
    try:
        with readers.connect() as connection:
            channel = Channel()
            try:
                face = converse(jpki_ap.read_card(channel), connection.transmit)
            except NotJPKICard as error:
                return _look_at_hpki_card(connection, error)
            sign_tries = _sign_tries(connection, channel)
        dates = None if face.certificate is None else _validity(face.certificate)
    except CardError as error:
        return CardFacts(error=type(error).__name__, code=answer_for(error).code)
    except (ValueError, x509.InvalidVersion) as error:
        unreadable = MalformedCardData(str(type(error).__name__))
        return CardFacts(error=type(unreadable).__name__, code=answer_for(unreadable).code)
    return CardFacts(
        kind=face.kind,
        not_before=None if dates is None else dates[0],
        not_after=None if dates is None else dates[1],
        auth_tries=face.tries_left,
        sign_tries=sign_tries,
    )


def _look_at_hpki_card(connection: CardConnection, refused: NotJPKICard) -> CardFacts:
    """The same of a doctor's card. Raises `refused` where it is none either, and the card's errors."""
    try:
        faces = converse(read_faces(), connection.transmit)
    except NotHPKICard:
        raise refused from None
    auth, sign = faces.get(HPKIApplication.AUTH), faces.get(HPKIApplication.SIGN)
    return CardFacts(
        is_hpki=True,
        roles=tuple(sorted({role for face in faces.values() for role in face.roles})),
        not_before=max(face.not_before for face in faces.values()),
        not_after=min(face.not_after for face in faces.values()),
        auth_tries=None if auth is None else auth.tries_left,
        sign_tries=None if sign is None else sign.tries_left,
    )


def _validity(der: bytes) -> tuple[datetime, datetime]:
    certificate = x509.load_der_x509_certificate(der)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _sign_tries(connection: CardConnection, channel: Channel) -> int | None:
    with contextlib.suppress(NoSignCertificate, UnexpectedStatus):  # a child's card has no signing key
        return converse(jpki_ap.sign_tries_left(channel), connection.transmit)
    return None


def _kernel_modules() -> frozenset[str]:
    try:
        lines = Path("/proc/modules").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.split(maxsplit=1)[0] for line in lines if line)


def _usb_readers() -> tuple[str, ...]:
    """Readers on the USB, by product name, whether or not the service drives them."""
    found = []
    for device in sorted(Path("/sys/bus/usb/devices").glob("*")):
        identifier = f"{_text(device / 'idVendor')}:{_text(device / 'idProduct')}"
        classes = [_text(interface) for interface in device.glob("*/bInterfaceClass")]
        if _SMART_CARD_CLASS in classes or identifier in _KNOWN_READERS:
            found.append(_text(device / "product") or identifier)
    return tuple(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _is_taken(port: int) -> bool:
    """Whether anything answers there, for systems that do not name the program."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.5):
        return True
    return False


def _is_agent(holder: str) -> bool:
    """Whether that program, "name (pid 123)", is a reader agent: told by how it was started."""
    pid = holder.rpartition("pid ")[2].rstrip(")")
    if not pid.isdigit():
        return False
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        names = {Path(os.fsdecode(word)).name for word in words if word}
        return b"sandbox.agent" in words or ("agent" in names and bool({"cardreader", "__main__.py"} & names))
    return False


def _trust(path: Path, *, sandbox: bool) -> TrustFacts:
    if not path.exists():
        return TrustFacts(path=str(path), missing=True)
    try:
        trust = load_trust(path, sandbox=sandbox)
    except TrustInvalid as error:
        return TrustFacts(path=str(path), problem=str(error))
    return TrustFacts(path=str(path), origins=tuple(broker.origin for broker in trust.brokers))


def _program_date() -> datetime:
    """When this program was built or installed: no clock that is right shows an earlier time."""
    return datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)


def _is_synchronized(adjtimex: Callable[[object], int] | None = None) -> bool | None:
    """The kernel's word (adjtimex(2), read only); None where it has none."""
    if adjtimex is None:
        adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None) if os.name == "posix" else None
    if adjtimex is None:
        return None
    state = adjtimex(ctypes.create_string_buffer(512))  # struct timex is 208 bytes; all zero means "only read"
    return None if state < 0 else state != _TIME_ERROR
