"""Linux namespaces for one process, through libc: what `unshare -Urmn` does, without another program.

Importing this works anywhere; calling it raises OSError or AttributeError where the system is not Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MS_NOSUID_NODEV_NOEXEC = 0x2 | 0x4 | 0x8
_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_IFF_UP = 0x1


def isolate() -> None:
    """Give this process, still single-threaded, mounts and a network of its own, an empty /run, and a loopback.

    A privileged root needs no user namespace and keeps its rights over files; anyone else becomes uid 0 of a new one.
    Raises OSError where the system forbids it, and then nothing has changed: every step is tried in a child first.
    Containers and AppArmor often allow the namespaces and forbid the mounts, which would leave a network without
    even a loopback.
    """
    trial = os.fork()
    if trial == 0:
        code = errno.EPERM
        try:
            _isolate()
            code = 0
        except OSError as error:
            code = error.errno or errno.EPERM
        finally:
            os._exit(code)
    failed = os.waitstatus_to_exitcode(os.waitpid(trial, 0)[1])
    if failed:
        raise OSError(abs(failed), os.strerror(abs(failed)))
    _isolate()


def _isolate() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 or libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:  # a container's root may lack the right as well
        _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWNET), "unshare")
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1", encoding="ascii")
    _check(libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None), "mount /")
    flags = ctypes.c_ulong(_MS_NOSUID_NODEV_NOEXEC)
    _check(libc.mount(b"tmpfs", b"/run", b"tmpfs", flags, b"mode=0755,size=1m"), "mount /run")
    _loopback_up()


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process `signal_number` when the thread that forked it ends. Raises OSError."""
    _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "prctl")


def _loopback_up() -> None:
    import fcntl  # noqa: PLC0415 - POSIX only, and this module is imported everywhere

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        (flags,) = struct.unpack_from("16xH", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
