"""Where PIN and signing password are typed: what a person is shown, and the means of asking beside the agent's page.

Order (design 4.3, ux 1.3): the reader's own keys, a window of our own, pinentry, the page, the terminal. A window comes
before the page because a browser's extensions may read pages. The signing password (署名用パスワード) is never typed on
a page, and has letters, which a reader's keys have not: a window or pinentry takes it, or nothing does.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from babel.support import NullTranslations, Translations

from cardreader.agent.action import Action
from cardreader.agent.answer import PINEntry
from cardreader.agent.display import displayable
from cardreader.agent.request import SignRequest
from cardreader.agent.wording import act_facts, act_title, claim_name, document_facts, document_warning
from cardreader.errors import CardError, answer_for


class Secret(Enum):
    """Which secret of which card is meant. Their words and counters are never mixed."""

    PIN = "pin"  # 利用者証明用: four digits
    SIGNING = "signing"  # 署名用パスワード
    HPKI = "hpki"  # an HPKI card's PIN, whose length the card states

    @classmethod
    def first_of(cls, act: Action) -> Secret:
        """What is asked for first."""
        return cls.HPKI if act.needs_licence else cls.PIN


CHOICES = ("auto", "native", "pinentry", "page", "terminal")
"""What `--pin-entry` takes; a reader's own keys are used by `auto` wherever a reader has them."""

LANGUAGES = ("ja", "en")
TRANSLATIONS = Path(__file__).parent / "translations"
MAX_TYPED = 64  # characters
_NAME_IN_WINDOW = 40  # characters: ten documents must fit
_TERMINAL_PINENTRY = ("pinentry-curses", "pinentry-tty")


@dataclass(frozen=True, slots=True, kw_only=True)
class PinPrompt:
    """What a person must see before typing a secret. `client` is None for an unvetted service without a host name.

    `tries_left` are that secret's own; `error` is why it is asked for again. The phrase of a terminal that everybody
    uses (`is_shared`) is on a notice there: nobody chose it.
    """

    phrase: str
    client: str | None
    client_vetted: bool
    origin: str
    tries_left: int | None
    act: Action
    language: str = "ja"
    error: CardError | None = None
    secret: Secret = Secret.PIN
    is_shared: bool = False

    @classmethod
    def of(
        cls,
        request: SignRequest,
        *,
        phrase: str,
        tries_left: int | None,
        error: CardError | None = None,
        secret: Secret | None = None,
        is_shared: bool = False,
    ) -> PinPrompt:
        """The prompt for `request` over a card with `tries_left`; `secret` is the one asked for first, unless named."""
        return cls(
            phrase=phrase,
            client=request.display_client,
            client_vetted=request.client_vetted,
            origin=request.origin,
            tries_left=tries_left,
            act=request.act,
            language=first_language(request.ui_locales) or "ja",
            error=error,
            secret=Secret.first_of(request.act) if secret is None else secret,
            is_shared=is_shared,
        )


class EntryUnavailable(Exception):
    """This means of entry cannot be used now (no display, program gone): the page takes its place."""


