"""What the card answered to a login's request: everything local is judged first, the network last; the result waits.

Nothing is released here: that is `login.finish`, for the one browser that may have it (design 4.3).
"""

from __future__ import annotations

import base64
import binascii
from base64 import b64decode
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from broker.accounts.credential import CredentialKey
from broker.accounts.lifecycle import CertificateName
from broker.audit.entry import Entry, Event
from broker.audit.receipt import CardEvidence, Decision, Kind
from broker.errors import (
    AnswerExpired,
    AnswerMalformed,
    AnswerReplayed,
    BrokerError,
    InteractionUnknown,
    InvalidToken,
    RawDigestRefused,
)
from broker.flows import documents_to_sign, kiosks, licences, link_alarm, linking
from broker.flows.documents_to_sign import SignedDocuments
from broker.flows.evidence import decision, prove_unrevoked
from broker.flows.identity_claims import claims_of
from broker.flows.kept_action import opened
from broker.flows.login_ports import CardAnswer, CardTransaction
from broker.flows.notices import ask_for_notices
from broker.flows.ports import Ports
from broker.flows.renewal import known_predecessor, one_of_one_person
from broker.flows.secret import digest, mint
from broker.flows.signer import prove_signer, signed_documents, trusted_signer
from broker.ids import Secret, TransactionID
from broker.jose import b64url_decode, compact_json, parse_json
from broker.jpki import challenge as card_challenge
from broker.jpki.attributes import holder_attributes
from broker.jpki.certificate import parse
from broker.jpki.clock import certain, check_clock
from broker.jpki.cms import with_certificate
from broker.jpki.path import validate_path
from broker.jpki.profile import DIGITAL_SIGNATURE, PLASTIC, profile_for
from broker.jwe import decrypt_compact
from broker.oidc import licence
from broker.oidc import proof as proofs
from broker.oidc.client import Right
from broker.oidc.proof import IdentityProof

ANSWER_FORMAT = "jpki-fed:1"
MAX_ANSWER = 64 * 1024
"""Octets of the envelope: two certificates, and a CMS for each of ten documents."""
_KINDS: Final = {
    documents_to_sign.Kind.PROOF: Kind.PROOF,
    documents_to_sign.Kind.SIGN: Kind.SIGN,
    documents_to_sign.Kind.MANDATE: Kind.SIGN,
    documents_to_sign.Kind.STATEMENT: Kind.SIGN,
}
"""What a receipt says of it: everything else is a login."""


def receive(transaction_id: TransactionID, answer: str, *, ports: Ports) -> Secret:
    """Judge the agent's answer and keep it for its own browser; answers the return code.

    Raises CardAnswerError, CertificateError or ClockBehind, each with an audit row, or StoreUnavailable.
    """
    now = ports.clock()
    with ports.store.transaction() as tx:
        transaction, mark = tx.cards.get(transaction_id), tx.clock.mark()
        interaction = None if transaction is None else tx.interactions.get(transaction.interaction_id, now=now)
        client = None if transaction is None else tx.clients.get(transaction.client_id)
    if transaction is None:
        raise InteractionUnknown("no such card transaction")
    alone = client is not None and client.linked_id_unique_person and transaction.tag == card_challenge.LINK_COMMIT
    offline = interaction is not None and "offline_access" in interaction.request.scope
    aml = client is not None and Right.JP_AML in client.rights
    transaction = opened(transaction, ports=ports)
    try:
        check_clock(now, mark=mark)
        judged = _judge(transaction, answer, offline=offline, aml=aml, alone=alone, now=now, ports=ports)
    except BrokerError as refusal:
        with ports.store.transaction() as tx:
            tx.audit.append(_refusal(transaction, refusal, now))
            if interaction is not None:
                link_alarm.stumbled(tx, interaction, refusal, now=now)
        raise
    return_code = mint(ports.entropy)
    with ports.store.transaction() as tx:
        first = tx.cards.answer(transaction_id, judged, return_digest=digest(return_code))
        if judged.revocation_this_update is not None:
            tx.clock.raise_to(certain(now, witness=judged.revocation_this_update))
        if not first:
            tx.audit.append(_refusal(transaction, AnswerReplayed(), now))
    if not first:
        raise AnswerReplayed("this transaction has its answer")
    return return_code


def _refusal(transaction: CardTransaction, refusal: BrokerError, now: datetime) -> Entry:
    replayed = isinstance(refusal, AnswerReplayed)
    return Entry(
        at=now,
        event=Event.ANSWER_REPLAYED if replayed else Event.LOGIN_REFUSED,
        client_id=transaction.client_id,
        reference=transaction.transaction_id,
        detail={"error": type(refusal).__name__},
    )


