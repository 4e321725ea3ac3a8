"""What a fresh machine lacks for `make run`, `make test` and `make check`, and how it gets there.

Standard library only: this runs with the system's python3, before any virtual environment exists. Four steps, each
skipped when its result is already there: Debian packages, the virtual environment (installed from the lock files, by
hash), the npm packages that tests compare us with (by hash too), compiled message catalogues. `clean` takes it all away
again, except the Debian packages.

Where the packages cannot be had (no rights, another system) the work goes on without them: the sandbox then runs the
software card in process, and each test that needs a missing piece is skipped by name.
"""

from __future__ import annotations

import enum
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import node

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)

CARD_PACKAGES = ("pcscd", "vsmartcard-vpcd", "libpcsclite1", "libpcsclite-dev")
"""The PC/SC daemon, the virtual reader for it, and the headers that pyscard is built against."""

BUILD_PACKAGES = ("gcc", "libc6-dev", "python3-dev", "python3-venv")
"""A compiler (pyscard has no Linux wheel), and the part of Python that Debian ships apart."""

JUDGE_PACKAGES = (
    *("opensc", "opensc-pkcs11", "openssl", "softhsm2", "postgresql", "fonts-noto-cjk"),
    *("chromium", "chromium-headless-shell"),
    *("slapd", "ldap-utils", "libldap2-dev", "libsasl2-dev"),
    *("pinentry-curses", "python3-tk", "xvfb", "systemd", "apache2-bin", "libapache2-mod-auth-openidc"),
    *("poppler-utils", "mupdf-tools", "qpdf", "faketime"),
    *("golang-go", "golang-golang-x-mod-dev"),
)
"""What the tests hold us against: another card driver, a PKCS#11 token, a database server, kanji, a browser and its
engine alone, a directory server (with the headers that python-ldap is built against), programs that ask for a PIN, a
screen for their windows, the judge of unit files, a web server that logs people in by OpenID Connect (of it the program
alone: the package `apache2` would start a server of its own), programs that read signed PDFs, one that sets a clock,
and the code that Go checks its module log with."""

DOCUMENT_PACKAGES = ("fonts-ipaexfont-gothic", "fonts-ipamj-mincho")
"""The fonts of sealed documents: the second has the characters of family registers (戸籍)."""

FRONT_PACKAGES = ("nginx-light",)
"""What stands in front of the broker under `TLS=1`."""

NO_WEB_SERVER = """policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' > $policy
  chmod 755 $policy
  trap "rm -f $policy" EXIT
fi
"$@" && update-rc.d nginx disable
"""
"""Debian starts nginx at its installation and at every boot, on port 80; the sandbox starts one of its own instead."""

NO_VPCD_IN_THE_SYSTEM_DAEMON = "/etc/reader.conf.d/vpcd"
"""Left out of the package on purpose. With this file the machine's own pcscd would load the virtual reader, whose port
listens on every interface; the sandbox starts a private pcscd with a reader file of its own instead."""

NO_DATABASE_CLUSTER = Path("/etc/postgresql-common/createcluster.d/jpki-broker.conf")
"""Read by Debian's postgresql-common: the tests start a server of their own, so no cluster is made for the machine."""

NO_DIRECTORY_SERVER = "slapd slapd/no_configuration boolean true"
"""Answered before slapd asks: the tests start directories of their own, so none is set up for the machine."""


@dataclass(frozen=True)  # not slotted, so that an older python3 still reaches the sentence about its version
class Profile:
    """What one Makefile target needs."""

    packages: tuple[str, ...]
    lock: str
    peers: bool = False
    """Whether the npm packages of tests/peers are wanted."""


PROFILES: dict[str, Profile] = {
    "run": Profile((*CARD_PACKAGES, *BUILD_PACKAGES, *DOCUMENT_PACKAGES), "run.lock"),
    "run-tls": Profile((*CARD_PACKAGES, *BUILD_PACKAGES, *DOCUMENT_PACKAGES, *FRONT_PACKAGES), "run.lock"),
    "test": Profile(
        (*CARD_PACKAGES, *BUILD_PACKAGES, *DOCUMENT_PACKAGES, *FRONT_PACKAGES, *JUDGE_PACKAGES), "all.lock", peers=True
    ),
    "check": Profile((*CARD_PACKAGES, *BUILD_PACKAGES), "all.lock"),
}


MADE = (
    ".venv",
    ".sandbox",
    "docs/_build",
    "build",
    "jpki_broker.egg-info",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    "node_modules",
)
"""What our commands leave in the checkout, all of it ignored by git."""

