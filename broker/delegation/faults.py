"""What can be wrong with a sealed document, each fault in one English sentence (design section 5)."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Final


class Fault(StrEnum):
    """Listed from the outside in: the file, its seal, what it carries, who sealed it, when."""

    TOO_LARGE = "the document is larger than is judged here"
    NOT_A_PDF = "the document does not begin as a PDF"
    UNREADABLE = "the document's structure cannot be read"
    ENCRYPTED = "the document is encrypted"
    NO_SIGNATURE = "the document carries no signature"
    MORE_SIGNATURES = "the document carries more than one signature"
    RANGE_WRONG = "the signed range does not fit the document: it was altered, or the signature was wrapped"
    CONTENTS_WRONG = "the place of the signature holds something else as well: the document was altered"
    CONTENT_ALTERED = "the content was altered: it is not what was signed"
    SIGNATURE_WRONG = "the signature does not hold: it was altered, or made with another key"
    ALTERED_AFTER = "the document was altered after it was signed"
    REVISION_ADDED = "a further revision follows the signed one"
    ENVELOPE_WRONG = "the signature is not of the form that is accepted"
    ALGORITHM_WEAK = "the signature uses an algorithm or a key that is not accepted"
    ACTIVE_CONTENT = "the document holds scripts, actions, layers or content from elsewhere"
    FORM_FIELDS = "the document holds form fields beside its signature"
    ANNOTATIONS = "the document holds annotations over its pages"
    NO_RECORD = "the document has no record attached"
    MORE_ATTACHMENTS = "the document has more attached than one record"
    RECORD_UNREADABLE = "the attached record is not JSON of the form that is accepted"
    UNTRUSTED = "the signer's certificate has no path to a trusted anchor"
    NOT_FOR_SIGNING = "the signer's certificate is not one for signing documents"
    EXPIRED = "the signer's certificate had expired"
    NOT_YET_VALID = "the signer's certificate was not yet valid"
    AUTHORITY_EXPIRED = "an authority above the signer was outside its validity period"
    REVOKED = "a certificate on the signer's path was revoked"
    REVOCATION_UNKNOWN = "the document does not prove that the certificates on the signer's path were unrevoked"
    TIME_STAMP_WRONG = "the time stamp does not hold"
    TIME_STAMP_UNTRUSTED = "the time stamp has no path to a trusted anchor that is proved unrevoked"
    TIME_STAMP_EXPIRED = "the time stamp's own certificates have expired: it proves nothing any more"
    SEALED_LATER = "the document was sealed later than the time that is asked about"
    PRINCIPAL_WRONG = "the principal's signature within the record does not hold over the grant"
    UNFINISHED = "the document could not be judged to the end within the limits of time and memory"
    NOT_INSTALLED = "pyHanko is not installed: no document can be judged here"


ALTERED: Final = frozenset(
    {
        Fault.RANGE_WRONG,
        Fault.CONTENTS_WRONG,
        Fault.CONTENT_ALTERED,
        Fault.SIGNATURE_WRONG,
        Fault.ALTERED_AFTER,
        Fault.PRINCIPAL_WRONG,
    }
)
"""Faults of a document that somebody changed, as distinct from one that is old, foreign or of another form."""
AHEAD: Final = timedelta(seconds=60)
"""How far the clock of a time-stamp authority may run before the asker's, without SEALED_LATER."""
