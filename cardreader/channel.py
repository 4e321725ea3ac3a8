"""What one conversation with a powered card has learnt, for the next one to use."""

from __future__ import annotations

from dataclasses import dataclass, field

from cardreader.jpki_profile import RSA_2048, CardProfile


@dataclass(slots=True, kw_only=True)
class Channel:
    """What is known of one powered card: ISO/IEC 7816-4's current file, and whether short file identifiers work.

    `takes_short_identifiers` is to be set where an earlier session with this very card has shown it. Where
    `extended_length` is set, certificates are asked for in one piece; a card that declines is asked in pieces.
    """

    profile: CardProfile = RSA_2048
    takes_short_identifiers: bool = False
    extended_length: bool = False
    _declines_short: bool = field(default=False, init=False)
    _answered_short: set[int] = field(default_factory=set, init=False)
    _current: int | None = field(default=None, init=False)

    def may_read_by_short(self) -> bool:
        """Whether a command that risks nothing should go by short identifier."""
        return not self._declines_short

    def may_use_by_short(self, identifier: int) -> bool:
        """Whether a PIN or a key may go by short identifier: only where that is known to work for this file."""
        return not self._declines_short and (self.takes_short_identifiers or identifier in self._answered_short)

    def takes_any_short(self) -> bool:
        """Whether any file has answered to its short identifier."""
        return not self._declines_short and (self.takes_short_identifiers or bool(self._answered_short))

    def is_current(self, identifier: int) -> bool:
        """Whether this file was the last one selected, so that a command may leave it unnamed."""
        return self._current == identifier

    def application_selected(self) -> None:
        """A SELECT by name leaves no file current."""
        self._current = None

    def selected(self, identifier: int | None) -> None:
        """This file is current now; None where that is not certain."""
        self._current = identifier

    def answered_short(self, identifier: int) -> None:
        """The card took this file's short identifier. What is current afterwards, cards need not agree on."""
        self._answered_short.add(identifier)
        self._current = None

    def declined_short(self) -> None:
        """The card wants a SELECT; it is not offered a short identifier again."""
        self._declines_short = True
