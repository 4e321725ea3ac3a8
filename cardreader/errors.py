"""What can go wrong between cardholder, reader and card, and what to tell the cardholder (errors.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

PINTryUsed = Literal["no", "yes", "unknown"]


class CardError(Exception):
    """Root of this package's errors. The message is for operators and holds nothing personal."""


class TransportError(CardError):
    """The way to the card failed; the card itself may be well."""


class ServiceNotRunning(TransportError):
    """No smart-card service (pcscd) answers."""


class NoReader(TransportError):
    """The service knows no reader."""


class CardAbsent(TransportError):
    """There are readers, none holds a card."""


class SeveralCards(TransportError):
    """More than one reader holds a card, and we do not guess."""


class ReaderBusy(TransportError):
    """Another program holds the card."""


class CardUnresponsive(TransportError):
    """A card is there but does not answer to power: wrong side up, dirty, or too far from the field."""


class CardRemoved(TransportError):
    """The card went away in the middle of a conversation."""


class CardTimeout(TransportError):
    """The reader or card did not answer within the deadline."""


class TransportFault(TransportError):
    """The reader answered something that is no reply (fewer than two bytes), or the service reported a fault."""


class NotJPKICard(CardError):
    """The card has no JPKI application, or one of a kind we do not know."""


class NotHPKICard(CardError):
    """The card has not the HPKI application that was asked for (保健医療福祉分野PKI)."""


class OldResidentCard(CardError):
    """An old Basic Resident Register card (住基カード): its certificates ended in 2018."""


class NoAuthCertificate(CardError):
    """The card carries no user-authentication certificate (利用者証明用電子証明書)."""


class UnexpectedStatus(CardError):
    """The card answered with a status word (ISO/IEC 7816-4 section 5.6) that this step does not provide for."""

    def __init__(self, sw: int, step: str = "") -> None:
        super().__init__(f"status {sw:04X}" + (f" at {step}" if step else ""))
        self.sw = sw
        self.step = step


class MalformedCardData(CardError):
    """The card answered with data that is not what its place promises."""


class PINFormatInvalid(CardError):
    """Not four ASCII digits; found before the card was touched, so no try was used."""


class PINRequired(CardError):
    """The card wants the PIN before this step (status 6982)."""


class PINRejected(CardError):
    """Wrong PIN. `tries_left` is what the card reported, None where it reported nothing (status 6300)."""

    def __init__(self, tries_left: int | None = None) -> None:
        super().__init__("PIN rejected, tries left: " + ("not reported" if tries_left is None else str(tries_left)))
        self.tries_left = tries_left


class PINBlocked(CardError):
    """No tries are left. `by_this_try` is True where the try just made was the last one."""

    def __init__(self, *, by_this_try: bool | None = None) -> None:
        super().__init__("PIN blocked")
        self.by_this_try = by_this_try


class PINOutcomeUnknown(CardError):
    """The PIN was on its way and no verdict came back: whether a try was used, only the counter can tell."""


class PINChangeRefused(CardError):
    """The card verified the old PIN or password and refused the new one: the old one still holds."""


class PINChangeOutcomeUnknown(CardError):
    """The new PIN or password was on its way and no answer came back: the old one holds, or the new one does."""


class NoSignCertificate(CardError):
    """The card carries no signing certificate (署名用電子証明書): not everybody has one, children for instance."""


class SignPasswordFormatInvalid(CardError):
    """Not 6 to 16 ASCII letters and digits; found before the card was touched, so no try was used."""


class SignPasswordRequired(CardError):
    """The card wants the signing password before this step (status 6982)."""


class SignPasswordRejected(CardError):
    """Wrong signing password. `tries_left` is what the card reported, None where it reported nothing."""

    def __init__(self, tries_left: int | None = None) -> None:
        left = "not reported" if tries_left is None else str(tries_left)
        super().__init__(f"signing password rejected, tries left: {left}")
        self.tries_left = tries_left


class SignPasswordBlocked(CardError):
    """No tries for the signing password are left. `by_this_try` is True where the try just made was the last one."""

    def __init__(self, *, by_this_try: bool | None = None) -> None:
        super().__init__("signing password blocked")
        self.by_this_try = by_this_try


class SignPasswordOutcomeUnknown(CardError):
    """The signing password was on its way and no verdict came back: only the counter can tell about the try."""


class HPKICardGiven(CardError):
    """The card is an HPKI card (保健医療福祉分野PKI), and only a MyNumber card can do what was asked for."""


class HPKIPINFormatInvalid(CardError):
    """Not what an HPKI card states of its PIN; found before the PIN was sent, so no try was used."""


class HPKIPINRejected(CardError):
    """Wrong PIN of an HPKI card. `tries_left` is what the card reported, None where it reported nothing."""

    def __init__(self, tries_left: int | None = None) -> None:
        left = "not reported" if tries_left is None else str(tries_left)
        super().__init__(f"HPKI PIN rejected, tries left: {left}")
        self.tries_left = tries_left


class HPKIPINBlocked(CardError):
    """No tries are left for an HPKI card's PIN. `by_this_try` is True where the try just made was the last one."""

    def __init__(self, *, by_this_try: bool | None = None) -> None:
        super().__init__("HPKI PIN blocked")
        self.by_this_try = by_this_try


