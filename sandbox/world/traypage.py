"""The card tray page: a person's hands. Cards are put into the software reader, taken out, unlocked and revoked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from cardreader.tray import TrayClient, TrayFault, TrayStatus
from sandbox import atomicfile
from sandbox.cards import to_json, with_pin_reset
from sandbox.ledger import Issued, Ledger
from sandbox.office import EVENTS, LifeEvent
from sandbox.world.language import language
from sandbox.world.origin import own_pages_only
from sandbox.world.registry import Registry

_LOST: Final = "keyCompromise"  # what the office enters when a lost card is reported


class Reader:
    """The software reader, or the lack of one. Its state is None where no reader answers."""

    def __init__(self, tray: TrayClient | None) -> None:
        self._tray = tray

    def status(self) -> TrayStatus | None:
        """What lies in the reader now."""
        if self._tray is None:
            return None
        with contextlib.suppress(TrayFault):
            return self._tray.status()
        return None

    def insert(self, card: Path) -> None:
        """Put a card in, in the place of another. Raises TrayFault."""
        self._attached().insert(card)

    def remove(self) -> None:
        """Take the card out, if there is one. Raises TrayFault."""
        self._attached().remove()

    def reset_pin(self) -> None:
        """Set the counters of the card that is in anew. Raises TrayFault."""
        self._attached().reset_pin()

    def _attached(self) -> TrayClient:
        if self._tray is None:
            raise TrayFault("no card tray is attached")
        return self._tray


class CardDrawer:
    """The card files of all residents."""

    def __init__(self, folder: Path, *, reader: Reader) -> None:
        self._folder = folder
        self._reader = reader

    def index(self) -> list[dict[str, Any]]:
        """What `index.json` says of every card. Raises OSError, ValueError."""
        rows: list[dict[str, Any]] = json.loads((self._folder / "index.json").read_bytes())
        return rows

    def path(self, name: str) -> Path | None:
        """The card's file, None where the index does not know the name."""
        known = any(row["name"] == name for row in self.index())
        return self._folder / f"{name}.json" if known else None

    def tries(self, name: str, status: TrayStatus | None) -> tuple[int, int]:
        """Tries left on the 利用者証明用 PIN and how many it starts with; a card in the reader speaks for itself."""
        auth = json.loads((self._folder / f"{name}.json").read_bytes())["auth"]
        left = auth["tries"]
        if status is not None and status.card == name and status.auth_tries is not None:
            left = status.auth_tries
        return left, auth["tries_max"]

    def reset_pin(self, name: str) -> None:
        """All tries again, on the card in the reader and in its file alike. Raises TrayFault, OSError."""
        status = self._reader.status()
        if status is not None and status.card == name:
            self._reader.reset_pin()
        path = self._folder / f"{name}.json"
        card = json.loads(path.read_bytes())
        restored = with_pin_reset(card)
        if restored != card:
            atomicfile.write(path, to_json(restored))


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """One card as the page shows it."""

    name: str
    label: str
    other_label: str  # the Japanese name on the English page, the reading on the Japanese one
    kind: str
    pin: str
    sign_password: str | None
    demonstrates: str
    tries_left: int
    tries_max: int
    auth: str  # "none", "good", "expired", "revoked"
    sign: str
    inserted: bool
    another_inserted: bool
    lives: bool
    """The office enters events of life under the resident's own card, not under a phone or an old one."""
    revocable: bool  # a certificate of ours is left to revoke; the foreign authority publishes no lists


