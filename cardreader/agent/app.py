"""The agent's endpoints: ordinary forms and top-level navigation only (no fetch, no CORS, no WebSocket, no cookies).

A broker's page posts a signed card request; the person types the PIN here; a form takes the answer back to the broker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask, Response, make_response, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from cardreader.agent.answer import app_version
from cardreader.agent.desk import DEADLINE_SECONDS, HOLD_SECONDS, Desk
from cardreader.agent.device import DeviceKey
from cardreader.agent.display import displayable
from cardreader.agent.entry import PINAsker, typed_pin
from cardreader.agent.gate import SIGN_PATH, guard
from cardreader.agent.jose import MAX_JWS
from cardreader.agent.journal import log_fault
from cardreader.agent.kiosk import SharedTerminal
from cardreader.agent.pages import refuse, show, speak
from cardreader.agent.sitting import Refused
from cardreader.agent.trust import AgentState, Trust
from cardreader.authentication import AuthenticationCards
from cardreader.errors import AgentFault, CardError, PageStale, PageUnknown, RequestTooLarge

DEFAULT_PORT = 24780
MAX_BODY = MAX_JWS + 1024  # bytes


def create_agent(
    *,
    cards: AuthenticationCards,
    trust: Trust,
    state: AgentState,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    port: int = DEFAULT_PORT,
    hold_seconds: float = HOLD_SECONDS,
    deadline_seconds: float = DEADLINE_SECONDS,
    asker: PINAsker | None = None,
    password_asker: PINAsker | None = None,
    uses_pin_pad: bool = False,
    kiosk: SharedTerminal | None = None,
    allows_signing: bool = False,
    device: DeviceKey | None = None,
) -> Flask:
    """The agent's WSGI application. Whoever serves it has already refused other users' connections (server.py).

    `asker` asks for the PIN outside the page; `uses_pin_pad` puts a reader's own keys before it. `password_asker` asks
    for the signing password, without which no document is signed. With `kiosk` this is a terminal that everybody uses:
    no last try, nothing signed unless `allows_signing`, and the kiosk hears of what happens; `device` is its key.
    Raises TrustInvalid where the English page texts were not compiled.
    """
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_MEMORY_SIZE=MAX_BODY, MAX_FORM_PARTS=8)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # no preflight is ever answered
    speak(app)
    guard(app, trust=trust, port=port, monotonic=monotonic)
    desk = Desk(
        cards=cards,
        trust=trust,
        state=state,
        clock=clock,
        monotonic=monotonic,
        on_fault=log_fault,
        hold_seconds=hold_seconds,
        deadline_seconds=deadline_seconds,
        asker=asker,
        password_asker=password_asker,
        uses_pin_pad=uses_pin_pad,
        is_shared=kiosk is not None,
        allows_signing=kiosk is None or allows_signing,
        device=device,
        on_answer=kiosk.on_answer if kiosk is not None else lambda _: None,
    )
    if kiosk is not None:
        app.before_request(kiosk.on_request)
    app.extensions["card-desk"] = desk
    app.jinja_env.globals["shared_terminal"] = (
        kiosk is not None
    )  # nobody chose a phrase for it: it is on a notice there
    _mount_forms(app, desk, phrase=trust.phrase)

    @app.get("/")
    def status() -> Response:
        """For a person who asks whether the program runs. Says nothing about cards."""
        names = [(displayable(broker.name), broker.origin) for broker in trust.brokers]
        return make_response(
            render_template("status.html", brokers=names, is_busy=desk.is_busy, version=app_version(), port=port)
        )

    @app.errorhandler(CardError)
    def on_card_error(error: CardError) -> Response:
        return refuse(Refused(error=error))

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> Response:
        is_size = isinstance(error, RequestEntityTooLarge)
        return refuse(Refused(error=RequestTooLarge("form too large") if is_size else PageUnknown("no such page")))

    @app.errorhandler(Exception)
    def on_fault(error: Exception) -> Response:
        log_fault(error)
        return refuse(Refused(error=AgentFault("unforeseen")))

    return app


def _mount_forms(app: Flask, desk: Desk, *, phrase: str) -> None:
    @app.post(SIGN_PATH)
    def sign() -> Response:
        return show(desk.submit(_field("request"), request.headers["Origin"]), phrase=phrase)

    @app.post("/v1/retry")
    def retry() -> Response:
        return show(desk.resume(_field("sitting")), phrase=phrase)

    @app.post("/v1/pin")
    def pin() -> Response:
        key, token = _field("sitting"), _field("token")
        if request.form.get("understood") == "yes" and "pin" not in request.form:
            return show(desk.confirm_last_try(key, token), phrase=phrase)
        return show(desk.enter_pin(key, token, typed_pin(_field("pin"))), phrase=phrase)

    @app.post("/v1/elsewhere")
    def elsewhere() -> Response:
        return show(desk.ask_elsewhere(_field("sitting"), _field("token")), phrase=phrase)

    @app.post("/v1/take-over")
    def take_over() -> Response:
        return show(desk.take_over(_field("sitting")), phrase=phrase)

    @app.post("/v1/cancel")
    def cancel() -> Response:
        return show(desk.cancel(_field("sitting")), phrase=phrase)


def _field(name: str) -> str:
    """One form field that must stand there exactly once. Raises PageStale: our own pages never cause it."""
    values = request.form.getlist(name)
    if len(values) != 1:
        raise PageStale(f"form field {name} is missing or doubled")
    return values[0]
