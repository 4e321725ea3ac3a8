"""`python -m sandbox login`: a whole login over HTTP, without a browser, with a card and an agent of its own.

It is a resident and a browser at once: it goes through the bank's and the broker's real pages by the ids on them, and
its in-process agent is the installed agent's own core. The card is read afresh for each login and never written.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from cardreader import cardfile
from cardreader.agent.request import verify_request
from cardreader.agent.trust import Trust, TrustInvalid, load_trust
from cardreader.errors import CardError, answer_for
from cardreader.webclient import Form, Page, WebClient, WebFault, origin_of
from sandbox import softagent

ROOT: Final = Path(__file__).resolve().parent.parent / ".sandbox"
BROKER: Final = "http://localhost:8000"
BANK: Final = "http://127.0.0.2:8001"
STEPS: Final = {
    "bank": "the bank's first page",
    "login": "off to the broker: its login page with the request for the card",
    "release": "the resident lets go of what the bank asks for, all of it",
    "card": "the agent checks the request, the card signs",
    "callback": "the broker judges the card's answer",
    "continue": "the broker releases it to this browser alone",
    "consent": "the resident agrees to what the bank receives",
    "return": "back at the bank, which checks the ID token",
    "link": "first time here: the customer number",
    "verify": "the bank says what it accepted",
}
"""The steps of a login in their order. `consent` and `link` happen the first time only, `release` where
more than a pseudonym is asked for."""
MAX_COUNT: Final = 100_000
MAX_CONCURRENCY: Final = 64


class LoginFailed(Exception):
    """The login ended at `step`. `code` is the error code of the page or card, "" where there is none."""

    def __init__(self, step: str, reason: str, *, code: str = "") -> None:
        super().__init__(f"{step}: {reason}" + (f" ({code})" if code else ""))
        self.step = step
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginResult:
    """What the relying party accepted: `claims` are those of the ID token that it verified itself."""

    resident: str
    claims: Mapping[str, Any] = field(repr=False)
    userinfo: Mapping[str, Any] = field(repr=False)
    """What userinfo told beyond the pseudonym."""
    customer_number: str
    linked_now: bool
    """The first login: the customer number was entered just now."""
    asked_consent: bool
    steps_ms: Mapping[str, float]

    @property
    def total_ms(self) -> float:
        """From the bank's first page to the verified claims, in milliseconds."""
        return sum(self.steps_ms.values())

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "accepted": True,
            "resident": self.resident,
            "customer_number": self.customer_number,
            "linked_now": self.linked_now,
            "asked_consent": self.asked_consent,
            "claims": dict(self.claims),
            "userinfo": dict(self.userinfo),
            "steps_ms": {name: round(value, 2) for name, value in self.steps_ms.items()},
            "total_ms": round(self.total_ms, 2),
        }


def login(
    *,
    broker: str = BROKER,
    bank: str = BANK,
    resident_card: Path,
    trust: Path,
    pin: str | None = None,
    timeout: float = 30.0,
    authorities: str | None = None,
    scope: str = "openid",
    before_step: Callable[[str], None] = lambda _: None,
) -> LoginResult:
    """Log the holder of `resident_card` in to the bank.

    `trust` is an agent trust file; `pin` replaces the card's own; `timeout` is for each request, in seconds;
    `authorities` is a PEM file of whom to trust for certificates (None: the system's);
    `scope` is what the bank asks for; beyond `openid` the resident signs an application with the 署名用 key.
    `before_step` is called with the name of each step (one of STEPS) before it begins.
    Raises LoginFailed, CardFileInvalid and TrustInvalid.
    """
    card = cardfile.load(resident_card)
    browser = WebClient(
        origins=frozenset({origin_of(broker), origin_of(bank)}), timeout=timeout, authorities=authorities
    )
    try:
        return _Login(
            browser=browser,
            bank=bank,
            broker=broker,
            card=card,
            trust=load_trust(trust, sandbox=True),
            pin=card.auth.pin if pin is None else pin,
            scope=scope,
            before_step=before_step,
        ).run()
    finally:
        browser.close()


