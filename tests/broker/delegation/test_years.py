"""How long a sealed document holds, by processes whose clock stands at another year (faketime).

Judged by our command on an officer's machine, by pyHanko's own command, which asks the authorities for the lists of the
day, and by pdfsig.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from broker.delegation import bundle as bundles
from broker.delegation.sealing import archive
from tests.broker.delegation.officer import DAY as ASKED
from tests.broker.delegation.officer import Operator
from tests.broker.delegation.sealed import material, stamp
from tests.broker.delegation.workshop import AT, DAY, YEAR, Workshop

pytest.importorskip("typst", reason="missing: typst")
pytestmark = pytest.mark.timeout(400)
"""Each starts programs that load for seconds."""
ROOT = Path(__file__).parents[3]
FIRST_ENDS = AT + 10 * YEAR
"""When the first time-stamp authority ends; the seal's own certificate ended eight years before."""
IN_FORCE = {"today": AT + timedelta(hours=3), "in three years": AT + 3 * YEAR, "at its end": FIRST_ENDS - DAY}


@dataclass(kw_only=True)
class Lists:
    """What the authorities publish on the day that it is."""

    workshop: Workshop = field(default_factory=Workshop)
    served: dict[str, bytes] = field(default_factory=dict)

    def on(self, day: datetime) -> None:
        fresh = day - timedelta(hours=2)
        for name, authority in (("root", self.workshop.root), ("seals", self.workshop.authority)):
            self.served[f"/{name}/list.crl"] = authority.crl(this_update=fresh)


@contextmanager
def serving(lists: Lists) -> Iterator[str]:
    """The address that they are published under."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = lists.served.get(self.path, b"")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/pkix-crl")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A folder with what came in and what is trusted."""

    folder: Path
    lists: Lists


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder, lists = tmp_path_factory.mktemp("desk"), Lists()
    with serving(lists) as address:
        made = lists.workshop
        made.authority = made.root.authority("Seal CA", lists_at=f"{address}/root")
        made.tsa = made.root.stamper(
            key=ec.generate_private_key(ec.SECP256R1()), ends=FIRST_ENDS, names_a_source=f"{address}/root"
        )
        made.seal = made.authority.leaf(names_a_source=f"{address}/seals")
        operator = Operator(tmp_path_factory.mktemp("operator"), workshop=made)
        papers = operator.issue()
        epoch = operator.epoch(at=ASKED - timedelta(minutes=1))
        (folder / "bundle.zip").write_bytes(bundles.write(operator.bundle(papers, epochs=(epoch,))))
        (folder / "poa.pdf").write_bytes(papers.pdf)
        (folder / "archived.pdf").write_bytes(_archived(papers.pdf, made, address))
        (folder / "root.pem").write_bytes(made.root.certificate.public_bytes(Encoding.PEM))
        (folder / "log.policy").write_bytes(operator.policy_lines)
        (folder / "status.jwks").write_text(json.dumps({"keys": [operator.status_jwk]}))
        operator.engine.dispose()
        yield Desk(folder=folder, lists=lists)


def _archived(document: bytes, workshop: Workshop, address: str) -> bytes:
    """Stamped once more by a second authority, a year before the first one ends."""
    then = FIRST_ENDS - YEAR
    second = workshop.root.stamper(
        key=ec.generate_private_key(ec.SECP256R1()),
        begins=then - YEAR,
        ends=then + 10 * YEAR,
        names_a_source=f"{address}/root",
    )
    evidence = material(workshop, others=(second.der,), crls=(workshop.root.crl(this_update=then - DAY),))
    return archive(document, material=evidence, stamp=stamp(workshop, at=then, by=second), at=then)