def tray_blueprint(
    registry: Registry,
    *,
    reader: Reader,
    drawer: CardDrawer,
    host: str,
    origin: str,
    clock: Callable[[], datetime],
) -> Blueprint:
    """The page at `/` and its forms. Other hosts and forms of other origins are refused with 403."""
    tray = Blueprint("tray", __name__)

    own_pages_only(tray, host=host, origin=origin)

    @tray.get("/")
    def show() -> str:
        status = reader.status()
        books = registry.ledger()
        now = clock()
        views = [_view(row, drawer, books, status, lang=language(), now=now) for row in drawer.index()]
        inserted = next((view for view in views if view.inserted), None)
        done = request.args.get("done", "")
        problem = request.args.get("problem", "")
        return render_template(
            "tray.html",
            status=status,
            cards=views,
            inserted=inserted,
            notice=_notices().get(done),
            problem=_problems().get(problem),
            events=_events(),
            trouble=registry.trouble(),
        )

    @tray.post("/tray/insert")
    def insert() -> Response:
        return _act(lambda: reader.insert(_card_path()), done="inserted")

    @tray.post("/tray/remove")
    def remove() -> Response:
        return _act(reader.remove, done="removed")

    @tray.post("/office/reset-pin")
    def reset_pin() -> Response:
        return _act(lambda: drawer.reset_pin(_card_path().stem), done="reset")

    @tray.post("/office/revoke")
    def revoke() -> Response:
        return _act(lambda: registry.revoke(_card_path().stem, now=clock(), reason=_LOST), done="revoked")

    @tray.post("/office/event")
    def event() -> Response:
        entered = next((known for known in EVENTS if known == request.form.get("event")), None)
        if entered is None:
            abort(400)
        name = _card_path().stem
        if name not in {row["resident"] for row in drawer.index()}:
            abort(404)
        return _act(lambda: _enter(entered, name), done=entered)

    def _enter(entered: LifeEvent, name: str) -> None:
        """A card that changed while it lay on the reader is laid on it anew."""
        card = registry.enter(entered, name, now=clock())
        status = reader.status()
        if card is not None and status is not None and status.card == name:
            reader.insert(card)

    def _card_path() -> Path:
        path = drawer.path(request.form.get("card", ""))
        if path is None:
            abort(404)
        return path

    def _act(deed: Callable[[], None], *, done: str) -> Response:
        try:
            deed()
        except TrayFault:
            return redirect(url_for("tray.show", lang=language(), problem="tray"), 303)
        except ValueError:
            return redirect(url_for("tray.show", lang=language(), problem="event"), 303)
        return redirect(url_for("tray.show", lang=language(), done=done), 303)

    return tray


def _view(
    row: Mapping[str, Any],
    drawer: CardDrawer,
    books: Ledger,
    status: TrayStatus | None,
    *,
    lang: str,
    now: datetime,
) -> CardView:
    name = row["name"]
    left, most = drawer.tries(name, status)
    auth, sign = books.on_card(name, "auth", "phone-auth"), books.on_card(name, "sign")
    inserted = status is not None and status.card == name
    return CardView(
        name=name,
        label=row["label"] if lang == "ja" else row["label_en"],
        other_label=row["kana"] if lang == "ja" else row["label"],
        kind=row["kind"],
        pin=row["pin"],
        sign_password=row["sign_password"],
        demonstrates=row["demonstrates"][lang],
        tries_left=left,
        tries_max=most,
        auth=_state(auth, now),
        sign=_state(sign, now),
        inserted=inserted,
        another_inserted=status is not None and status.card is not None and not inserted,
        lives=row["resident"] == name
        and any(entry is not None and not entry.authority.startswith("foreign-") for entry in (auth,)),
        revocable=row["resident"] == name
        and any(
            entry is not None and _state(entry, now) == "good" and not entry.authority.startswith("foreign-")
            for entry in (auth, sign)
        ),
    )


def _state(entry: Issued | None, now: datetime) -> str:
    if entry is None:
        return "none"
    if entry.revoked_at is not None:
        return "revoked"
    return "expired" if now > entry.not_after else "good"


def _notices() -> dict[str, str]:
    return {
        "inserted": gettext("カードを置きました。"),
        "removed": gettext("カードを取りました。"),
        "reset": gettext("暗証番号の回数を元に戻しました。番号は変わっていません。"),
        "revoked": gettext("電子証明書を失効させました。新しい失効リストに、すぐに載ります。"),
        "renewal": gettext("電子証明書を更新しました。前の証明書は失効し、新旧の対応が記録されました。"),
        "loss": gettext("電子証明書を失効させました。新しい失効リストに、すぐに載ります。"),
        "reissue": gettext("新しいカードを渡しました。前の証明書は失効し、新旧の対応が記録されました。"),
        "move": gettext("転居を届け出ました。署名用電子証明書だけが失効しました。"),
        "death": gettext("死亡を届け出ました。すべての電子証明書が失効しました。"),
        "hold": gettext("電子証明書を一時停止しました。"),
        "release": gettext("一時停止を解きました。"),
    }


def _problems() -> dict[str, str]:
    return {
        "tray": gettext("カードリーダーが応答しません。make run が動いているかを確かめてください。"),
        "event": gettext("この届出は受け付けられません。失効させる電子証明書がないか、亡くなった方のカードです。"),
    }


def _events() -> dict[LifeEvent, str]:
    return {
        "renewal": gettext("電子証明書を更新する（同じカード、新しい番号）"),
        "reissue": gettext("カードを再交付する（紛失のあと）"),
        "move": gettext("転居する（署名用だけ失効）"),
        "death": gettext("死亡"),
        "hold": gettext("一時停止する"),
        "release": gettext("一時停止を解く"),
    }