def through_the_broker(
    url: str, *, broker: str, resident_card: Path, trust: Path, timeout: float = 30.0, authorities: str | None = None
) -> str:
    """Take a client's authorization request at `url` through the broker's pages; the address back, unvisited.

    Raises LoginFailed, CardFileInvalid and TrustInvalid.
    """
    card = cardfile.load(resident_card)
    browser = WebClient(origins=frozenset({origin_of(broker)}), timeout=timeout, authorities=authorities)
    try:
        return _Login(
            browser=browser,
            bank="",
            broker=broker,
            card=card,
            trust=load_trust(trust, sandbox=True),
            pin=card.auth.pin,
            scope="",
            before_step=lambda _: None,
        ).visit(url)
    finally:
        browser.close()


class _Login:
    """One resident at one browser."""

    def __init__(
        self,
        *,
        browser: WebClient,
        bank: str,
        broker: str,
        card: cardfile.CardFile,
        trust: Trust,
        pin: str,
        scope: str,
        before_step: Callable[[str], None],
    ) -> None:
        self._browser = browser
        self._bank = bank
        self._broker = broker
        self._card = card
        self._trust = trust
        self._pin = pin
        self._scope = scope
        self._before_step = before_step
        self._step = ""
        self._begun = 0.0
        self._steps: dict[str, float] = {}

    def run(self) -> LoginResult:
        try:
            return self._run()
        except WebFault as fault:
            raise LoginFailed(self._step, str(fault)) from fault
        except CardError as refusal:
            raise LoginFailed(self._step, str(refusal), code=answer_for(refusal).code) from refusal

    def _run(self) -> LoginResult:
        self._enter("bank")
        page = self._browser.get(f"{self._bank}/")
        form = self._form(page, "login-form")
        self._enter("login")
        asked = {} if self._scope == "openid" else {"scope": self._scope}
        page = self._browser.submit(replace(form, fields={**form.fields, **asked}), origin=origin_of(page.url))
        back, asked_consent = self._back(page)
        self._enter("return")
        page = self._browser.get(back)
        linked_now = page.form("link-form") is not None
        if linked_now:
            self._enter("link")
            page = self._link(page)
        if "greeting" not in page.elements.texts:
            self._refuse(page, "the bank does not greet its customer")
        self._enter("verify")
        accepted = self._accepted(self._browser.get(f"{self._bank}/api/me"))
        self._leave()
        return LoginResult(
            resident=self._card.name,
            claims=accepted["claims"],
            userinfo=accepted["userinfo"],
            customer_number=accepted["customer_number"],
            linked_now=linked_now,
            asked_consent=asked_consent,
            steps_ms=self._steps,
        )

    def visit(self, url: str) -> str:
        """From a client's own authorization request to the address that leads back. Raises LoginFailed."""
        try:
            self._enter("login")
            return self._back(self._browser.get(url))[0]
        except WebFault as fault:
            raise LoginFailed(self._step, str(fault)) from fault
        except CardError as refusal:
            raise LoginFailed(self._step, str(refusal), code=answer_for(refusal).code) from refusal

    def _back(self, page: Page) -> tuple[str, bool]:
        """From the login page to the address that leads back to the client; whether consent was asked for."""
        offered = page.form("release-form")
        if offered is not None:
            self._enter("release")
            page = self._browser.submit(offered, origin=origin_of(page.url))
        form = self._form(page, "card-form")
        self._enter("card")
        broker_origin, agent_origin = origin_of(page.url), origin_of(form.action)
        answer, return_uri = self._sign(form.fields.get("request", ""), origin=broker_origin)
        self._enter("callback")
        page = self._browser.submit(
            Form(action=return_uri, method="post", fields={"answer": answer}), origin=agent_origin, follow=False
        )
        if page.status != 303:
            self._refuse(page, "the broker does not take the card's answer")
        self._enter("continue")
        page = self._browser.get(_location(page))
        consent = page.form("consent-form")
        if consent is not None:
            self._enter("consent")
            page = self._browser.submit(consent, origin=origin_of(page.url), decision="approve")
        back = page.elements.links.get("continue-link")
        if page.status != 200 or not back:
            self._refuse(page, "the broker does not send us back to its client")
        return str(back), consent is not None

    def _sign(self, request: str, *, origin: str) -> tuple[str, str]:
        answer = softagent.answer(request, origin=origin, trust=self._trust, card=self._card, pin=self._pin)
        now = datetime.now(UTC)
        return answer, verify_request(request, trust=self._trust, origin=origin, now=now).return_uri

    def _link(self, page: Page) -> Page:
        """Enter this resident's own number, else a spare one, and the next where somebody was faster."""
        rows = [(row["number"], row.get("name", "")) for row in page.elements.items if "number" in row]
        numbers = sorted(rows, key=lambda row: row[1] != self._card.label)
        if numbers and numbers[0][1] != self._card.label:
            numbers.reverse()  # the last rows belong to nobody
        for number, _ in numbers:
            asked = page.form("link-form")
            if asked is None:
                return page
            page = self._browser.submit(asked, origin=self._bank, customer_number=number)
            confirmation = page.form("confirm-form")
            if confirmation is not None:
                page = self._browser.submit(confirmation, origin=self._bank)
        return page

    def _accepted(self, page: Page) -> dict[str, Any]:
        try:
            document = json.loads(page.body)
            if document["subject_known"] is True and document["claims"]["sub"]:
                return dict(document)
        except (ValueError, KeyError, TypeError):
            pass
        raise LoginFailed(self._step, "the bank has not accepted the login")

    def _form(self, page: Page, identifier: str) -> Form:
        form = page.form(identifier)
        if form is None:
            self._refuse(page, f"the page has no form {identifier}")
        return form

    def _refuse(self, page: Page, reason: str) -> NoReturn:
        texts = page.elements.texts
        title = " ".join(texts.get("error-title", "").split())
        raise LoginFailed(
            self._step,
            f"{reason} (status {page.status})" + (f": {title}" if title else ""),
            code=texts.get("error-code", ""),
        )

    def _enter(self, step: str) -> None:
        self._leave()
        self._step = step
        self._before_step(step)
        self._begun = time.perf_counter()

    def _leave(self) -> None:
        if self._step:
            self._steps[self._step] = (time.perf_counter() - self._begun) * 1000


