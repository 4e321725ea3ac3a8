"""A client that has residents sign, and a resident who does: the agent's own core with the card of the sandbox."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from joserfc import jwe
from joserfc.jwk import ECKey
from werkzeug.test import TestResponse

from broker.jose import public_jwk
from broker.oidc.client import GrantType, Right
from cardreader.agent.direct import answer_request
from cardreader.authentication import APDUCards
from cardreader.cardfile import load
from cardreader.emulator import SoftwareCard
from cardreader.tray import SoftwareReaders, Tray
from tests.broker.pades.paper import paper
from tests.broker.web.house import REDIRECT_URI, House, Page, transaction_of
from tests.broker.web.program import Program, register

ORDERS = "/api/sign-transactions"
PDF = paper()
TEXT = "契約します。\n山田花子".encode()
VERIFIER_RIGHTS = frozenset({Right.SIGNATURE_VERIFIER, Right.DIRECT_SIGNING})


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def pdf(name: str = "契約書.pdf", content: bytes = PDF) -> dict[str, Any]:
    return {"name": name, "content": b64(content), "type": "application/pdf"}


def text(name: str = "同意書", content: bytes = TEXT) -> dict[str, Any]:
    return {"name": name, "content": b64(content), "type": "text/plain"}


def fingerprint(name: str = "外の書類", content: bytes = b"elsewhere", **members: Any) -> dict[str, Any]:
    return {"name": name, "digest": b64(hashlib.sha256(content).digest()), **members}


@dataclass
class Notary:
    """The client, with a key that results are encrypted to."""

    program: Program
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def house(self) -> House:
        return self.program.house

    def own_token(self, *, scope: str = "sign") -> str:
        assertion = self.program.assertion(aud=self.house.issuer)
        answer = self.program.post("/token", grant_type="client_credentials", scope=scope, client_assertion=assertion)
        assert answer.status_code == 200, answer.text
        return str(answer.get_json()["access_token"])

    def call(self, method: str, path: str, *, token: str | None = None, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.own_token() if token is None else token}"}
        return self.house.browser().open(
            f"{ORDERS}{path}", method=method, headers=headers, base_url=self.house.issuer, **options
        )

    def order(self, *documents: dict[str, Any], **members: Any) -> TestResponse:
        return self.call("POST", "", json={**({"documents": list(documents)} if documents else {}), **members})

    def ordered(self, *documents: dict[str, Any], **members: Any) -> str:
        answer = self.order(*documents, **members)
        assert answer.status_code == 201, answer.text
        return str(answer.get_json()["sign_transaction_id"])

    def authorize(self, browser: FlaskClient, sign_transaction_id: str | None, **changes: str | None) -> TestResponse:
        asked = {"scope": "openid sign", "acr_values": "aal3", **changes}
        return self.house.authorize(
            browser, client_id=self.program.client.client_id, sign_transaction_id=sign_transaction_id, **asked
        )

    def page(self, browser: FlaskClient, sign_transaction_id: str, **changes: str | None) -> TestResponse:
        """The page with the documents and the card form."""
        begun = self.authorize(browser, sign_transaction_id, **changes)
        assert begun.status_code == 303, begun.text
        return self.house.get(browser, begun.headers["Location"])

    def signed(self, browser: FlaskClient, page: TestResponse, resident: str = "hanako") -> TestResponse:
        """From the card form to the page that leads back."""
        answered = card_answers(self.house, page, resident)
        page = self.house.get(browser, answered.headers["Location"])
        if "consent-form" in Page(page.text).forms:
            page = self.house.submit(browser, page, "consent-form", decision="approve")
        return page

    def tokens(self, page: TestResponse) -> dict[str, Any]:
        answer = self.program.token(back(page)["code"])
        assert answer.status_code == 200, answer.text
        return dict(answer.get_json())

    def opened(self, answer: TestResponse) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "application/jose"
        plain = jwe.decrypt_compact(answer.text, ECKey.import_key(self.key), algorithms=["ECDH-ES", "A256GCM"])
        return dict(json.loads(plain.plaintext or b""))

    def whole(self, *documents: dict[str, Any], resident: str = "hanako", **members: Any) -> dict[str, Any]:
        """Ordered, signed, fetched."""
        name = self.ordered(*documents, **members)
        browser = self.house.browser()
        page = self.signed(browser, self.page(browser, name), resident)
        assert page.status_code == 200, page.text
        return self.opened(self.call("GET", f"/{name}/result"))


def notary(house: House, client_id: str = "notary", **members: Any) -> Notary:
    """A client of the house that may have residents sign; `members` change what is registered."""
    key = ec.generate_private_key(ec.SECP256R1())
    asserting = ec.generate_private_key(ec.SECP256R1())
    jwks = {
        "keys": [
            {**public_jwk(asserting), "use": "sig", "alg": "ES256"},
            {**public_jwk(key), "use": "enc", "alg": "ECDH-ES", "kid": "for-results"},
        ]
    }
    values: dict[str, Any] = {
        "name": "みほん契約",
        "scope": frozenset({"openid", "sign"}),
        "grant_types": frozenset({GrantType.AUTHORIZATION_CODE, GrantType.CLIENT_CREDENTIALS}),
        "rights": VERIFIER_RIGHTS,
        "jwks": jwks,
    } | members
    program = register(house, client_id, **values)
    program.key = asserting
    return Notary(program=program, key=key)


def card_answers(house: House, page: TestResponse, resident: str = "hanako") -> TestResponse:
    """The card signs what the page asks, and the answer is posted back."""
    return signed_by_card(house, Page(page.text).forms["card-form"]["fields"]["request"], resident)


def signed_by_card(house: House, request: str, resident: str = "hanako") -> TestResponse:
    """The same for the request itself, by the installed agent's own core."""
    card = load(house.world.card(resident))
    tray = Tray()
    tray.insert_card(SoftwareCard(card))
    answer = answer_request(
        request,
        origin=house.issuer,
        trust=house.trust,
        cards=APDUCards(SoftwareReaders(tray)),
        pin=lambda _: card.auth.pin,
        password=lambda _: "" if card.sign is None else card.sign.pin,
        now=house.clock(),
    )
    return house.post_answer(transaction_of(request), {"answer": answer})


def back(page: TestResponse) -> dict[str, str]:
    """What the way back brings the client; with copies to keep, nobody is sent away."""
    url = Page(page.text).links["continue-link"]
    assert url.startswith(REDIRECT_URI)
    return dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