STOP_DEADLINE = 15
"""Seconds that the launcher is given to end its children."""


class ProvisionError(Exception):
    """The machine cannot be made ready; the message says what to do."""


class Rights(enum.Enum):
    """By what right packages may be installed here."""

    ROOT = "we are root"
    SUDO = "sudo"
    NONE = "no right to install"


# --- decisions: pure ----------------------------------------------------------------------------------------------


def missing_packages(wanted: Sequence[str], dpkg_output: str) -> tuple[str, ...]:
    """The wanted packages that are not installed, in the order wanted.

    `dpkg_output` is that of dpkg-query with the format `${Package} ${db:Status-Status}`, one line each; a package it
    does not mention was never known, and one that is there only as leftover configuration is not installed.
    """
    rows = (line.split() for line in dpkg_output.splitlines())
    installed = {row[0] for row in rows if row[1:] == ["installed"]}
    return tuple(name for name in wanted if name not in installed)


def rights(*, effective_uid: int, sudo_present: bool, sudo_without_password: bool, terminal: bool) -> Rights:
    """Whether packages may be installed: as root, by sudo (at a terminal it may ask for a password), or not at all."""
    if effective_uid == 0:
        return Rights.ROOT
    if sudo_present and (sudo_without_password or terminal):
        return Rights.SUDO
    return Rights.NONE


def install_command(packages: Sequence[str]) -> list[str]:
    """The apt-get call for these packages. It never asks, and installs nothing that was only recommended."""
    command = ["apt-get", "install", "--yes", "--no-install-recommends"]
    if "vsmartcard-vpcd" in packages:
        command += ["-o", f"Dpkg::Options::=--path-exclude={NO_VPCD_IN_THE_SYSTEM_DAEMON}"]
    return [*command, *packages]


def what_to_type(packages: Sequence[str]) -> str:
    """One line that a person with rights can paste."""
    return f"sudo apt-get update && sudo {shlex.join(install_command(packages))}"


def without_requirement(lock: str, name: str) -> str:
    """The lock file without one distribution and its hashes."""
    entry = re.compile(rf"^{re.escape(name)}==[^\n]*\n(?:[ \t]+[^\n]*\n)*", re.MULTILINE)
    return entry.sub("", lock)


def pins(lock: str) -> frozenset[str]:
    """The `name==version` pins of a lock file."""
    return frozenset(re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*==[^\s;\\]+)", lock, re.MULTILINE))


def digest(*texts: str) -> str:
    """A name for what was installed: SHA-256, in hexadecimal, over texts that cannot run into each other."""
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode()).hexdigest()


def up_to_date(wanted: Collection[str], stamp: Mapping[str, object], *, build: str, project: str) -> bool:
    """Whether an environment with this stamp already holds the wanted pins, build tools and project metadata."""
    held = stamp.get("pins")
    return (
        isinstance(held, list)
        and set(wanted) <= set(held)
        and stamp.get("build") == build
        and stamp.get("project") == project
    )


# --- the machine --------------------------------------------------------------------------------------------------


@contextmanager
def step(what: str) -> Iterator[None]:
    """One short line per step: what, then how long it took."""
    print(f"provision: {what} …", end="", flush=True)
    begun = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - begun:.1f} s", flush=True)