def _location(page: Page) -> str:
    location = page.headers.get("location", "")
    if not location.startswith(("http://", "https://")):
        location = origin_of(page.url) + location
    return location


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Many logins. `crossed` names residents whose logins gave more than one subject, or another's."""

    results: Sequence[LoginResult]
    failures: Sequence[str]
    seconds: float

    @property
    def crossed(self) -> tuple[str, ...]:
        """Residents that share a subject with another, or have two."""
        subjects: dict[str, set[str]] = {}
        for result in self.results:
            subjects.setdefault(result.resident, set()).add(str(result.claims["sub"]))
        owners: dict[str, list[str]] = {}
        for resident, mine in subjects.items():
            for subject in mine:
                owners.setdefault(subject, []).append(resident)
        mixed = {resident for residents in owners.values() if len(residents) > 1 for resident in residents}
        return tuple(sorted(mixed | {resident for resident, mine in subjects.items() if len(mine) > 1}))

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        totals = sorted(result.total_ms for result in self.results)
        by_step = {
            step: sorted(result.steps_ms[step] for result in self.results if step in result.steps_ms) for step in STEPS
        }
        return {
            "accepted": not self.failures and not self.crossed,
            "logins": len(self.results),
            "failures": list(self.failures),
            "crossed": list(self.crossed),
            "seconds": round(self.seconds, 3),
            "subjects": {result.resident: result.claims["sub"] for result in self.results},
            "total_ms": _percentiles(totals),
            "steps_ms": {step: _percentiles(values) for step, values in by_step.items() if values},
        }


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {name: round(percentile(values, share), 2) for name, share in (("p50", 0.5), ("p99", 0.99))}


def percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of values in ascending order; 0 where there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def login_series(
    cards: Sequence[Path], *, count: int, concurrency: int, attempt: Callable[[Path], LoginResult]
) -> Series:
    """`count` logins for each card, dealt in turn to `concurrency` browsers that all begin at the same moment.

    `attempt` is `login` with everything but the card filled in.
    """
    start = threading.Barrier(min(concurrency, count * len(cards)))
    waited = threading.local()

    def one(card: Path) -> LoginResult | str:
        if not getattr(waited, "once", False):
            waited.once = True
            start.wait()
        try:
            return attempt(card)
        except LoginFailed as failure:
            return f"{card.stem}: {failure}"

    begun = time.perf_counter()
    with ThreadPoolExecutor(max_workers=start.parties) as pool:
        outcomes = list(pool.map(one, list(cards) * count))
    return Series(
        results=[outcome for outcome in outcomes if isinstance(outcome, LoginResult)],
        failures=[outcome for outcome in outcomes if isinstance(outcome, str)],
        seconds=time.perf_counter() - begun,
    )


