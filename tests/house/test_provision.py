"""A fresh machine: what is missing, by what right it may be installed, and when there is nothing to do."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import node, provision
from sandbox.provision import Rights

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "sandbox" / "provision.py"

DPKG = """gcc installed
libpcsclite1 installed
pcscd config-files
python3-venv not-installed
"""


def imported(module: Path) -> set[str]:
    """The modules that this one imports: top names only, except for a sibling in the sandbox."""
    found = set()
    for part in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(part, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.ImportFrom):
            assert part.level == 0
            top = (part.module or "").partition(".")[0]
            found |= {f"sandbox.{alias.name}" for alias in part.names} if part.module == "sandbox" else {top}
    return found


def test_it_imports_nothing_that_a_fresh_python_does_not_have() -> None:
    names = imported(MODULE)
    assert {"subprocess", "sandbox.node"} <= names
    assert names - {"sandbox.node"} <= sys.stdlib_module_names
    assert imported(MODULE.with_name("node.py")) <= sys.stdlib_module_names


def test_importing_its_package_needs_nothing_either() -> None:
    # -I -S: no site-packages, no environment; only the standard library and the checkout.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import sandbox.provision"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_missing_packages_are_those_dpkg_does_not_call_installed_in_the_order_wanted() -> None:
    wanted = ("python3-venv", "gcc", "vsmartcard-vpcd", "pcscd", "libpcsclite1")
    assert provision.missing_packages(wanted, DPKG) == ("python3-venv", "vsmartcard-vpcd", "pcscd")


def test_nothing_is_missing_when_all_is_installed_and_everything_when_dpkg_knows_nothing() -> None:
    assert provision.missing_packages(("gcc", "libpcsclite1"), DPKG) == ()
    assert provision.missing_packages(("gcc",), "") == ("gcc",)


@pytest.mark.parametrize(
    ("uid", "sudo", "silent", "terminal", "right"),
    [
        (0, False, False, False, Rights.ROOT),
        (0, True, True, True, Rights.ROOT),
        (1000, True, True, False, Rights.SUDO),
        (1000, True, False, True, Rights.SUDO),
        (1000, True, False, False, Rights.NONE),
        (1000, False, False, True, Rights.NONE),
    ],
)
def test_packages_are_installed_as_root_or_by_a_sudo_that_can_answer(
    uid: int, sudo: bool, silent: bool, terminal: bool, right: Rights
) -> None:
    found = provision.rights(effective_uid=uid, sudo_present=sudo, sudo_without_password=silent, terminal=terminal)
    assert found is right


def test_what_a_person_is_told_to_type_installs_exactly_what_is_missing() -> None:
    typed = provision.what_to_type(("pcscd", "gcc"))
    assert typed.startswith("sudo apt-get update && sudo apt-get install ")
    assert typed.endswith(" pcscd gcc")


def test_the_virtual_reader_never_reaches_the_machines_own_daemon() -> None:
    excluded = "Dpkg::Options::=--path-exclude=/etc/reader.conf.d/vpcd"
    assert excluded in provision.install_command(("vsmartcard-vpcd", "gcc"))
    assert excluded not in provision.install_command(("gcc",))


def test_the_front_is_wanted_for_tls_and_for_the_tests_and_no_web_server_is_left_running() -> None:
    assert not set(provision.FRONT_PACKAGES) & set(provision.PROFILES["run"].packages)
    for name in ("run-tls", "test"):
        assert set(provision.FRONT_PACKAGES) <= set(provision.PROFILES[name].packages)
    assert "update-rc.d nginx disable" in provision.NO_WEB_SERVER


def test_the_lock_without_pyscard_lacks_that_library_only() -> None:
    lock = (ROOT / "locks" / "run.lock").read_text(encoding="utf-8")
    rest = provision.without_requirement(lock, "pyscard")
    assert {pin.partition("==")[0] for pin in provision.pins(lock) - provision.pins(rest)} == {"pyscard"}
    assert rest.count("--hash") < lock.count("--hash")
    assert provision.without_requirement(rest, "pyscard") == rest


def test_an_environment_with_the_whole_lock_serves_make_run_as_well() -> None:
    run, everything = (
        provision.pins((ROOT / "locks" / name).read_text(encoding="utf-8")) for name in ("run.lock", "all.lock")
    )
    assert provision.up_to_date(run, {"pins": sorted(everything), "build": "b", "project": "p"}, build="b", project="p")


@pytest.mark.parametrize(
    "stamp",
    [
        {},
        {"pins": ["flask==3"], "build": "b"},
        {"pins": ["flask==2"], "build": "b", "project": "p"},
        {"pins": ["flask==3"], "build": "other", "project": "p"},
        {"pins": ["flask==3"], "build": "b", "project": "other"},
        {"pins": "flask==3", "build": "b", "project": "p"},
    ],
)
def test_an_environment_is_installed_again_when_anything_it_was_made_from_changed(stamp: dict[str, object]) -> None:
    assert not provision.up_to_date({"flask==3"}, stamp, build="b", project="p")
    whole = {"pins": ["flask==3"], "build": "b", "project": "p"}
    assert provision.up_to_date({"flask==3"}, whole, build="b", project="p")


def test_a_damaged_stamp_counts_as_none(tmp_path: Path) -> None:
    for damage in ("", "{", "[1]", '"x"'):
        (tmp_path / "stamp").write_text(damage, encoding="utf-8")
        assert provision.read_stamp(tmp_path / "stamp") == {}
    assert provision.read_stamp(tmp_path / "absent") == {}


def test_texts_cannot_run_into_each_other_in_a_digest() -> None:
    assert provision.digest("ab", "c") != provision.digest("a", "bc")


def test_a_catalogue_is_compiled_when_it_is_newer_than_its_result(tmp_path: Path) -> None:
    po = tmp_path / "broker" / "web" / "translations" / "ja" / "LC_MESSAGES" / "messages.po"
    po.parent.mkdir(parents=True)
    po.touch()
    (tmp_path / "broker" / "elsewhere.po").touch()
    assert provision.stale_catalogues(tmp_path) == (po,)
    po.with_suffix(".mo").touch()
    os.utime(po, (1_000, 1_000))
    assert provision.stale_catalogues(tmp_path) == ()
    os.utime(po.with_suffix(".mo"), (999, 999))
    assert provision.stale_catalogues(tmp_path) == (po,)


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "test"]])
def test_a_wrong_profile_is_refused_with_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert provision.main(arguments) == 2
    assert "run|run-tls|test|check|clean" in capsys.readouterr().err


def test_an_older_python_is_told_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 0))
    assert provision.main(["run"]) == 2
    assert "Python 3.11" in capsys.readouterr().err


def test_the_output_of_a_failing_command_is_shown_whole() -> None:
    with pytest.raises(provision.ProvisionError, match=r"(?s)status 3:.*said on out.*said on err"):
        provision.call(["sh", "-c", "echo said on out; echo said on err >&2; exit 3"])


def test_the_holder_of_a_lock_is_found_among_those_of_other_files_and_kinds() -> None:
    device = os.makedev(0xFD, 0x01)
    locks = """1: POSIX  ADVISORY  WRITE 11 fd:01:77 0 EOF