def call(command: Sequence[str], *, env: Mapping[str, str] | None = None, folder: Path = ROOT) -> None:
    """Run a command silently in `folder`. Raises ProvisionError with its whole output when it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ProvisionError(f"{shlex.join(command)} ended with status {done.returncode}:\n{done.stdout.strip()}")


def machine_rights() -> Rights:
    """By what right this process may install packages. Asks sudo without ever making it prompt."""
    sudo = shutil.which("sudo")
    silent = sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0
    return rights(
        effective_uid=os.geteuid(),
        sudo_present=sudo is not None,
        sudo_without_password=silent,
        terminal=sys.stdin.isatty(),
    )


def install_packages(packages: Sequence[str], right: Rights) -> None:
    """Install Debian packages. Raises ProvisionError with what apt-get said."""
    # The one place where a password may be typed: into sudo itself, at a terminal. The calls after it never prompt.
    if right is Rights.SUDO and subprocess.run(["sudo", "--validate"], check=False).returncode != 0:
        raise ProvisionError(f"sudo refused; to install by hand, type:\n  {what_to_type(packages)}")
    quiet = "DEBIAN_FRONTEND=noninteractive"
    prefix = ["env", quiet] if right is Rights.ROOT else ["sudo", "--non-interactive", "env", quiet]
    with step(f"Debian packages {' '.join(packages)}"):
        if "postgresql" in packages and not NO_DATABASE_CLUSTER.exists():
            drop_in = shlex.quote(str(NO_DATABASE_CLUSTER))
            script = f"mkdir -p $(dirname {drop_in}) && echo 'create_main_cluster = false' > {drop_in}"
            call([*prefix, "sh", "-c", script])
        if "slapd" in packages:
            call([*prefix, "sh", "-c", f"echo {shlex.quote(NO_DIRECTORY_SERVER)} | debconf-set-selections"])
        # Without a network the package lists at hand may still do; if they do not, the installation says why.
        with suppress(ProvisionError):
            call([*prefix, "apt-get", "update"])
        front = [name for name in packages if name in FRONT_PACKAGES]
        if rest := [name for name in packages if name not in front]:
            call([*prefix, *install_command(rest)])
        if front:
            call([*prefix, "sh", "-c", NO_WEB_SERVER, "sh", *install_command(front)])


def provide_packages(profile: Profile) -> None:
    """Install what is missing where that is possible; say in one line what is not, and go on."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        print(
            "provision: not a Debian system, so no packages are installed; what needs pcscd goes without it", flush=True
        )
        return
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *profile.packages]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    missing = missing_packages(profile.packages, listed)
    if not missing:
        return
    right = machine_rights()
    if right is Rights.NONE:
        print(
            f"provision: going on without {' '.join(missing)}; to install them, type:\n  {what_to_type(missing)}",
            flush=True,
        )
        return
    try:
        install_packages(missing, right)
    except ProvisionError as error:
        print(f"provision: {error}\nprovision: going on without {' '.join(missing)}", flush=True)


def can_build_pyscard() -> bool:
    """Whether pyscard can be had: a wheel exists except on Linux, where it wants a compiler and two sets of headers."""
    if platform.system() != "Linux":
        return True
    python_headers = Path(sysconfig.get_path("include"), "Python.h")
    pcsc_headers = [Path(base, "PCSC", "winscard.h") for base in ("/usr/include", "/usr/local/include")]
    return bool(shutil.which("gcc") and python_headers.exists() and any(path.exists() for path in pcsc_headers))