def _no_pin(_context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter("a PIN never stands on a command line; it is taken from the resident's card file")


@click.command("login", help="Log in to the sample bank with a software card, without a browser.")
@click.option("--client", type=click.Choice(["bank"]), default="bank", show_default=True)
@click.option("--resident", "residents", multiple=True, default=("hanako",), show_default=True, help="May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with the claims the bank verified.")
@click.option("--scope", default="openid", show_default=True, help="What the bank asks for: `openid name address` …")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), default=1, show_default=True, help="Logins per resident.")
@click.option("--concurrency", type=click.IntRange(1, MAX_CONCURRENCY), default=1, show_default=True)
@click.option("--pin", callback=_no_pin, expose_value=False, hidden=True)
@click.option("--root", type=click.Path(path_type=Path), default=ROOT, show_default=".sandbox of this checkout")
@click.option("--broker", show_default="as `make run` started it")
@click.option("--bank", show_default="as `make run` started it")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds per request.")
def command(
    *,
    client: str,
    residents: tuple[str, ...],
    as_json: bool,
    scope: str,
    count: int,
    concurrency: int,
    root: Path,
    broker: str | None,
    bank: str | None,
    timeout: float,
) -> None:
    """Exit status 0 only if the relying party accepted every login."""
    told = addresses_of(root)
    broker, bank = broker or told["broker"], bank or told["bank"]
    cards = [card_of(root, resident) for resident in residents]
    trust = root / "agent" / "trust.json"

    def attempt(card: Path, before_step: Callable[[str], None] = lambda _: None) -> LoginResult:
        return login(
            broker=broker,
            bank=bank,
            resident_card=card,
            trust=trust,
            timeout=timeout,
            authorities=told.get("authorities"),
            scope=scope,
            before_step=before_step,
        )

    try:
        if len(cards) == count == 1:
            _print_one(attempt(cards[0], _quiet if as_json else _progress), client=client, as_json=as_json)
            return
        series = login_series(cards, count=count, concurrency=concurrency, attempt=attempt)
    except LoginFailed as failure:
        if as_json:
            click.echo(
                json.dumps({"accepted": False, "step": failure.step, "code": failure.code, "error": str(failure)})
            )
        raise click.ClickException(str(failure)) from None
    except (CardError, TrustInvalid) as broken:
        raise click.ClickException(f"{broken} (is this the folder of a `make run`? --root {root})") from None
    document = series.document()
    click.echo(json.dumps(document, ensure_ascii=False) if as_json else _table(document))
    if not document["accepted"]:
        sys.exit(1)


def addresses_of(root: Path) -> dict[str, str]:
    """Where the launcher of this folder last put broker and bank."""
    try:
        told = json.loads((root / "run" / "addresses.json").read_bytes())
        return {
            name: str(told[name]) for name in ("broker", "bank", "authorities") if name in told or name != "authorities"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"broker": BROKER, "bank": BANK}


def card_of(root: Path, resident: str) -> Path:
    path = root / "cards" / f"{resident}.json"
    if not resident.isalnum() or not path.is_file():
        known = sorted(card.stem for card in (root / "cards").glob("*.json") if card.stem != "index")
        raise click.BadParameter(f"no card of {resident!r}; there are: {', '.join(known) or 'none (run `make run`)'}")
    return path


def _quiet(_step: str) -> None:
    return


def _progress(step: str) -> None:
    click.echo(f"  {step:8}  {STEPS[step]}", err=True)


def _print_one(result: LoginResult, *, client: str, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(result.document(), ensure_ascii=False))
        return
    click.echo(
        f"{client} accepted {result.resident}: customer number {result.customer_number}, {result.total_ms:.0f} ms"
    )
    for name, value in (*sorted(result.claims.items()), *sorted(result.userinfo.items())):
        click.echo(f"  {name}: {value}")


def _table(document: Mapping[str, Any]) -> str:
    lines = [f"{document['logins']} logins in {document['seconds']} s, {len(document['failures'])} failures"]
    lines += [f"  {failure}" for failure in document["failures"][:10]]
    lines += [f"  crossed: {resident}" for resident in document["crossed"]]
    for step, values in (("total", document["total_ms"]), *document["steps_ms"].items()):
        lines.append(f"  {step:9} p50 {values['p50']:8.2f} ms   p99 {values['p99']:8.2f} ms")
    return "\n".join(lines)
