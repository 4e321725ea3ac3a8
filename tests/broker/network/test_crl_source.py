"""The last good list stays; a better one replaces it; nobody waits for a source that is down."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from sqlalchemy import text

from broker.errors import SettingsError
from broker.jpki.certificate import TrustedCertificate
from broker.jpki.verdict import RevocationStatus
from broker.network.crl import REFRESH_AFTER, CRLSource, Source
from broker.network.outbound import OutboundGuard
from broker.network.source import HTTPFetcher
from broker.storage import migrations
from broker.storage.engine import open_engine
from broker.storage.indexes import IndexFolder
from broker.storage.store import SQLStore

NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SANDBOX = OutboundGuard(allow_loopback_http=True)
POINT = "CN=Chiyoda,OU=CRL Distribution Points,O=JPKI-TEST,C=JP"


class CA:
    """A test CA that signs certificates of its own and lists."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.made: dict[tuple[int | None, datetime], bytes] = {}
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "JPKI-TEST")])

    @property
    def der(self) -> bytes:
        return (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=3650))
            .sign(self.key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    @property
    def key_hash(self) -> bytes:
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(spki).digest()

    def leaf(self, serial: int = 77) -> TrustedCertificate:
        """A certificate that points to POINT."""
        point = x509.DirectoryName(x509.Name.from_rfc4514_string(POINT))
        builder = x509.CertificateBuilder(
            issuer_name=self.name,
            subject_name=x509.Name([]),
            public_key=self.key.public_key(),
            serial_number=serial,
            not_valid_before=NOW - timedelta(days=1),
            not_valid_after=NOW + timedelta(days=365),
        )
        points = x509.CRLDistributionPoints([x509.DistributionPoint([point], None, None, None)])
        der = builder.add_extension(points, critical=False).sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
        return TrustedCertificate(
            der=der,
            issuer=self.der,
            issuer_key_hash=self.key_hash,
            serial=serial,
            spki=self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            not_before=NOW,
            not_after=NOW,
            profile="test",
            kind="plastic",
        )

    def crl(self, *, number: int | None, this_update: datetime = NOW, lives: timedelta = timedelta(days=2)) -> bytes:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(this_update)
            .next_update(this_update + lives)
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        made = builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)
        self.made[number, this_update] = made
        return made