def provide_environment(profile: Profile) -> None:
    """Make .venv and install the profile's lock into it by hash, unless it already holds every pin of it."""
    venv = ROOT / ".venv"
    python = venv / "bin" / "python"
    stamp_file = venv / "provisioned.json"
    build_lock = (ROOT / "locks" / "build.lock").read_text(encoding="utf-8")
    lock = (ROOT / "locks" / profile.lock).read_text(encoding="utf-8")
    if not can_build_pyscard():
        lock = without_requirement(lock, "pyscard")
        print(
            "provision: pyscard cannot be built here (gcc, Python.h, winscard.h), so real readers stay out of reach",
            flush=True,
        )
    build = digest(build_lock)
    project = digest(*((ROOT / name).read_text(encoding="utf-8") for name in ("setup.cfg", "pyproject.toml")))
    stamp = read_stamp(stamp_file)
    if python.exists() and up_to_date(pins(lock), stamp, build=build, project=project):
        return
    # The stamp goes first: an installation broken off half-way must not look finished.
    stamp_file.unlink(missing_ok=True)
    if not (venv / "bin" / "pip").exists() or not python.exists():
        if importlib.util.find_spec("ensurepip") is None:
            remedy = what_to_type(["python3-venv"])
            raise ProvisionError(f"this python3 cannot make a virtual environment; type:\n  {remedy}")
        with step("virtual environment .venv"):
            call([sys.executable, "-m", "venv", "--clear", str(venv)])
    # First in PATH is .venv/bin: pyscard's build calls `swig`, which is a Python distribution of the build lock.
    environment = {**os.environ, "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    environment.pop("PYTHONPATH", None)
    pip = [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check", "install"]
    filtered = venv / "requirements.lock"
    filtered.write_text(lock, encoding="utf-8")
    with step("build tools (locks/build.lock)"):
        call([*pip, "--require-hashes", "-r", "locks/build.lock"], env=environment)
    with step(f"libraries (locks/{profile.lock})"):
        call([*pip, "--no-build-isolation", "--require-hashes", "-r", str(filtered)], env=environment)
    with step("this project"):
        call([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], env=environment)
        put_checkout_on_path(venv)
    held = stamp.get("pins")
    # What an earlier profile installed is still there: keep it, unless this lock moved the same library.
    names = {pin.partition("==")[0] for pin in pins(lock)}
    kept = {pin for pin in held if pin.partition("==")[0] not in names} if isinstance(held, list) else set()
    written = {"pins": sorted(kept | pins(lock)), "build": build, "project": project}
    stamp_file.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def put_checkout_on_path(venv: Path) -> None:
    """Let this environment import `sandbox` and `bench` from any folder: they are not part of the distribution."""
    for site in venv.glob("lib/python3*/site-packages"):
        (site / "jpki_broker_checkout.pth").write_text(f"{ROOT}\n", encoding="utf-8")


def provide_peers() -> None:
    """Install the npm packages of tests/peers; say in one line why that is not possible here, and go on."""
    if node.installed():
        node.link()
        return
    try:
        with step("npm packages (tests/peers/package-lock.json)"):
            node.prepare()
            call(node.install_command(), env=node.environment(os.environ), folder=node.INSTALLED)
    except (ProvisionError, node.NodeMissing) as error:
        print(f"provision: {error}\nprovision: going on without the npm packages of tests/peers", flush=True)
        return
    node.finish()
    node.link()


def read_stamp(path: Path) -> Mapping[str, object]:
    """What the environment says it holds; nothing, where that cannot be read."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def stale_catalogues(root: Path) -> tuple[Path, ...]:
    """The message catalogues (.po) whose compiled form (.mo) is absent or older."""
    found = (po for room in ("broker", "cardreader", "sandbox") for po in (root / room).glob("**/translations/**/*.po"))
    return tuple(
        po
        for po in sorted(found)
        if not po.with_suffix(".mo").exists() or po.with_suffix(".mo").stat().st_mtime < po.stat().st_mtime
    )


def provide_catalogues() -> None:
    """Compile the message catalogues that changed."""
    stale = stale_catalogues(ROOT)
    if not stale:
        return
    pybabel = str(ROOT / ".venv" / "bin" / "pybabel")
    with step(f"message catalogues ({len(stale)})"):
        for po in stale:
            call([pybabel, "compile", "--input-file", str(po), "--output-file", str(po.with_suffix(".mo"))])


def lock_holder(proc_locks: str, *, device: int, inode: int) -> int | None:
    """The process that holds an flock on a file, by the text of /proc/locks (proc_locks(5)); None where nobody does."""
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    for line in proc_locks.splitlines():
        fields = line.split()
        if len(fields) == 8 and fields[1] == "FLOCK" and fields[5] == place and int(fields[4]) > 0:
            return int(fields[4])
    return None


def running_launcher() -> int | None:
    """The process id of the launcher of `make run` in this checkout, if it runs: the one that holds its lock."""
    try:
        file = (ROOT / ".sandbox" / "run" / "launcher.lock").stat()
        held = Path("/proc/locks").read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return lock_holder(held, device=file.st_dev, inode=file.st_ino)


def clean() -> None:
    """Stop what runs here, then remove what was made. Raises ProvisionError when the launcher does not end."""
    launcher = running_launcher()
    if launcher is not None:
        with step(f"stopping the sandbox (process {launcher})"):
            os.kill(launcher, signal.SIGTERM)
            until = time.monotonic() + STOP_DEADLINE
            while running_launcher() == launcher:
                if time.monotonic() > until:
                    raise ProvisionError(f"process {launcher} still runs after {STOP_DEADLINE} s; nothing was removed")
                time.sleep(0.1)
    for name in MADE:
        made = ROOT / name
        if made.is_symlink():
            made.unlink()
        else:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold off a second installation into the same checkout until the first has ended."""
    with (ROOT / "locks" / "build.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """Make the machine ready for one profile, or clean up. Returns 0, or 2 with the reason printed why not."""
    if len(arguments) != 1 or arguments[0] not in {*PROFILES, "clean"}:
        print(f"usage: python3 -m sandbox.provision {'|'.join(PROFILES)}|clean", file=sys.stderr)
        return 2
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        print(f"provision: Python {wanted} or newer is needed; try `make PYTHON=python{wanted} …`", file=sys.stderr)
        return 2
    try:
        with one_at_a_time():
            if arguments[0] == "clean":
                clean()
                return 0
            profile = PROFILES[arguments[0]]
            provide_packages(profile)
            provide_environment(profile)
            if profile.peers:
                provide_peers()
            provide_catalogues()
    except ProvisionError as error:
        print(f"provision: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("provision: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