class CardFileInvalid(CardError):
    """A software card's file cannot be used: too large, not JSON, or not a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What one language says: a title, what happened, and the one thing to do next."""

    title: str
    text: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row of errors.toml. `id` is the screen's, `http` the page's status; `oauth` is empty where none applies."""

    code: str
    id: str
    exception: str
    http: int
    oauth: str
    pin_try_used: PINTryUsed
    cause: str
    ja: Wording
    en: Wording


@cache
def catalogue() -> Mapping[str, Answer]:
    """Every row of errors.toml by exception name. Raises where a row is incomplete: a faulty one stops the start."""
    rows = tomllib.loads(resources.files("cardreader").joinpath("errors.toml").read_text(encoding="utf-8"))["error"]
    answers = [Answer(**{**row, "ja": Wording(**row["ja"]), "en": Wording(**row["en"])}) for row in rows]
    return {answer.exception: answer for answer in answers}


def answer_for(error: CardError) -> Answer:
    """The row for `error`. Raises KeyError where the catalogue has none: our fault, not the cardholder's."""
    return catalogue()[type(error).__name__]


def leaves(root: type[CardError] = CardError) -> Iterator[type[CardError]]:
    """The errors that are really raised: every class under `root` that has no subclass."""
    for child in root.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        else:
            yield child


# The agent's own errors follow.


class AgentError(CardError):
    """Root of what the agent refuses before, beside or after the card's own errors."""


class SiteUnknown(AgentError):
    """The browser states an origin that the trust file does not list, or states none."""


class HostUnknown(AgentError):
    """The request was addressed to another host name: DNS rebinding, or a mistaken proxy."""


class NotANavigation(AgentError):
    """The request came from a script, a frame or an image, not from a page the person opened."""


class PageUnknown(AgentError):
    """No such page, or not by this method."""


class RequestTooLarge(AgentError):
    """The form is larger than any card request."""


class RequestMalformed(AgentError):
    """The card request is not exactly what its format says."""


class RequestSignatureInvalid(AgentError):
    """The card request or its statement of keys is not signed by whom the trust file names."""


class StatementExpired(AgentError):
    """The statement of request keys was not valid when the request was made, or is long past."""


class StatementRolledBack(AgentError):
    """The statement of request keys is older than one already seen from this broker."""


class ActionUnknown(AgentError):
    """The request names an act that this agent has no words for, so that nobody could consent to it."""


class RequestReplayed(AgentError):
    """This card request was already answered or given up."""


class AgentBusy(AgentError):
    """Another request, or another step of the same one, is under way."""


class PageStale(AgentError):
    """The page's form belongs to no open request: an old page, a second window, or a forged form."""


class HoldExpired(AgentError):
    """The PIN did not come in time, and the card was let go."""


class LoginCancelled(AgentError):
    """The person chose to stop."""


class LastTryNotConfirmed(AgentError):
    """So few tries are left that a person must say so first. `tries_left` is None where the card does not tell."""

    def __init__(self, tries_left: int | None) -> None:
        super().__init__("too few tries left: " + ("unknown" if tries_left is None else str(tries_left)))
        self.tries_left = tries_left


class CertificateUnsuitable(AgentError):
    """What lies in the card's place for the user-authentication certificate is not one."""


class CertificateExpired(AgentError):
    """The certificate was outside its period at the broker's time of the request. `ended_on`: ISO date in Japan."""

    def __init__(self, ended_on: str) -> None:
        super().__init__("certificate outside its period")
        self.ended_on = ended_on


class HierarchyForeign(AgentError):
    """No CA that the broker accepts has issued this certificate."""


class LinkCardChanged(AgentError):
    """A link's second reading is of another card than its first: nothing was signed, and no PIN was asked for."""


class LinkingOff(AgentError):
    """Nothing is bound at a terminal that everybody uses, unless its operator has allowed it."""


class SignatureMismatch(AgentError):
    """The card's signature does not fit the certificate that was read: another card, or a faulty reader."""


class PasswordEntryMissing(AgentError):
    """Documents are to be signed, and this machine has no means outside the browser to type the signing password."""


class SigningOff(AgentError):
    """Documents are to be signed, and this terminal, which everybody uses, is not set up for that (design 4.14)."""


class SigningWayMissing(AgentError):
    """Documents are to be signed, and the way to this card (a PKCS #11 module) leads to its other key only."""


class SignLastTryNotConfirmed(AgentError):
    """As LastTryNotConfirmed, for the signing password."""

    def __init__(self, tries_left: int | None) -> None:
        super().__init__("signing password: last try not confirmed")
        self.tries_left = tries_left


class SignCertificateUnsuitable(AgentError):
    """The signing certificate cannot be read, or its key or key usage is not that of one."""


class SignCertificateExpired(AgentError):
    """The signing certificate was outside its period at the broker's time. `ended_on`: ISO date in Japan."""

    def __init__(self, ended_on: str) -> None:
        super().__init__("signing certificate outside its period")
        self.ended_on = ended_on


class HPKICertificateUnsuitable(AgentError):
    """What lies in an HPKI card's place for the certificate for authentication is not one."""


class HPKICertificateExpired(AgentError):
    """An HPKI card's certificate was outside its period at the broker's time. `ended_on`: ISO date in Japan."""

    def __init__(self, ended_on: str) -> None:
        super().__init__("HPKI certificate outside its period")
        self.ended_on = ended_on


class AgentFault(AgentError):
    """A mistake of this program."""