class PINAsker(Protocol):
    """A means of asking for a PIN outside the browser. Keeps and logs nothing of what was typed."""

    @property
    def name(self) -> PINEntry:
        """How the answer names it."""

    def ask(self, prompt: PinPrompt | PromptText, *, seconds: float, stop: threading.Event) -> str | None:
        """What was typed; None where the person gave up, `seconds` ran out, or `stop` was set by another thread.

        Raises EntryUnavailable.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptText:
    """A prompt in words, in one language."""

    title: str
    error: str
    lines: tuple[str, ...]
    label: str
    ok: str
    cancel: str


def first_language(ui_locales: str) -> str | None:
    """The first of `ui_locales` that we speak."""
    tags = (tag.lower().partition("-")[0] for tag in ui_locales.split())
    return next((tag for tag in tags if tag in LANGUAGES), None)


def typed_pin(text: str) -> str:
    """What was typed, without blanks around it. Full-width digits stay so, and are refused before the card."""
    return text[:MAX_TYPED].strip()


def write_prompt(prompt: PinPrompt | PromptText) -> PromptText:
    """What every means but the page shows: phrase, who asks, for what, and how many tries are left.

    A prompt that is in words already stays as it is.
    """
    if isinstance(prompt, PromptText):
        return prompt
    speech = _speech(prompt.language)
    _, ngettext = speech.gettext, speech.ngettext
    client = prompt.client or _("名前を確かめられないサービス")
    if not prompt.client_vetted:
        client = f"{client}（{_('未審査')}）"
    if prompt.tries_left is None:
        tries = _("残りの回数は、このカードからは読み取れません。")
    else:
        tries = ngettext("残り%(num)s回入力できます。", "残り%(num)s回入力できます。", prompt.tries_left) % {
            "num": prompt.tries_left
        }
    what = act_title(prompt.act, _)
    if prompt.act.released:
        listed = _("、").join(claim_name(name, _) for name in prompt.act.released)
        what = f"{what} {listed}"
    colon = _("：")
    if prompt.is_shared:
        whose = _("この端末の合言葉")
        otherwise = _("端末に掲示された合言葉と違う場合は、入力せずに「やめる」を押してください。")
    else:
        whose = _("あなたの合言葉")
        otherwise = _("設定したときの合言葉と違う場合は、入力せずに「やめる」を押してください。")
    title, label = {
        Secret.PIN: (_("暗証番号（数字4桁）を入力してください"), _("暗証番号（数字4桁）")),
        Secret.SIGNING: (_("署名用パスワードを入力してください"), _("署名用パスワード（英数字6〜16文字）")),
        Secret.HPKI: (_("HPKIカードのPINを入力してください"), _("HPKIカードのPIN（認証用）")),
    }[prompt.secret]
    note = {
        Secret.SIGNING: _("4桁の暗証番号とは別に数えます。"),
        Secret.HPKI: _("マイナンバーカードの暗証番号とは別です。"),
    }.get(prompt.secret)
    return PromptText(
        title=title,
        error=_error_text(prompt),
        lines=(
            f"{whose}{colon}{prompt.phrase}",
            otherwise,
            f"{_('依頼したサービス')}{colon}{client}",
            f"{_('接続先')}{colon}{prompt.origin}",
            f"{_('すること')}{colon}{what}",
            *(f"{name}{colon}{value}" for name, value in act_facts(prompt.act, _)),
            *_document_lines(prompt.act, _),
            tries if note is None else f"{tries} {note}",
        ),
        label=label,
        ok=_("確認する"),
        cancel=_("やめる"),
    )


def _document_lines(act: Action, _: Callable[[str], str]) -> list[str]:
    lines = []
    for document in act.documents:
        name = displayable(document.name, at_most=_NAME_IN_WINDOW)
        facts = filter(None, (document_facts(document, _), document_warning(document, _)))
        lines.append(f"{_('署名する文書')}{_('：')}{name} ({' '.join(facts)})")
    return lines


def choose(
    wanted: str,
    *,
    environment: Mapping[str, str],
    find: Callable[[str], str | None] = shutil.which,
    window: Callable[[], PINAsker | None],
    pinentry: Callable[[str], PINAsker],
    terminal: Callable[[], PINAsker],
) -> PINAsker | None:
    """The asker for `wanted` (one of CHOICES); None stands for the page.

    `auto` takes the window where one can be shown, then a graphical pinentry, then the page. A named means that cannot
    be had raises EntryUnavailable, because silently typing a PIN elsewhere is not what was asked for.
    """
    has_display = bool(environment.get("WAYLAND_DISPLAY") or environment.get("DISPLAY"))
    program = find("pinentry")
    is_graphical = (
        program is not None and has_display and Path(os.path.realpath(program)).name not in _TERMINAL_PINENTRY
    )
    if wanted in ("auto", "native") and has_display:
        asker = window()
        if asker is not None:
            return asker
    if wanted == "auto":
        return pinentry(program) if program is not None and is_graphical else None
    if wanted == "native":
        raise EntryUnavailable("no window can be shown: there is no display, or no Python with tkinter")
    if wanted == "pinentry":
        if program is None:
            raise EntryUnavailable("there is no program named pinentry")
        return pinentry(program)
    return terminal() if wanted == "terminal" else None


def choose_for_password(
    wanted: str,
    *,
    environment: Mapping[str, str],
    find: Callable[[str], str | None] = shutil.which,
    window: Callable[[], PINAsker | None],
    pinentry: Callable[[str], PINAsker],
) -> PINAsker | None:
    """Who asks for the signing password where `wanted` (one of CHOICES) is said of the PIN; None where nobody can.

    A window or pinentry that is named is taken; for every other choice whichever of the two can be shown. Raises
    EntryUnavailable as `choose` does.
    """
    named = wanted if wanted in ("native", "pinentry") else "auto"
    return choose(
        named, environment=environment, find=find, window=window, pinentry=pinentry, terminal=_never_a_terminal
    )


def _never_a_terminal() -> PINAsker:
    raise EntryUnavailable("the signing password is typed in a window or pinentry")


def _error_text(prompt: PinPrompt) -> str:
    if prompt.error is None:
        return ""
    row = answer_for(prompt.error)
    words = row.en if prompt.language == "en" else row.ja
    return f"{words.title} ({row.code})"


def _speech(language: str) -> NullTranslations:
    """Japanese is the language the texts are written in; English comes from the catalogue of the pages."""
    if language != "en":
        return NullTranslations()
    return Translations.load(str(TRANSLATIONS), ["en"])