2: FLOCK  ADVISORY  WRITE 12 fd:01:78 0 EOF
2: -> FLOCK  ADVISORY  WRITE 13 fd:01:77 0 EOF
3: FLOCK  ADVISORY  WRITE 14 fd:02:77 0 EOF
4: FLOCK  ADVISORY  WRITE 15 fd:01:77 0 EOF
"""
    assert provision.lock_holder(locks, device=device, inode=77) == 15
    assert provision.lock_holder(locks, device=device, inode=79) is None


def fake_checkout(folder: Path) -> Path:
    for name in (".venv/bin", ".sandbox/run", "locks", "broker"):
        (folder / name).mkdir(parents=True)
    (folder / "locks" / "build.lock").touch()
    return folder


def test_clean_removes_what_was_made_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "ROOT", fake_checkout(tmp_path))
    assert provision.main(["clean"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broker", "locks"]
    assert provision.main(["clean"]) == 0


HOLDER = """
import fcntl, signal, sys, time
signal.signal(signal.SIGTERM, (lambda *_: sys.exit(0)) if sys.argv[2] == "ends" else signal.SIG_IGN)
with open(sys.argv[1], "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="missing: /proc/locks")
@pytest.mark.parametrize("manner", ["ends", "stays"])
def test_clean_stops_the_launcher_first_and_removes_nothing_under_one_that_stays(
    manner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "ROOT", fake_checkout(tmp_path))
    monkeypatch.setattr(provision, "STOP_DEADLINE", 5 if manner == "ends" else 0.3)
    lock = tmp_path / ".sandbox" / "run" / "launcher.lock"
    command = [sys.executable, "-c", HOLDER, str(lock), manner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert provision.running_launcher() == holder.pid
            assert provision.main(["clean"]) == (0 if manner == "ends" else 2)
            assert (tmp_path / ".sandbox").exists() is (manner == "stays")
        finally:
            holder.kill()


def test_npm_packages_are_installed_by_the_lock_alone_and_run_nothing(tmp_path: Path) -> None:
    try:
        command = node.install_command()
    except node.NodeMissing as reason:
        pytest.skip(f"missing: {reason}")
    assert command[2] == "ci"
    assert "--ignore-scripts" in command
    for name in node.FILES:
        (tmp_path / name).write_bytes((node.DECLARED / name).read_bytes())
    seen = subprocess.run(
        [*command[:2], "config", "get", "omit-lockfile-registry-resolved", "ignore-scripts", "engine-strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.split() == [
        "omit-lockfile-registry-resolved=true",
        "ignore-scripts=true",
        "engine-strict=true",
    ]


def test_a_script_of_this_checkout_imports_the_npm_packages(tmp_path: Path) -> None:
    script = ROOT / "tests" / "peers" / "versions.mjs"
    try:
        command = node.command(script)
    except node.NodeMissing as reason:
        pytest.skip(f"missing: {reason}")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    wanted = json.loads((node.DECLARED / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert json.loads(done.stdout) == wanted


def test_packages_of_another_declaration_do_not_count_as_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "INSTALLED", tmp_path / "npm")
    assert not node.installed()
    node.prepare()
    assert not node.installed()
    node.finish()
    assert node.installed()
    (tmp_path / "npm" / "provisioned").write_text("0" * 64, encoding="ascii")
    assert not node.installed()


def test_without_a_registry_the_work_goes_on_and_nothing_counts_as_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(node, "INSTALLED", tmp_path / "npm")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")  # the discard port: nobody answers
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    provision.provide_peers()
    assert capsys.readouterr().out.endswith("going on without the npm packages of tests/peers\n")
    assert not node.installed()


def test_npm_trusts_what_this_machine_trusts_unless_told_otherwise() -> None:
    own = {"NODE_EXTRA_CA_CERTS": "/own/authority.pem", "PATH": "/bin"}
    assert node.environment(own) == own
    told = node.environment({"PATH": "/bin"})
    assert told.pop("NODE_EXTRA_CA_CERTS", str(node.AUTHORITIES)) == "/etc/ssl/certs/ca-certificates.crt"
    assert told == {"PATH": "/bin"}
