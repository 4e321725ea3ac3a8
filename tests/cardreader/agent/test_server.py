"""The agent as strangers meet it: over real sockets, with forged origins and hosts, and from another user's program."""

from __future__ import annotations

import http.client
import io
import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from cardreader.__main__ import main
from cardreader.agent import journal
from cardreader.agent.command import serve
from cardreader.agent.peer import SocketRow, endpoint, holder_of_port, owner_of_peer, parse_table, read_rows
from cardreader.agent.server import AgentServer, StartRefused, bind_loopback, only_agent
from cardreader.authentication import APDUCards
from tests.cardreader.agent.conftest import ISSUER, Broker, Desk, Person, WatchedReaders
from tests.cardreader.agent.conftest import _Forms as Forms

linux_only = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="missing: /proc/net/tcp (Linux)")


@dataclass(kw_only=True)
class Running:
    port: int
    addresses: list[str]
    readers: WatchedReaders
    broker: Broker
    log: io.StringIO

    def ask(
        self, method: str, path: str, *, body: str = "", headers: dict[str, str] | None = None, host: str = "127.0.0.1"
    ) -> tuple[int, str, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(host, self.port, timeout=20)
        stated = {"Content-Type": "application/x-www-form-urlencoded", "Host": f"127.0.0.1:{self.port}"}
        try:
            connection.request(method, path, body=body, headers={**stated, **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers
        finally:
            connection.close()

    def sign(self, jws: str, **headers: str) -> tuple[int, str, http.client.HTTPMessage]:
        body = urllib.parse.urlencode({"request": jws})
        return self.ask("POST", "/v1/sign", body=body, headers={"Origin": ISSUER, **headers})


@pytest.fixture
def running(desk: Desk, tmp_path: Path) -> Iterator[Running]:
    from datetime import UTC, datetime

    log = io.StringIO()
    journal.configure(log)
    port = _free_port()
    started: list[AgentServer] = []
    ready = threading.Event()

    def on_ready(server: AgentServer) -> None:
        started.append(server)
        ready.set()

    options = {"port": port, "sandbox": True, "cards": APDUCards(desk.readers), "on_ready": on_ready}
    thread = threading.Thread(target=serve, args=(desk.broker.trust(), tmp_path / "served"), kwargs=options)
    thread.start()
    assert ready.wait(10)
    # the real clock is far from the fixtures' time: requests here are made now
    now = int(datetime.now(UTC).timestamp())
    statement = desk.broker.statement(nbf=now - 60, exp=now + 86400)
    original = desk.broker.claims
    desk.broker.claims = lambda **changes: original(**{"iat": now, "statement": statement, **changes})  # type: ignore[method-assign]  # same broker, today
    yield Running(port=port, addresses=started[0].addresses, readers=desk.readers, broker=desk.broker, log=log)
    started[0].stop()
    thread.join(10)
    assert not thread.is_alive()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@linux_only
def test_login_over_real_sockets_and_no_secret_in_any_log(running: Running, capfd: pytest.CaptureFixture[str]) -> None:
    status, body, headers = running.sign(running.broker.request())
    assert status == 200
    fields = Forms(body).forms[0]["fields"]
    origin = {"Origin": f"http://127.0.0.1:{running.port}"}
    wrong = urllib.parse.urlencode({**fields, "pin": "9173"})
    status, body, _ = running.ask("POST", "/v1/pin", body=wrong, headers=origin)
    assert Forms(body).ids["tries-left"] == "2"
    fields = Forms(body).forms[0]["fields"]
    status, body, answered = running.ask(
        "POST", "/v1/pin", body=urllib.parse.urlencode({**fields, "pin": "1234"}), headers=origin
    )
    answer = Forms(body).forms[0]["fields"]["answer"]
    assert running.broker.open(answer)["pin_entry"] == "page"
    assert running.readers.held == 0
    out, err = capfd.readouterr()
    written = running.log.getvalue() + out + err
    for secret in ("9173", "1234", fields["token"], fields["sitting"], answer[:60], "CANARYSUBJECT", "7770777077"):
        assert secret not in written
    lines = [json.loads(line) for line in running.log.getvalue().splitlines()]
    assert [line["endpoint"] for line in lines if line["event"] == "request"] == ["sign", "pin", "pin"]
    assert "[redacted]" not in running.log.getvalue()
    assert headers["Cache-Control"] == answered["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "form-action 'self';" in headers["Content-Security-Policy"] + ";"
    assert f"form-action 'self' {ISSUER}" in answered["Content-Security-Policy"]
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"):
        assert directive in headers["Content-Security-Policy"]
    assert "no-referrer" not in headers["Referrer-Policy"]
    assert "Set-Cookie" not in headers
    assert "Access-Control-Allow-Origin" not in headers


@linux_only
def test_fifty_forged_requests_send_no_command_to_the_card(running: Running) -> None:
    request = running.broker.request()
    origins = [
        "null", "", "http://evil.example", "http://localhost:8000.evil.example", "https://localhost:8000",
        "http://localhost", "http://LOCALHOST:8000", "http://localhost:8000/", "http://127.0.0.1:8000",
        f"http://127.0.0.1:{running.port}", "http://localhost:8000, http://evil.example", "file://",
    ]  # fmt: skip
    tries = [{"Origin": origin} for origin in origins] * 3
    tries += [{"Sec-Fetch-Mode": mode} for mode in ("cors", "no-cors", "same-origin", "websocket")]
    tries += [{"Sec-Fetch-Dest": dest} for dest in ("iframe", "image", "empty", "script", "embed", "object")]
    tries += [{"Content-Type": kind} for kind in ("application/json", "text/plain", "multipart/form-data")]
    assert len(tries) >= 49
    for headers in tries:
        assert running.sign(request, **headers)[0] in (403, 404), headers
    assert running.sign(request[:-8] + "AAAAAAAA")[0] in (400, 403)
    assert running.readers.apdus == 0
    assert running.readers.connections == []


@linux_only
def test_missing_origin_is_refused(running: Running) -> None:
    body = urllib.parse.urlencode({"request": running.broker.request()})
    status, page, _ = running.ask("POST", "/v1/sign", body=body)
    assert (status, Forms(page).ids["error-code"]) == (403, "AGENT-001")


@linux_only
@pytest.mark.parametrize("path", ["/", "/v1/sign", "/static/agent.css", "/nowhere"])
def test_foreign_host_is_misdirected_before_anything_else(running: Running, path: str) -> None:
    for host in ("evil.example", f"evil.example:{running.port}", "127.0.0.1", "127.0.0.1:1", "localhost.", ""):
        status, page, _ = running.ask("POST" if "sign" in path else "GET", path, headers={"Host": host})
        assert status in (421, 400), host
        assert "AGENT-002" in page or status == 400
    assert running.readers.apdus == 0


@linux_only
def test_pin_is_taken_from_the_agents_own_page_only(running: Running) -> None:
    _, page, _ = running.sign(running.broker.request())
    fields = urllib.parse.urlencode({**Forms(page).forms[0]["fields"], "pin": "1234"})
    before = running.readers.apdus
    for origin in (ISSUER, "null", "http://evil.example", f"http://localhost:{running.port}"):
        assert running.ask("POST", "/v1/pin", body=fields, headers={"Origin": origin})[0] == 403
    guess = urllib.parse.urlencode({**Forms(page).forms[0]["fields"], "token": "x" * 43, "pin": "1234"})
    own = {"Origin": f"http://127.0.0.1:{running.port}"}
    assert running.ask("POST", "/v1/pin", body=guess, headers=own)[0] == 403
    assert running.readers.apdus == before


@linux_only
def test_large_and_unknown_requests_get_a_page(running: Running) -> None:
    status, page, _ = running.sign("A" * 40000)
    assert (status, Forms(page).ids["error-code"]) == (413, "AGENT-005")
    status, page, _ = running.ask("GET", "/v1/pin")
    assert (status, Forms(page).ids["error-code"]) == (404, "AGENT-004")
    status, page, _ = running.ask("GET", "/")
    assert status == 200
    assert Forms(page).ids["agent-state"]


@linux_only
def test_ipv6_loopback_is_served_on_the_same_port(running: Running) -> None:
    if "::1" not in running.addresses:
        pytest.skip("this machine has no IPv6 loopback")
    status, _, _ = running.ask("GET", "/", headers={"Host": f"[::1]:{running.port}"}, host="::1")
    assert status == 200


@linux_only
def test_program_of_another_user_is_refused_before_its_request_is_read(running: Running) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to run a client as another user")
    script = (
        "import os, socket, sys, encodings.idna\n"
        "os.setgid(65534); os.setuid(65534)\n"
        f"s = socket.create_connection(('127.0.0.1', {running.port}), timeout=10)\n"
        f"s.sendall(b'GET / HTTP/1.1\\r\\nHost: 127.0.0.1:{running.port}\\r\\n\\r\\n')\n"
        "data = b''\n"
        "while chunk := s.recv(4096): data += chunk\n"
        "print(data.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.startswith("HTTP/1.1 403 ")
    assert "another user" in done.stdout
    assert '"endpoint"' not in running.log.getvalue()
    assert running.ask("GET", "/")[0] == 200


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:60CC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:60CC 01 00000000:00000000 00:00000000 00000000  1001        0 222 1 0 20 4 30 10 -1
   2: 0100007F:60CC 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 20 4 30 10 -1
   3: 0100007F:C351 0100007F:60CC 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0
   4: damaged
"""
TABLE6 = """  sl  local_address                         remote_address                        st tx rx tr tm->when uid
   0: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:60CC 01 0:0 00:0 00 1002 0 444 1
   1: 00000000000000000000000001000000:C353 00000000000000000000000001000000:60CC 01 0:0 00:0 00 1003 0 555 1
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table above is that of a little-endian machine")
@pytest.mark.parametrize(
    ("host", "port", "owner"),
    [
        ("127.0.0.1", 0xC350, 1001),
        ("127.0.0.1", 0xC351, None),
        ("127.0.0.1", 0xC352, 1002),
        ("::ffff:127.0.0.1", 0xC352, 1002),
        ("::1", 0xC353, 1003),
        ("127.0.0.1", 0xC354, None),
    ],
)
def test_owner_of_a_peer_is_read_from_the_kernels_tables(host: str, port: int, owner: int | None) -> None:
    rows = [*parse_table(TABLE.splitlines()), *parse_table(TABLE6.splitlines())]
    assert len(rows) == 6
    ours = "::1" if host == "::1" else "127.0.0.1"
    peer = (ipaddress.ip_address(host), port)
    assert owner_of_peer(rows, peer=peer, ours=(ipaddress.ip_address(ours), 0x60CC)) == owner


def test_two_owners_of_one_connection_are_no_owner() -> None:
    peer, ours = endpoint(("127.0.0.1", 5)), endpoint(("127.0.0.1", 6))
    rows = [SocketRow(local=peer, remote=ours, state=1, uid=uid, inode=uid) for uid in (1, 2)]
    assert owner_of_peer(rows, peer=peer, ours=ours) is None


@linux_only
def test_own_connection_is_found_to_be_our_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        connection, _ = listener.accept()
        with connection:
            peer, here = endpoint(ours.getsockname()), endpoint(connection.getsockname())
            assert owner_of_peer(read_rows(peer[1]), peer=peer, ours=here) == os.getuid()


@linux_only
def test_taken_port_is_named_with_the_program_that_holds_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert holder_of_port(port) is not None
        with pytest.raises(StartRefused, match=rf"port {port} on 127\.0\.0\.1 is held by .*pid {os.getpid()}\)"):
            bind_loopback(port)


@linux_only
def test_second_agent_on_one_state_folder_does_not_start(tmp_path: Path) -> None:
    with only_agent(tmp_path), pytest.raises(StartRefused, match=f"pid {os.getpid()}"), only_agent(tmp_path):
        pass


@linux_only
def test_command_explains_what_stops_the_start(broker: Broker, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(broker.trust_document()), encoding="utf-8")
    runner = CliRunner()
    options = ["agent", "--trust", str(trust), "--state", str(tmp_path / "state"), "--port", str(_free_port())]
    refused = runner.invoke(main, options)
    assert refused.exit_code == 1
    assert "--sandbox" in refused.output
    missing = runner.invoke(main, ["agent", "--trust", str(tmp_path / "none.json")])
    assert missing.exit_code == 1
    assert "cannot be read" in missing.output


@linux_only
def test_command_serves_until_it_is_told_to_stop(broker: Broker, tmp_path: Path) -> None:
    trust = tmp_path / "trust.json"
    trust.write_text(json.dumps(broker.trust_document()), encoding="utf-8")
    port = _free_port()
    options = ["--trust", str(trust), "--state", str(tmp_path / "state"), "--port", str(port), "--sandbox"]
    command = [sys.executable, "-m", "cardreader", "agent", *options]
    environment = {**os.environ, "PCSCLITE_CSOCK_NAME": str(tmp_path / "no-service")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        first = json.loads(process.stderr.readline())
        assert (first["event"], first["port"]) == ("listening", port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        process.terminate()
        rest = process.stderr.read()
        assert process.wait(10) == 0
    assert json.loads(rest.splitlines()[-1])["event"] == "stopped"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="missing: systemd-analyze")
def test_printed_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    printed = CliRunner().invoke(main, ["agent", "--print-unit"])
    assert printed.exit_code == 0
    path = tmp_path / "cardreader-agent.service"
    path.write_text(printed.output, encoding="utf-8")
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(path)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert "LimitCORE=0" in printed.output


def test_unlisted_fields_never_reach_the_log() -> None:
    log = io.StringIO()
    journal.configure(log)
    journal.log.info("request", pin="1234", status="1234", origin="x" * 1000)
    line = json.loads(log.getvalue())
    assert (line["pin"], line["status"], len(line["origin"])) == ("[redacted]", "[redacted]", 300)


def test_fault_log_names_places_and_not_messages() -> None:
    log = io.StringIO()
    journal.configure(log)
    try:
        raise ValueError("the PIN was 1234")
    except ValueError as error:
        journal.log_fault(error)
    line = json.loads(log.getvalue())
    assert line["fault"] == "ValueError"
    assert "1234" not in log.getvalue()
    assert any("test_server.py" in place for place in line["places"])


def test_page_without_a_person_is_not_needed(desk: Desk) -> None:
    """A browser that does not send fetch metadata is served: the header only ever narrows."""
    person = Person(desk.app.test_client())
    assert person.open_request(desk.broker.request()).status_code == 200
    metadata = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert person.open_request(desk.broker.request(), **metadata).status_code == 409
