"""One tree of errors. The message is for operators; `broker/errors.toml` says what to tell whom.

Every leaf has a row in the catalogue (a test holds it), so an error can neither reach a page without
words nor reach a client without an OAuth code. What is not in this tree is our own fault: 500.
"""

from __future__ import annotations

from datetime import timedelta


class BrokerError(Exception):
    """Something was refused. Never carries a PIN, serial, subject DN, code or token in its message."""


# --- configuration and operation -------------------------------------------------------------------------------------


class SettingsError(BrokerError):
    """A setting is unknown, missing or unsafe: the process does not start (R10)."""


class StoreUnavailable(BrokerError):
    """The database, disk or key store cannot answer now; nothing was issued (R16)."""


class ClockBehind(BrokerError):
    """This host's clock stands before a moment that has passed for certain: nothing is judged by it."""


class TooManyRequests(BrokerError):
    """Tried more often than allowed (RFC 6585 §4); `retry_after` is how long the limit holds."""

    def __init__(self, message: str, *, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


# --- accounts --------------------------------------------------------------------------------------------------------


class AccountError(BrokerError):
    """Something that cannot be done to, or by, an account as it is."""


class AccountStopped(AccountError):
    """The account was stopped, because a card was lost: nothing is issued until two operators open it again."""


class AccountUnknown(AccountError):
    """No account goes by that number, session or pseudonym."""


class MyPageClosed(AccountError):
    """No session serves the resident's own page here, or the act needs a card that was read a moment ago."""


class SubjectCrossed(AccountError):
    """Something that belongs to another account was about to be shown (R5): our own fault, and an alarm."""


class RecoveryCodeUnknown(AccountError):
    """What was typed is no recovery code, or it was used, or a newer sheet has replaced it."""


class OperatorRefused(AccountError):
    """No such operator, a wrong secret, or the same person twice where two are needed."""


class FieldRefused(AccountError):
    """A box of a form holds what it cannot take; `field` names it and `reason` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


# --- the card's answer -----------------------------------------------------------------------------------------------


class CardAnswerError(BrokerError):
    """What came back from the agent cannot be accepted."""


class InteractionUnknown(CardAnswerError):
    """No such login is open: it ended, ran out of time, or never was."""


class BrowserMismatch(CardAnswerError):
    """The answer came back in a browser that did not start this login (design 4.3, return code)."""


class AnswerReplayed(CardAnswerError):
    """A second result for a transaction that already has one."""


class AnswerExpired(CardAnswerError):
    """The card answered later than 300 seconds after the request, by the broker's clock."""


class AnswerMalformed(CardAnswerError):
    """The answer is not the encrypted envelope the agent makes."""


class SignatureInvalid(CardAnswerError):
    """The signature is not over this transaction's bytes by the certificate's key."""


class DocumentChanged(CardAnswerError):
    """What the 署名用 key signed is not the document that was shown for this transaction."""


class AnswerWithheld(CardAnswerError):
    """The resident gave up at the agent, or the agent met an error it has shown already."""


class SignCertificateMissing(CardAnswerError):
    """The agent found no 署名用 certificate on the card: a child under 15, or one that was never issued."""


class SignPasswordLocked(CardAnswerError):
    """The card's 署名用 password is locked; its PIN for logging in is not."""


class SignPasswordNowhere(CardAnswerError):
    """The device cannot take the 署名用 password: no window, a kiosk, or a way that leads to the other key only."""


class SignCertificateUnfit(CardAnswerError):
    """The agent could not read the 署名用 certificate, or its key is not for signing; nothing was signed."""


# --- jpki ------------------------------------------------------------------------------------------------------------


class CertificateError(BrokerError):
    """The certificate does not prove who holds the card."""


class CertificateMalformed(CertificateError):
    """Not one DER certificate within bounds."""


class CertificateUntrusted(CertificateError):
    """No path to an anchor, another hierarchy, or another profile."""


class CertificateExpired(CertificateError):
    """Outside its validity period."""


class CertificateRevoked(CertificateError):
    """The certification authority revoked it (R12: revoked is sticky)."""


class CertificateRenewing(CertificateError):
    """The certification authority revoked it because another one took its place: a renewal (RFC 5280 §5.3.1)."""


class RevocationUnknown(CertificateError):
    """Nothing proves that the certificate is still good; refused (R11)."""


class CorrespondenceUnknown(CertificateError):
    """J-LIS's old-new mapping cannot be had or contradicts itself; never guessed, no account begun (R19)."""


class JoiningRefused(CertificateError):
    """A second certificate cannot join this account; accounts never merge (design 4.13)."""


class SignCertificateExpired(CertificateError):
    """The 署名用 certificate is outside its validity period."""


class SignCertificateOutdated(CertificateError):
    """The 署名用 certificate ended because name, address, birth date or sex changed (affiliationChanged, art. 12)."""


class SignCertificateRevoked(CertificateError):
    """The 署名用 certificate was revoked, for whatever other reason."""


class SignCertificateRenewing(CertificateError):
    """The 署名用 certificate was revoked because another one took its place (superseded)."""


class SignCertificateOfAnother(CertificateError):
    """J-LIS says that the two certificates of one transaction are not one person's (art. 18-5)."""


# --- jose ------------------------------------------------------------------------------------------------------------


class InvalidToken(BrokerError):
    """A JWS, JWE or JWT that the strict gate refuses."""


# --- network ---------------------------------------------------------------------------------------------------------


class OutboundRefused(BrokerError):
    """An address that we do not call: not https, not public, or not a plain URL (design 4.20)."""


class OutboundFailed(BrokerError):
    """A permitted address gave no usable answer: time, size, status, TLS or connection."""


# --- oidc ------------------------------------------------------------------------------------------------------------


class ProtocolError(BrokerError):
    """An OAuth 2.0 or OpenID Connect rule was broken by a client's request."""


class InvalidRequest(ProtocolError):
    """RFC 6749 §4.1.2.1, §5.2 invalid_request."""


class UnknownClient(ProtocolError):
    """The client or its redirect URI cannot be proved: an error page, never a redirect (RFC 6749 §4.1.2.1)."""


class InvalidClient(ProtocolError):
    """Client authentication failed (RFC 6749 §5.2 invalid_client)."""


class InvalidDPoPProof(ProtocolError):
    """RFC 9449 §5 invalid_dpop_proof: the proof is missing, broken, or not for this request, token or key."""


class UseDPoPNonce(ProtocolError):
    """RFC 9449 §8 use_dpop_nonce: the proof lacks a nonce of ours, or its nonce has run out; the answer brings one."""


class InvalidGrant(ProtocolError):
    """RFC 6749 §5.2 invalid_grant."""


class InvalidScope(ProtocolError):
    """RFC 6749 §4.1.2.1 invalid_scope."""


class InvalidTarget(ProtocolError):
    """RFC 8707 §2 invalid_target: a resource that is malformed, unknown here, or not this client's to ask for."""


class InvalidAuthorizationDetails(ProtocolError):
    """RFC 9396 §5 invalid_authorization_details: an unknown or forbidden type, or fields its type does not allow."""


class ProofNotAllowed(ProtocolError):
    """RFC 6749 §4.1.2.1 invalid_scope: this client may not ask who a resident is (design 4.8, 4.11)."""


class ProofElsewhere(ProtocolError):
    """RFC 6749 §5.2 invalid_scope: a proof of identity needs the card's own page, no device code or CIBA."""


class UnauthorizedClient(ProtocolError):
    """RFC 6749 §4.1.2.1 unauthorized_client."""


class UnsupportedResponseType(ProtocolError):
    """RFC 6749 §4.1.2.1 unsupported_response_type: only `code` is served."""


class UnsupportedGrantType(ProtocolError):
    """RFC 6749 §5.2 unsupported_grant_type."""


class RequestNotSupported(ProtocolError):
    """OIDC Core §3.1.2.6 request_not_supported."""


class RequestURINotSupported(ProtocolError):
    """OIDC Core §3.1.2.6 request_uri_not_supported."""


class LoginRequired(ProtocolError):
    """OIDC Core §3.1.2.6 login_required: prompt=none without a session of this client."""


class ConsentRequired(ProtocolError):
    """OIDC Core §3.1.2.6 consent_required."""


class InteractionRequired(ProtocolError):
    """OIDC Core §3.1.2.6 interaction_required."""


class UnmetAuthenticationRequirements(ProtocolError):
    """OpenID Connect Unmet Authentication Requirements 1.0: an essential acr needs a card that was not shown."""


class AccessDenied(ProtocolError):
    """RFC 6749 §4.1.2.1 access_denied: the resident refused or cancelled."""


class InvalidRedirectURI(ProtocolError):
    """RFC 7591 §3.2.2 invalid_redirect_uri."""


class InvalidClientMetadata(ProtocolError):
    """RFC 7591 §3.2.2 invalid_client_metadata."""


class InvalidRequestObject(ProtocolError):
    """RFC 9101 §7 invalid_request_object."""


class InvalidRequestURI(ProtocolError):
    """RFC 9101 §7 invalid_request_uri."""


class AuthorizationPending(ProtocolError):
    """RFC 8628 §3.5, CIBA Core §11 authorization_pending."""


class SlowDown(ProtocolError):
    """RFC 8628 §3.5, CIBA Core §11 slow_down."""


class InvalidBindingMessage(ProtocolError):
    """CIBA Core §13 invalid_binding_message: too long, or with characters that cannot be seen."""


class EndpointOff(ProtocolError):
    """The operator has not switched on what this address is for."""


class UserCodeUnknown(ProtocolError):
    """The code a person typed is no user code that waits for an answer (RFC 8628 §3.3)."""


class DeviceNumberWrong(ProtocolError):
    """The two digits a person typed are not those on the screen of the device that they are to approve."""


class ExpiredToken(ProtocolError):
    """RFC 8628 §3.5, CIBA Core §11 expired_token: the device code or auth_req_id ran out."""


class InvalidAccessToken(ProtocolError):
    """RFC 6750 §3.1 invalid_token."""


class InsufficientScope(ProtocolError):
    """RFC 6750 §3.1 insufficient_scope."""


class LogoutRefused(ProtocolError):
    """The logout request names an unregistered place to return to, or an id_token_hint that is not ours."""


class FormTokenInvalid(ProtocolError):
    """A page's form came back without the token of its own session (cross-site request)."""


# --- the register ----------------------------------------------------------------------------------------------------


class RegisterError(BrokerError):
    """What was shown of a register of mandates does not prove what it should."""


class ProofInvalid(RegisterError):
    """A Merkle proof does not lead to its root, or is none (RFC 6962 §2.1)."""


class CheckpointInvalid(RegisterError):
    """Not a checkpoint, proof or policy of its format, or not signed by the log or witness that it names (C2SP)."""


class RegisterForked(RegisterError):
    """Two checkpoints of one log cannot both be true: it shrank (`rolled_back`), or it has two pasts."""

    def __init__(self, message: str, *, rolled_back: bool = False) -> None:
        super().__init__(message)
        self.rolled_back = rolled_back


class WitnessMissing(RegisterError):
    """Fewer witnesses than the policy's quorum have seen this state of the log."""


# --- healthcare licences (HPKI) --------------------------------------------------------------------------------------


class LicenceNotAllowed(ProtocolError):
    """The client may not ask for healthcare licences here: no right, no registration, or no HPKI authority is set."""


class LicenceInsufficient(ProtocolError):
    """The HPKI certificate is good and states another licence than the one that was ordered."""


class JointTransactionUnknown(ProtocolError):
    """No such joint transaction of this client: never made, purged, or another client's."""


class JointTransactionOver(ProtocolError):
    """It does not wait for this card: another was first, it ran out, or somebody refused."""


class LicenceRevoked(CertificateError):
    """The authority that issued the HPKI certificate has revoked it."""


class LicenceExpired(CertificateError):
    """The HPKI certificate is outside its validity period."""


class LicenceUntrusted(CertificateError):
    """No accepted HPKI authority stands behind the certificate, or it is none for authentication with a licence."""


# --- signing ---------------------------------------------------------------------------------------------------------


class SigningError(ProtocolError):
    """A document could not be signed, or its signature not be had (design 4.12)."""


class DocumentRefused(SigningError):
    """A document that is not signed here: it cannot be read without guessing, changes itself, or is too large."""


class SignTransactionUnknown(SigningError):
    """No such sign transaction of this client: never made, cancelled, run out, or another client's."""


class SignTransactionOver(SigningError):
    """It was signed already: it is signed once, and can no longer be cancelled."""


class NotSignedYet(SigningError):
    """The result is asked for before the resident has signed."""


class ResultTaken(SigningError):
    """Another access token has fetched this result: it is given to one."""


class SigningNotAllowed(SigningError):
    """The client lacks what signing takes: private_key_jwt, a pushed request, or a right that an operator grants."""


class NoEncryptionKey(SigningError):
    """The client has no key that results could be encrypted to: refused before the resident is asked."""


class RawDigestRefused(SigningError):
    """A signature over a digest that a client once chose counts as nothing else, ever (design 4.12)."""


# --- sealed documents ------------------------------------------------------------------------------------------------


class SealError(BrokerError):
    """A sealed document could not be made; nothing was handed out."""


class RecordUnprintable(SealError):
    """The record cannot be put on paper without guessing: a character in no font, or one that is not seen."""


class SealFailed(SealError):
    """The seal could not be set, or the sealed document does not verify: key, certificate, time stamp or evidence."""


# --- links -----------------------------------------------------------------------------------------------------------


class LinkCardChanged(ProtocolError):
    """A linking read two different cards (R3): nothing was bound."""


class LinkRequestUnknown(ProtocolError):
    """A link_id that never was, has run out, has had its answer, or belongs to another client."""


class LinkedIDRefused(ProtocolError):
    """A linked_id or its label that the client's own pattern or our bounds do not allow."""


class NumberQuarantined(ProtocolError):
    """Twelve digits that could be a 個人番号: not stored, not shown, not passed on (design 4.22)."""


class LinkStateRefused(ProtocolError):
    """A link that is in no state for what was asked of it."""


class LinkConflict(ProtocolError):
    """The number is, or was, another card's, or the card has another number, and the client's never change hands."""


class UniquePersonUnproved(ProtocolError):
    """The client binds one number to one person, and nothing proves that this account is the only one of its person."""


# --- terminals that everybody uses ------------------------------------------------------------------------------------


class KioskUnfit(BrokerError):
    """A terminal that cannot be enrolled as it was described."""


class KioskRefused(CardAnswerError):
    """An answer by a terminal that is not enrolled, was stopped, or did not sign it."""


class KioskActOff(BrokerError):
    """An act that is off at the terminal where it was begun."""


# --- receipts --------------------------------------------------------------------------------------------------------


class ReceiptError(BrokerError):
    """A receipt (証跡) cannot be shown, or is not what it says."""


class ReceiptUnknown(ReceiptError):
    """No receipt of the asking client has that id: it never was, is another client's, or was kept long enough."""


class ReceiptForged(ReceiptError):
    """What is shown as a receipt was altered, or was never one of the issuer's."""


class ReceiptKeyUnknown(ReceiptError):
    """The keys at hand do not have the one that signed the receipt: nothing can be told."""


# --- powers of attorney ----------------------------------------------------------------------------------------------


class DelegationError(BrokerError):
    """A power of attorney (委任) cannot be granted, changed or found."""


class PowerRefused(DelegationError):
    """A power that nobody may grant: `rule` names one of broker.delegation.rules, which has the words, and `where` the
    part of the grant (a path such as powers.0.acts).
    """

    def __init__(self, rule: str, where: str = "") -> None:
        super().__init__(f"{rule} at {where}" if where else rule)
        self.rule = rule
        self.where = where


class DelegationUnknown(DelegationError):
    """No power of attorney goes by that number, or it is none of this person's concern."""


class DelegationStateRefused(DelegationError):
    """What was asked for cannot be done to a power of attorney in the state it is in, or by whoever asked."""


class PolicyInvalid(DelegationError):
    """An officer's policy is not one that the policy root has signed, or says what it cannot say."""


class BundleInvalid(DelegationError):
    """What was handed in for checking is not a bundle or a table of the form that is read."""


class QuestionInvalid(DelegationError):
    """What a power is to be checked for is not said in a form that is read; the message names the part."""