def _judge(
    transaction: CardTransaction, answer: str, *, offline: bool, aml: bool, alone: bool, now: datetime, ports: Ports
) -> CardAnswer:
    """Everything local first, the network last; signature and path before revocation (design 4.5).

    The auth key's frame comes before the 署名用 key's documents: a document alone says nobody is here (design 4.4).
    """
    if now >= transaction.expires_at:
        raise AnswerExpired("later than 300 s")
    if not transaction.answer_key:
        raise AnswerReplayed("this transaction has its answer")
    certificate_der, signature, hints, envelope = _open_answer(transaction, answer, ports)
    kiosk_id = kiosks.answered_at(transaction, envelope, ports=ports)
    frame = _frame(transaction, certificate_der, ports=ports)
    if transaction.tag == card_challenge.PROFESSION:
        return _judge_licence(transaction, certificate_der, frame, signature, hints, now=now, ports=ports)
    profile = profile_for(parse(certificate_der), ports.policy.profiles)
    trusted = validate_path(certificate_der, anchors=ports.policy.anchors, at=now, profile=profile)
    card_challenge.verify_signature(trusted.spki, frame, signature, algorithm="RS256")
    asked = documents_to_sign.read(transaction.action)
    signed = documents_to_sign.judge(asked, envelope, now=now)
    _check_never_raw(frame, asked, signed, ports=ports)
    signer = None if signed is None else trusted_signer(signed, beside=trusted, now=now, ports=ports)
    holder = holder_attributes(signer) if signer is not None and asked.proved else None
    key = CredentialKey(
        issuer_key_hash=trusted.issuer_key_hash,
        serial_fingerprint=ports.keys.serial_fingerprint(trusted.issuer_key_hash, trusted.serial),
    )
    proved = prove_unrevoked(trusted, key, now=now, ports=ports)
    ask_for_notices(trusted, key, ports=ports)
    name = CertificateName(issuer_key_hash=trusted.issuer_key_hash, serial=trusted.serial)
    predecessor = known_predecessor(name, key, ports=ports)
    proof = None
    decisions: tuple[Decision, ...] = (decision(profile, trusted, proved, now=now),)
    if signed is not None and signer is not None:
        signed, signer_proved = prove_signer(signed, signer, beside=trusted, now=now, ports=ports)
        decisions = (*decisions, decision(DIGITAL_SIGNATURE, signer, signer_proved, now=now))
        if holder is not None:
            claims = claims_of(holder, asked.proved, now=now)
            proof = IdentityProof(
                claims=claims,
                proved_at=now,
                one_transaction=signed.one_transaction,
                jp_aml=aml and asked.signs_clients_own,
            )
    context = transaction.interaction_id.encode()
    return CardAnswer(
        key=key,
        serial_sealed=ports.keys.seal(_serial_bytes(trusted.serial), context=key.serial_fingerprint),
        kind=trusted.kind,
        not_after=trusted.not_after,
        answered_at=now,
        pin_entry=hints[0],
        reader_kind=hints[1],
        revocation_source=proved.address,
        revocation_this_update=proved.this_update,
        evidence=CardEvidence(
            kind=Kind.LOGIN if asked.kind is None else _KINDS[asked.kind],
            transaction_id=transaction.transaction_id,
            tag=transaction.tag,
            action=transaction.action,
            frame=frame,
            decisions=decisions,
            documents=() if signed is None else tuple(signed_documents(asked, signed)),
        ).to_json(),
        certificate_sealed=ports.keys.seal(certificate_der, context=context)
        if (offline and kiosk_id is None) or predecessor is not None
        else None,
        predecessor=predecessor,
        signed_sealed=None if signed is None else ports.keys.seal(signed.to_json(), context=context),
        proof_sealed=None if proof is None else ports.keys.seal(proofs.to_json(proof), context=context),
        frame_sealed=_frame_kept(transaction, frame, certificate_der, signature, ports=ports),
        kiosk_id=kiosk_id,
        unique_person=alone and trusted.kind == PLASTIC and one_of_one_person(name, key, ports=ports),
    )


