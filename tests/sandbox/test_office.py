"""Events of life at the municipal office, the mapping that follows, new CA keys, and what goes wrong on command."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64decode
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from flask.testing import FlaskClient

from broker.accounts.lifecycle import LIFE_EVENTS
from cardreader import cardfile
from cardreader.authentication import APDUCards
from cardreader.emulator import SoftwareCard
from cardreader.errors import PINRequired
from cardreader.tray import SoftwareReaders, Tray
from sandbox import trouble as troubles
from sandbox.generate import World, issuer_key_hash, roll_over
from sandbox.office import EVENTS
from sandbox.revocation import CRL_LIFE
from sandbox.trouble import CHOICES, Trouble, read_trouble, write_trouble
from sandbox.world import create_world
from sandbox.world.command import world as command
from sandbox.world.registry import GROWTH, Registry
from tests.sandbox.conftest import NOW, leaf

ORIGIN = "http://127.0.0.1:8010"
REMOVED = x509.ReasonFlags.remove_from_crl


def named(world: World, card: str, kind: str = "auth") -> dict[str, str]:
    """A certificate as the mapping is asked about it."""
    slot = json.loads(world.card(card).read_bytes())[kind]
    issuer = x509.load_der_x509_certificate(b64decode(slot["ca_certificate"]))
    return {"issuer_key_hash": issuer_key_hash(issuer), "serial": f"{leaf(world, card, kind).serial_number:x}"}


def listed(world: World, *, generation: int = 2, code: str = "48101", at: timedelta = timedelta()) -> dict[int, object]:
    """Serial and reason of each entry of one partition."""
    registry = Registry(world.root)
    der = registry.crl("auth", generation, registry.municipalities[code], now=NOW + at)
    return entries(x509.load_der_x509_crl(der))


def entries(crl: x509.CertificateRevocationList) -> dict[int, object]:
    return {
        row.serial_number: row.extensions.get_extension_for_class(x509.CRLReason).value.reason
        if len(row.extensions)
        else None
        for row in crl
    }


@pytest.fixture
def client(own_world: World, catalogues: None) -> FlaskClient:
    return create_world(own_world.root, None, origin=ORIGIN, clock=lambda: NOW).test_client()


def predecessor(client: FlaskClient, certificate: dict[str, str]) -> object:
    reply = client.post("/mapping/predecessor", json={"certificate": certificate})
    assert reply.status_code == 200
    assert reply.get_json()["certificate"] == certificate
    return reply.get_json()["predecessor"]


# --- events of life --------------------------------------------------------------------------------------------------


def test_the_office_ends_certificates_for_the_reasons_the_brokers_rules_know() -> None:
    rules = {event.name: (event.auth_reason, event.sign_reason) for event in LIFE_EVENTS}
    assert {name: reasons for name, reasons in EVENTS.items() if name != "release"} == rules


def test_a_renewal_puts_new_certificates_on_the_card_and_into_the_mapping(
    own_world: World, client: FlaskClient
) -> None:
    before, old = leaf(own_world, "taro"), named(own_world, "taro")
    path = Registry(own_world.root).enter("renewal", "taro", now=NOW)
    after = leaf(own_world, "taro")
    assert path == own_world.card("taro")
    assert cardfile.load(own_world.card("taro")).auth.pin == "2345"
    assert after.serial_number != before.serial_number
    assert after.public_key() != before.public_key()
    assert after.not_valid_before_utc <= NOW < after.not_valid_after_utc
    assert listed(own_world)[before.serial_number] is x509.ReasonFlags.superseded
    assert after.serial_number not in listed(own_world)
    assert predecessor(client, named(own_world, "taro")) == old
    assert predecessor(client, old) is None


def test_a_reissued_card_after_a_loss_stands_in_the_mapping_too(own_world: World, client: FlaskClient) -> None:
    registry = Registry(own_world.root)
    lost, old = leaf(own_world, "hanako"), named(own_world, "hanako")
    registry.enter("loss", "hanako", now=NOW)
    registry.enter("reissue", "hanako", now=NOW)
    assert listed(own_world)[lost.serial_number] is x509.ReasonFlags.key_compromise
    assert predecessor(client, named(own_world, "hanako")) == old


def test_a_move_ends_the_signing_certificate_alone(own_world: World) -> None:
    Registry(own_world.root).enter("move", "hanako", now=NOW)
    books = Registry(own_world.root).ledger()
    auth, sign = books.current("hanako", "auth"), books.current("hanako", "sign")
    assert auth is not None
    assert auth.reason is None
    assert sign is not None
    assert sign.reason == "affiliationChanged"


def test_death_ends_everything_and_nothing_is_issued_afterwards(own_world: World) -> None:
    registry = Registry(own_world.root)
    registry.enter("death", "hanako", now=NOW)
    books = registry.ledger()
    assert {e.reason for e in books.entries if e.resident == "hanako"} == {"cessationOfOperation"}
    assert {e.kind for e in books.entries if e.resident == "hanako"} == {"auth", "sign", "phone-auth"}
    with pytest.raises(ValueError, match="has died"):
        registry.enter("renewal", "hanako", now=NOW)


def test_who_has_no_certificate_has_none_to_lose(own_world: World) -> None:
    with pytest.raises(ValueError, match="no certificate"):
        Registry(own_world.root).enter("loss", "nashi", now=NOW)
    with pytest.raises(KeyError):
        Registry(own_world.root).enter("loss", "nobody", now=NOW)


@pytest.mark.parametrize("resident", ["yoso", "jukiko"])
def test_the_office_knows_no_card_of_others(own_world: World, resident: str) -> None:
    with pytest.raises(ValueError, match="no card of this office"):
        Registry(own_world.root).enter("renewal", resident, now=NOW)


def test_a_loss_reported_during_a_hold_is_a_loss(own_world: World) -> None:
    registry = Registry(own_world.root)
    registry.enter("hold", "hanako", now=NOW)
    registry.enter("loss", "hanako", now=NOW)
    registry.enter("release", "hanako", now=NOW)
    assert listed(own_world)[leaf(own_world, "hanako").serial_number] is x509.ReasonFlags.key_compromise


def test_a_revocation_is_listed_from_its_time_on(own_world: World) -> None:
    old = leaf(own_world, "koshinold").serial_number
    assert old in listed(own_world, generation=1, code="49201")
    assert old not in listed(own_world, generation=1, code="49201", at=-timedelta(days=2))


# --- delta lists and holds -------------------------------------------------------------------------------------------


def test_a_delta_tells_what_changed_since_the_list_published_last(own_world: World) -> None:
    registry = Registry(own_world.root)
    place = registry.municipalities["48101"]

    def delta(after: int) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(registry.delta_crl("auth", 2, place, now=NOW + timedelta(seconds=after)))

    registry.enter("hold", "taro", now=NOW)
    base = x509.load_der_x509_crl(registry.crl("auth", 2, place, now=NOW))
    base_number = base.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert entries(base) == {leaf(own_world, "taro").serial_number: x509.ReasonFlags.certificate_hold}
    assert entries(delta(1)) == {}
    registry.enter("release", "taro", now=NOW + timedelta(seconds=1))
    registry.enter("loss", "hanako", now=NOW + timedelta(seconds=1))
    changed = delta(2)
    assert entries(changed) == {
        leaf(own_world, "taro").serial_number: REMOVED,
        leaf(own_world, "hanako").serial_number: x509.ReasonFlags.key_compromise,
    }
    indicator = changed.extensions.get_extension_for_class(x509.DeltaCRLIndicator)
    assert indicator.critical
    assert indicator.value.crl_number == base_number
    assert changed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > base_number


def test_openssl_merges_nothing_but_verifies_the_delta(own_world: World, client: FlaskClient, tmp_path: Path) -> None:
    reply = client.get("/crl/auth/2/48101.delta.crl")
    assert reply.mimetype == "application/pkix-crl"
    (tmp_path / "delta.crl").write_bytes(reply.data)
    (tmp_path / "ca.pem").write_bytes(own_world.authorities()["auth-2"].certificate.public_bytes(Encoding.PEM))
    done = subprocess.run(
        ["openssl", "crl", "-inform", "DER", "-in", "delta.crl", "-CAfile", "ca.pem", "-noout", "-text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "verify OK" in done.stderr
    assert "X509v3 Delta CRL Indicator: critical" in done.stdout


# --- phones ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("card", "kind"), [("hanakoandroid", "android"), ("taroiphone", "iphone")])
def test_a_phone_has_a_certificate_of_an_authority_of_its_own(world: World, card: str, kind: str) -> None:
    file = cardfile.load(world.card(card))
    assert (file.kind, file.sign) == (kind, None)
    certificate = leaf(world, card)
    (root,) = x509.load_pem_x509_certificates(world.phone_anchors.read_bytes())
    certificate.verify_directly_issued_by(root)
    trusted = [anchor.subject for anchor in x509.load_pem_x509_certificates(world.anchors.read_bytes())]
    assert root.subject not in trusted


@pytest.mark.parametrize("card", ["hanakoandroid", "taroiphone"])
def test_the_driver_reads_a_phones_certificate_after_the_pin_only(world: World, card: str) -> None:
    tray = Tray()
    file = cardfile.load(world.card(card))
    tray.insert_card(SoftwareCard(file))
    with APDUCards(SoftwareReaders(tray)).connect() as phone:
        assert phone.present().certificate is None
        with pytest.raises(PINRequired):
            phone.certificate()
        phone.verify_pin(file.auth.pin)
        assert phone.certificate() == leaf(world, card).public_bytes(Encoding.DER)


def test_card_and_phone_correspond_while_both_are_in_force(own_world: World, client: FlaskClient) -> None:
    def ask(*cards: str) -> object:
        question = {"certificates": [named(own_world, card) for card in cards]}
        reply = client.post("/mapping/correspond", json=question)
        assert reply.get_json()["certificates"] == question["certificates"]
        return reply.get_json()["correspond"]

    assert ask("hanako", "hanakoandroid") is True
    assert ask("hanako", "taroiphone") is False
    assert ask("koshin", "koshinold") is False
    Registry(own_world.root).enter("loss", "hanako", now=NOW)
    assert ask("hanako", "hanakoandroid") is False


# --- the mapping as served -------------------------------------------------------------------------------------------


def test_the_mapping_speaks_of_issued_certificates_only(own_world: World, client: FlaskClient) -> None:
    known = named(own_world, "hanako")
    for stranger in ({**known, "serial": "1"}, {**known, "issuer_key_hash": "00" * 32}):
        assert client.post("/mapping/predecessor", json={"certificate": stranger}).status_code == 404
        assert client.post("/mapping/correspond", json={"certificates": [known, stranger]}).status_code == 404
    hostile_bodies: tuple[object, ...] = (
        [],
        {},
        {"certificate": 1},
        {"certificate": {**known, "serial": "x"}},
        {"certificates": [known]},
    )
    for hostile in hostile_bodies:
        assert client.post("/mapping/predecessor", json=hostile).status_code == 400
        assert client.post("/mapping/correspond", json=hostile).status_code == 400


# --- new keys --------------------------------------------------------------------------------------------------------


def test_a_new_generation_issues_under_the_old_name_and_the_old_ones_stay_good(own_world: World) -> None:
    before = leaf(own_world, "hanako")
    assert roll_over(own_world.root, "auth", NOW) == 3
    anchors = x509.load_pem_x509_certificates(own_world.anchors.read_bytes())
    assert len(anchors) == 3
    assert len({anchor.subject for anchor in anchors}) == 1
    assert anchors[2].not_valid_before_utc < NOW
    registry = Registry(own_world.root)
    registry.enter("renewal", "taro", now=NOW)
    leaf(own_world, "taro").verify_directly_issued_by(anchors[2])
    assert leaf(own_world, "hanako") == before
    sources = json.loads(own_world.crl_sources.read_bytes())
    assert issuer_key_hash(anchors[2]) in {row["issuer_key_hash"] for row in sources}
    assert sum("/crl/auth/3/" in row["url"] for row in sources) == 3
    assert listed(own_world, generation=3) == {}


# --- trouble ---------------------------------------------------------------------------------------------------------


def crl_now(world: World, *, after: timedelta = timedelta()) -> bytes:
    registry = Registry(world.root)
    return registry.crl("auth", 1, registry.municipalities["48101"], now=NOW + after)


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_each_trouble_of_a_list_is_the_one_it_says_and_ends_with_it(own_world: World) -> None:
    honest = x509.load_der_x509_crl(crl_now(own_world))
    key = own_world.authorities()["auth-1"].private_key.public_key()
    assert len(list(honest)) > 0

    def troubled(kind: str) -> x509.CertificateRevocationList:
        write_trouble(own_world.root, Trouble(crl=kind))
        return x509.load_der_x509_crl(crl_now(own_world))

    assert troubled("stale").next_update_utc == (NOW - timedelta(hours=10)).replace(microsecond=0)  # CRL_LIFE is over
    assert NOW - timedelta(hours=10) - CRL_LIFE == troubled("stale").last_update_utc
    assert not troubled("wrong-key").is_signature_valid(key)
    assert number(troubled("rolled-back")) < number(honest)
    assert len(list(troubled("shrunk"))) == 0
    assert number(troubled("shrunk")) > number(honest)
    assert len(list(troubled("grown"))) == len(list(honest)) + GROWTH
    scope = troubled("indirect").extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    assert scope.indirect_crl
    write_trouble(own_world.root, Trouble(crl="truncated"))
    with pytest.raises(ValueError, match="ShortData"):
        x509.load_der_x509_crl(crl_now(own_world))
    write_trouble(own_world.root, Trouble())
    healed = x509.load_der_x509_crl(crl_now(own_world, after=timedelta(seconds=2)))
    assert entries(healed) == entries(honest)
    assert number(healed) > number(honest) + 1, "newer than any list that trouble handed out"
    assert healed.is_signature_valid(key)


def test_each_trouble_of_ocsp_is_the_one_it_says(own_world: World) -> None:
    authority = own_world.authorities()["auth-2"]
    nonce = b"n" * 32
    question = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(leaf(own_world, "hanako"), authority.certificate, SHA256())
        .add_extension(x509.OCSPNonce(nonce), critical=False)
        .build()
        .public_bytes(Encoding.DER)
    )

    def answer(kind: str) -> ocsp.OCSPResponse:
        write_trouble(own_world.root, Trouble(ocsp=kind))
        return ocsp.load_der_ocsp_response(Registry(own_world.root).ocsp("auth", question, now=NOW))

    def returned(response: ocsp.OCSPResponse) -> list[bytes]:
        return [e.value.nonce for e in response.extensions if isinstance(e.value, x509.OCSPNonce)]

    def verify(response: ocsp.OCSPResponse) -> None:
        key = authority.responder_key.public_key()
        key.verify(response.signature, response.tbs_response_bytes, PKCS1v15(), SHA256())

    assert answer("none").certificate_status is ocsp.OCSPCertStatus.GOOD
    assert returned(answer("none")) == [nonce]
    verify(answer("none"))
    assert answer("unknown").certificate_status is ocsp.OCSPCertStatus.UNKNOWN
    assert answer("try-later").response_status is ocsp.OCSPResponseStatus.TRY_LATER
    wrong = returned(answer("wrong-nonce"))
    assert len(wrong) == 1
    assert wrong != [nonce]
    assert returned(answer("no-nonce")) == []
    stale = answer("stale")
    assert stale.next_update_utc is not None
    assert stale.next_update_utc < NOW
    with pytest.raises(InvalidSignature):
        verify(answer("wrong-key"))


def test_the_mapping_can_contradict_itself_and_fall_silent(own_world: World, client: FlaskClient) -> None:
    certificate = named(own_world, "koshin")
    write_trouble(own_world.root, Trouble(mapping="contradictory"))
    assert predecessor(client, certificate) == certificate
    write_trouble(own_world.root, Trouble(mapping="unavailable"))
    assert client.post("/mapping/predecessor", json={"certificate": certificate}).status_code == 503
    write_trouble(own_world.root, Trouble(mapping="other-question"))
    assert client.post("/mapping/predecessor", json={"certificate": certificate}).get_json()["certificate"] != (
        certificate
    )


def test_a_service_can_be_slow_or_silent(
    own_world: World, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("sandbox.world.services.time.sleep", slept.append)
    for path, service in (("/crl/auth/2/48101.crl", "crl"), ("/ocsp/auth/AAAA", "ocsp")):
        write_trouble(own_world.root, Trouble(**{service: "unavailable"}))
        assert client.get(path).status_code == 503
        write_trouble(own_world.root, Trouble(**{service: "slow"}))
        assert client.get(path).status_code == 200
    assert slept == [troubles.SLOW_SECONDS] * 2


def test_trouble_is_made_and_ended_on_its_page(own_world: World, client: FlaskClient) -> None:
    def post(**fields: str) -> int:
        return client.post("/trouble", data=fields, headers={"Origin": ORIGIN}, base_url=ORIGIN).status_code

    assert post(crl="stale", ocsp="none", mapping="slow", lang="en") == 303
    assert read_trouble(own_world.root) == Trouble(crl="stale", mapping="slow")
    assert "on purpose" in client.get("/?lang=en", base_url=ORIGIN).text
    assert '<option value="stale" selected>' in client.get("/trouble?lang=en", base_url=ORIGIN).text
    assert post(crl="made up", ocsp="none", mapping="none") == 400
    assert post() == 400
    elsewhere = client.post("/trouble", data={}, headers={"Origin": "http://localhost:8000"}, base_url=ORIGIN)
    assert elsewhere.status_code == 403
    assert read_trouble(own_world.root) == Trouble(crl="stale", mapping="slow")
    assert post(crl="none", ocsp="none", mapping="none") == 303
    assert 'id="trouble"' not in client.get("/?lang=en", base_url=ORIGIN).text


def test_events_are_entered_on_the_tray_page_under_the_residents_own_card(
    own_world: World, client: FlaskClient
) -> None:
    def post(card: str, event: str, origin: str = ORIGIN) -> tuple[int, str]:
        reply = client.post(
            "/office/event", data={"card": card, "event": event}, headers={"Origin": origin}, base_url=ORIGIN
        )
        return reply.status_code, reply.headers.get("Location", "")

    page = client.get("/?lang=en", base_url=ORIGIN).text
    assert 'id="event-hanako"' in page
    assert not [card for card in ("hanakoandroid", "koshinold", "yoso", "nashi") if f'id="event-{card}"' in page]
    before = leaf(own_world, "hanako")
    assert post("hanako", "renewal", origin="http://localhost:8000")[0] == 403
    assert post("hanako", "party")[0] == 400
    assert post("hanakoandroid", "death")[0] == 404
    assert leaf(own_world, "hanako") == before
    assert post("hanako", "renewal")[1].endswith("done=renewal")
    assert leaf(own_world, "hanako") != before
    post("hanako", "death")
    assert post("hanako", "renewal")[1].endswith("problem=event")


def test_the_command_line_makes_trouble_events_and_keys(own_world: World) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        verb, *rest = arguments
        done = CliRunner().invoke(command, [verb, "--root", str(own_world.root), *rest])
        return done.exit_code, done.output

    assert run("trouble", "--crl", "stale") == (0, "crl: stale\nocsp: none\nmapping: none\n")
    assert run("trouble", "--mapping", "slow") == (0, "crl: stale\nocsp: none\nmapping: slow\n")
    assert read_trouble(own_world.root) == Trouble(crl="stale", mapping="slow")
    assert run("event", "renewal", "hanako")[0] == 0
    assert run("event", "renewal", "nashi")[0] == 1
    assert run("event", "renewal", "nobody")[0] == 2
    assert run("roll-over", "phone-auth") == (0, "phone-auth-2 issues from now on; restart what verifies\n")


def test_a_command_without_a_world_says_how_to_get_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sandbox", "world", "trouble", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "make run" in done.stderr


@pytest.mark.parametrize("service", list(CHOICES))
def test_an_unknown_trouble_is_refused(service: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=service):
        Trouble(**{service: "made up"})
    assert read_trouble(tmp_path) == Trouble()