def on(day: datetime, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program whose clock stands there; it still measures durations."""
    faketime = shutil.which("faketime")
    if faketime is None:
        pytest.skip("missing: faketime")
    environment = {**os.environ, "TZ": "UTC", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [faketime, day.strftime("%Y-%m-%d %H:%M:%S"), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=100,
    )


def our_command(desk: Desk, day: datetime, name: str = "bundle.zip") -> tuple[int, dict[str, Any]]:
    """Without a network, about the day on which the power was used."""
    place = desk.folder
    done = on(
        day,
        *(sys.executable, "-m", "broker", "delegation", "verify", place / name, "--offline", place / "bundle.zip"),
        "--json",
        *("--as-of", ASKED.isoformat(), "--act", "bid", "--anchors", place / "root.pem"),
        *("--log-policy", place / "log.policy", "--status-keys", place / "status.jwks"),
    )
    return done.returncode, json.loads(done.stdout.splitlines()[0])


def pyhanko(desk: Desk, day: datetime, name: str) -> tuple[int, str]:
    """`pyhanko sign adesverify`, which fetches the lists that the certificates name."""
    command = Path(sys.executable).with_name("pyhanko")
    if not command.exists():
        pytest.skip("missing: pyhanko-cli")
    desk.lists.on(day)
    trust = ("--trust", desk.folder / "root.pem", "--trust-replace")
    done = on(day, command, "sign", "adesverify", *trust, "--pretty-print", desk.folder / name)
    return done.returncode, done.stdout


# --- the officer's document ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", IN_FORCE)
def test_a_document_of_today_is_valid_for_the_day_it_was_used_on(desk: Desk, when: str) -> None:
    status, told = our_command(desk, IN_FORCE[when])
    assert (status, told["verdict"]) == (0, "valid"), told


def test_past_the_end_of_its_time_stamp_nobody_can_tell(desk: Desk) -> None:
    status, told = our_command(desk, FIRST_ENDS + DAY)
    assert (status, told["verdict"]) == (14, "cannot_tell")
    assert [each["code"] for each in told["reasons"]] == ["seal_unproved"]


@pytest.mark.parametrize("when", IN_FORCE)
def test_pyhankos_command_calls_it_valid_as_long(desk: Desk, when: str) -> None:
    status, told = pyhanko(desk, IN_FORCE[when], "poa.pdf")
    assert status == 0, told
    assert "The signature covers the entire file." in told
    assert "The signature is judged VALID." in told


def test_pyhankos_command_calls_it_invalid_past_that(desk: Desk) -> None:
    status, told = pyhanko(desk, FIRST_ENDS + DAY, "poa.pdf")
    assert (status, "The signature is judged INVALID." in told) == (1, True)


def test_pyhankos_command_refuses_a_changed_document(desk: Desk) -> None:
    changed = bytearray((desk.folder / "poa.pdf").read_bytes())
    changed[200] ^= 1
    (desk.folder / "changed.pdf").write_bytes(changed)
    status, told = pyhanko(desk, IN_FORCE["today"], "changed.pdf")
    assert status != 0
    assert "judged VALID" not in told


def test_pdfsig_finds_its_bytes_whole_in_every_year(desk: Desk) -> None:
    """It knows no evidence that is in the document: of the certificate it says only that it has expired."""
    pdfsig = shutil.which("pdfsig")
    if pdfsig is None:
        pytest.skip("missing: pdfsig")
    for day in IN_FORCE.values():
        told = on(day, pdfsig, "-nocert", desk.folder / "poa.pdf").stdout
        assert "Signature is Valid." in told
        assert "Total document signed" in told


# --- the archive's copy ----------------------------------------------------------------------------------------------


def test_the_archives_copy_is_proved_past_the_first_authoritys_life_and_up_to_the_seconds(desk: Desk) -> None:
    """By pyHanko's interface, each time stamp as of the next one."""
    status, told = our_command(desk, FIRST_ENDS + 5 * YEAR, "archived.pdf")
    assert (status, told["verdict"]) == (0, "valid"), told
    status, told = our_command(desk, FIRST_ENDS + 12 * YEAR, "archived.pdf")
    assert (status, [each["code"] for each in told["reasons"]]) == (14, ["seal_unproved"])


def test_while_the_document_itself_is_proved_nothing_may_follow_its_seal(desk: Desk) -> None:
    status, told = our_command(desk, FIRST_ENDS - DAY, "archived.pdf")
    assert (status, told["verdict"]) == (13, "forged")


def test_pyhankos_command_follows_the_archives_copy_up_to_the_first_authoritys_end_and_no_further(desk: Desk) -> None:
    """What docs/officers.md says of it; where this fails, the command has learned to go on."""
    assert pyhanko(desk, FIRST_ENDS - DAY, "archived.pdf")[0] == 0
    assert pyhanko(desk, FIRST_ENDS + YEAR, "archived.pdf")[0] == 1