class World:
    """A source whose answer the test sets, a clock, and a store."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.asked = 0
        self.answer: bytes | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.arrived = threading.Event()
        self.ca = CA()
        self.folder = folder / "revocation"
        self.url = f"sqlite:///{folder / 'broker.db'}"
        migrations.upgrade(self.url)
        self.engine = open_engine(self.url)
        self.store = SQLStore(self.engine)
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                world.asked += 1
                world.arrived.set()
                world.hold.wait(5)
                body = world.answer
                self.send_response(200 if body is not None else 503)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/list.crl"

    def source(self, refresh_after: timedelta = REFRESH_AFTER) -> CRLSource:
        """As a newly started process has it."""
        return CRLSource(
            [Source(POINT, self.ca.key_hash, HTTPFetcher(url=self.address, guard=SANDBOX))],
            IndexFolder(self.folder),
            self.store,
            lambda: self.now,
            anchors=[self.ca.der],
            refresh_after=refresh_after,
        )

    def ask(self, source: CRLSource) -> bytes | None:
        """The list that `source` answers from."""
        verdict = source.judge(self.ca.leaf(), at=self.now, max_age=timedelta(days=30)).verdict
        if verdict.status is RevocationStatus.UNKNOWN or verdict.this_update is None:
            return None
        return self.ca.made[verdict.crl_number, verdict.this_update]

    def alarms(self) -> list[str]:
        with self.engine.connect() as connection:
            rows = connection.execute(text("SELECT detail FROM audit WHERE event = 'crl_refused' ORDER BY id"))
            return [json.loads(row[0])["cause"] for row in rows]

    def close(self) -> None:
        self.hold.set()
        self.server.shutdown()
        self.server.server_close()
        self.engine.dispose()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_list_is_fetched_once_and_served_while_it_is_young(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    source = world.source()
    assert world.ask(source) == world.answer
    world.now += 59 * MINUTE
    assert world.ask(source) == world.answer
    assert world.asked == 1


def test_an_old_list_is_fetched_anew(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    source = world.source()
    world.ask(source)
    world.now += 60 * MINUTE
    world.answer = world.ca.crl(number=2, this_update=world.now)
    assert world.ask(source) == world.answer
    held = IndexFolder(world.folder).get(POINT, world.ca.key_hash)
    assert held is not None
    assert held.fetched_at == world.now


def test_a_list_past_its_next_update_is_fetched_anew(world: World) -> None:
    world.answer = world.ca.crl(number=1, lives=5 * MINUTE)
    source = world.source()
    world.ask(source)
    world.now += 5 * MINUTE
    world.answer = world.ca.crl(number=2, this_update=world.now)
    assert world.ask(source) == world.answer


def test_another_process_finds_the_stored_list_and_asks_nobody(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    world.ask(world.source())
    world.now += 30 * MINUTE
    assert world.ask(world.source()) == world.answer
    assert world.asked == 1


def test_a_process_whose_own_list_is_old_takes_the_newer_stored_one(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    one, other = world.source(), world.source()
    world.ask(one), world.ask(other)
    world.now += 61 * MINUTE
    world.answer = world.ca.crl(number=2, this_update=world.now)
    world.ask(one)
    asked = world.asked
    assert world.ask(other) == world.answer
    assert world.asked == asked


def test_an_unknown_point_or_issuer_has_no_source(world: World) -> None:
    source = world.source()
    evidence = source.judge(CA().leaf(), at=world.now, max_age=MINUTE)
    assert (evidence.verdict.status, evidence.address) == (RevocationStatus.UNKNOWN, "")
    assert world.asked == 0


def test_while_the_source_is_down_the_last_good_list_stays_and_is_not_asked_for_again_at_once(world: World) -> None:
    good = world.answer = world.ca.crl(number=1)
    source = world.source()
    world.ask(source)
    world.answer = None
    world.now += 2 * 60 * MINUTE
    for _ in range(5):
        assert world.ask(source) == good
    assert world.asked == 2
    world.now += timedelta(seconds=10)
    assert world.ask(source) == good
    assert world.asked == 3


def test_a_source_that_answered_well_is_asked_again_as_soon_as_a_list_is_wanted_anew(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    source = world.source(refresh_after=timedelta(seconds=3))
    world.ask(source)
    world.now += timedelta(seconds=3)
    world.answer = world.ca.crl(number=2, this_update=world.now)
    assert world.ask(source) == world.answer
    assert world.asked == 2


def test_a_source_that_brings_an_ended_list_is_left_alone_for_a_while(world: World) -> None:
    world.answer = world.ca.crl(number=1, lives=5 * MINUTE)
    source = world.source()
    world.ask(source)
    world.now += 5 * MINUTE
    for _ in range(3):
        world.ask(source)
    assert world.asked == 2


def test_without_any_list_there_is_none(world: World) -> None:
    source = world.source()
    assert world.ask(source) is None
    assert world.ask(source) is None
    assert world.asked == 1
    world.now += timedelta(seconds=10)
    world.answer = world.ca.crl(number=1)
    assert world.ask(source) == world.answer


@pytest.mark.parametrize(
    "worse",
    [
        "garbage",
        "empty",
        "truncated",
        "bit flip",
        "other key",
        "older thisUpdate",
        "lower number",
        "no number",
        "future",
    ],
)
def test_a_list_that_is_no_better_never_replaces_the_last_good_one(world: World, worse: str) -> None:
    good = world.answer = world.ca.crl(number=7)
    source = world.source()
    world.ask(source)
    world.now += 61 * MINUTE
    newer = world.ca.crl(number=8, this_update=world.now)
    world.answer = {
        "garbage": b"<html>not here</html>",
        "empty": b"",
        "truncated": newer[:-1],
        "bit flip": newer[:-1] + bytes([newer[-1] ^ 1]),
        "other key": CA().crl(number=8, this_update=world.now),
        "older thisUpdate": world.ca.crl(number=8, this_update=NOW - MINUTE),
        "lower number": world.ca.crl(number=6, this_update=world.now),
        "no number": world.ca.crl(number=None, this_update=world.now),
        "future": world.ca.crl(number=8, this_update=world.now + 6 * MINUTE),
    }[worse]
    assert world.ask(source) == good
    assert source.refresh_all() == {world.address: False}
    assert world.ask(world.source()) == good, "nor in the store"
    world.now += timedelta(seconds=10)
    world.answer = newer
    assert source.refresh_all() == {world.address: True}
    assert world.ask(source) == newer


def test_the_same_list_again_counts_as_fetched(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    source = world.source()
    assert source.refresh_all() == source.refresh_all() == {world.address: True}
    assert world.asked == 2


def test_one_thread_fetches_and_the_others_get_the_old_list_meanwhile(world: World) -> None:
    good = world.answer = world.ca.crl(number=1)
    source = world.source()
    world.ask(source)
    world.now += 61 * MINUTE
    world.answer = world.ca.crl(number=2, this_update=world.now)
    world.hold.clear()
    world.arrived.clear()
    fetched: list[bytes | None] = []
    fetcher = threading.Thread(target=lambda: fetched.append(world.ask(source)))
    fetcher.start()
    assert world.arrived.wait(5)
    assert world.ask(source) == good
    world.hold.set()
    fetcher.join(5)
    assert fetched == [world.answer]
    assert world.asked == 2


def test_threads_with_nothing_wait_for_the_one_that_fetches(world: World) -> None:
    world.answer = world.ca.crl(number=1)
    source = world.source()
    world.hold.clear()
    got: list[bytes | None] = []
    threads = [threading.Thread(target=lambda: got.append(world.ask(source))) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert world.arrived.wait(5)
    world.hold.set()
    for thread in threads:
        thread.join(5)
    assert got == [world.answer] * 4
    assert world.asked == 1


def test_a_full_disk_leaves_the_last_good_list_in_force(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    good = world.answer = world.ca.crl(number=1)
    source = world.source()
    world.ask(source)
    world.now += 61 * MINUTE
    world.answer = world.ca.crl(number=2, this_update=world.now)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        assert world.ask(source) == good
    world.now += timedelta(seconds=10)
    assert world.ask(source) == world.answer
    assert world.alarms() == []


def test_a_list_turned_away_raises_one_alarm_for_each_cause(world: World) -> None:
    world.answer = world.ca.crl(number=7)
    source = world.source()
    world.ask(source)
    world.answer = world.ca.crl(number=6)
    source.refresh_all()
    source.refresh_all()
    world.answer = CA().crl(number=8)
    source.refresh_all()
    assert world.alarms() == ["the CRL number went back", "CRL: signature is not by the issuer's key"]


def test_a_source_of_no_accepted_ca_stops_the_start(world: World) -> None:
    row = Source(POINT, world.ca.key_hash, HTTPFetcher(url=world.address, guard=SANDBOX))
    indexes = IndexFolder(world.folder)
    with pytest.raises(SettingsError, match="no accepted CA"):
        CRLSource([row], indexes, world.store, lambda: NOW, anchors=[CA().der])
    with pytest.raises(SettingsError, match="two revocation sources"):
        CRLSource([row, row], indexes, world.store, lambda: NOW, anchors=[world.ca.der])
    with pytest.raises(SettingsError, match="not a certificate"):
        CRLSource([row], indexes, world.store, lambda: NOW, anchors=[b"?"])