def _judge_licence(
    transaction: CardTransaction,
    certificate: bytes,
    frame: bytes,
    signature: bytes,
    hints: tuple[str, str],
    *,
    now: datetime,
    ports: Ports,
) -> CardAnswer:
    """The same for an HPKI card. No MyNumber certificate passes here, and no HPKI one elsewhere: the paths differ."""
    card_challenge.verify_signature(parse(certificate).spki, frame, signature, algorithm="RS256")
    _check_never_raw(frame, documents_to_sign.read(transaction.action), None, ports=ports)
    judged = licences.judge(certificate, now=now, ports=ports)
    context = transaction.interaction_id.encode()
    serial = _serial_bytes(judged.trusted.serial)
    return CardAnswer(
        key=judged.key,
        serial_sealed=ports.keys.seal(serial, context=judged.key.serial_fingerprint),
        kind=judged.trusted.kind,
        not_after=judged.trusted.not_after,
        answered_at=now,
        pin_entry=hints[0],
        reader_kind=hints[1],
        revocation_source=judged.proved.address,
        revocation_this_update=judged.proved.this_update,
        evidence=CardEvidence(
            kind=Kind.LOGIN,
            transaction_id=transaction.transaction_id,
            tag=transaction.tag,
            action=transaction.action,
            frame=frame,
            decisions=(judged.decision(now=now),),
        ).to_json(),
        proof_sealed=ports.keys.seal(licence.to_json(judged.licence), context=context),
    )


def _frame(transaction: CardTransaction, certificate: bytes, *, ports: Ports) -> bytes:
    """What the card must have signed, from our own store alone (design 4.4)."""
    return card_challenge.frame(
        card_challenge.CardChallenge(
            tag=transaction.tag,
            issuer=ports.policy.issuer,
            origin=ports.policy.origin,
            request_key_thumbprint=transaction.request_key_thumbprint,
            nonce=transaction.nonce,
            client_id=transaction.client_id,
            transaction=transaction.transaction_id,
            action=transaction.action,
            previous=linking.previous_of(transaction, ports=ports),
            issued_at_ms=int(transaction.issued_at.timestamp()) * 1000,
        ),
        certificate,
    )


def _frame_kept(
    transaction: CardTransaction, frame: bytes, certificate: bytes, signature: bytes, *, ports: Ports
) -> bytes | None:
    """What a later step has to have of the auth key's signature, sealed; None where no step follows."""
    context = linking.frame_context(transaction)
    if transaction.tag == card_challenge.LINK_START:
        return ports.keys.seal(frame, context=context)
    if transaction.tag not in {card_challenge.MANDATE, card_challenge.ACCEPT}:
        return None
    kept = {"frame": frame, "certificate": certificate, "signature": signature}
    told = {name: base64.b64encode(value).decode() for name, value in kept.items()}
    return ports.keys.seal(compact_json({**told, "action": transaction.action}), context=context)


def _check_never_raw(
    frame: bytes, asked: documents_to_sign.Asked, signed: SignedDocuments | None, *, ports: Ports
) -> None:
    """A client that may send digests of its own to a card must not have chosen that of a frame, or of attributes that
    name a document, and bring the signature here afterwards (design 4.12). Raises RawDigestRefused.
    """
    made = [frame]
    if signed is not None:
        made += [
            with_certificate(b64url_decode(document["attributes"]), signed.certificate)
            for document in asked.documents
            if "attributes" in document
        ]
    with ports.store.transaction() as tx:
        if tx.raw_digests.any_of([sha256(each).digest() for each in made]):
            raise RawDigestRefused("what was signed has a digest that once went to a card raw")


def _serial_bytes(serial: int) -> bytes:
    return serial.to_bytes((serial.bit_length() + 8) // 8, "big")


def _open_answer(
    transaction: CardTransaction, answer: str, ports: Ports
) -> tuple[bytes, bytes, tuple[str, str], dict[str, Any]]:
    scalar = int.from_bytes(
        ports.keys.unseal(transaction.answer_key, context=transaction.transaction_id.encode()), "big"
    )
    try:
        key = ec.derive_private_key(scalar, ec.SECP256R1())
        envelope = parse_json(decrypt_compact(answer, key=key, limit=MAX_ANSWER), limit=MAX_ANSWER)
        if envelope.get("format") != ANSWER_FORMAT or envelope.get("algorithm") != "RS256":
            raise AnswerMalformed("another format or algorithm")
        certificate = b64decode(_text(envelope, "unverified_certificate", 12_000), validate=True)
        signature = b64decode(_text(envelope, "signature", 2_000), validate=True)
    except (InvalidToken, binascii.Error) as malformed:
        raise AnswerMalformed("not the envelope an agent makes") from malformed
    return certificate, signature, (_text(envelope, "pin_entry", 16), _text(envelope, "reader_kind", 32)), envelope


def _text(envelope: dict[str, object], name: str, longest: int) -> str:
    value = envelope.get(name)
    if not isinstance(value, str) or len(value) > longest or not value.isascii() or not value.isprintable():
        raise AnswerMalformed(f"{name} is missing or too long")
    return value
