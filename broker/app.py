"""The front door: joins settings, storage, keys, network and pages into one WSGI application."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from flask import Blueprint, Flask

from broker.audit.policy import read_policy
from broker.delegation import entity
from broker.delegation.entity import Entities
from broker.delegation.policy import Policy as ProcurementPolicy
from broker.delegation.policy import from_json
from broker.errors import CertificateMalformed, CheckpointInvalid, PolicyInvalid, SettingsError
from broker.flows.licence_ports import Healthcare
from broker.flows.ports import Policy, Ports
from broker.flows.register_ports import Register
from broker.flows.revocation_ports import CorrespondenceSource, RevocationSource
from broker.jobs import start_embedded
from broker.jpki.certificate import issuer_key_hash, parse
from broker.jpki.foreign import MAX_EVIDENCE, MAX_INTERMEDIATES, TEST_HIERARCHY
from broker.jpki.profile import Profile, accepted_profiles, hierarchy
from broker.keys.live import open_keys
from broker.keys.pkcs11 import TokenURI
from broker.network.client_keys import PublishedKeys
from broker.network.commercial_registration import Registrar
from broker.network.configuration import Platform, RevocationPolicy, Sources, read_foreign_lists, read_sources
from broker.network.correspondence import CorrespondenceGateway
from broker.network.crl import REFRESH_AFTER, CRLSource
from broker.network.documents import GuardedDocuments
from broker.network.foreign_lists import ForeignLists
from broker.network.logout import GuardedLogouts
from broker.network.ocsp import FirstProof, OCSPSource
from broker.network.outbound import OutboundGuard
from broker.network.pings import GuardedPings
from broker.network.platform import PlatformOperator
from broker.network.seal import read_seal
from broker.network.witness import GuardedWitnesses
from broker.oidc.client import SecurityProfile
from broker.settings import Settings, refuse_plain_http
from broker.storage.engine import open_engine
from broker.storage.indexes import IndexFolder
from broker.storage.migrations import check as check_revision
from broker.storage.store import SQLStore
from broker.web import register
from broker.web.settings import Operator, WebSettings


def create_app(settings: Settings) -> Flask:
    """The production application. Raises SettingsError, StoreUnavailable."""
    refuse_plain_http(settings)
    return mount(settings, join(settings, guard=OutboundGuard()))


def mount(settings: Settings, ports: Ports, *, trial_door: Blueprint | None = None) -> Flask:
    """Put the pages and endpoints in front of `ports`, and start the timetable if it is to run inside.

    `trial_door` is a second way in for the sandbox, whose template DOOR.html stands on the login page (DOOR is its
    name). Raises SettingsError where there is one beside any anchor that is not JPKI-TEST.
    """
    if trial_door is not None and not for_trial_only(ports.policy.anchors):
        raise SettingsError("the test door stays shut beside anchors that are not JPKI-TEST")
    app = Flask("broker.web", static_folder=None)
    register(
        app,
        ports,
        web=WebSettings(
            secure=settings.secure,
            help_url=settings.help_url or None,
            operator=Operator(
                name=settings.operator,
                name_en=settings.operator_en,
                phone=settings.contact_phone,
                mail=settings.contact_mail,
                hours=settings.contact_hours,
                hours_en=settings.contact_hours_en,
                procedures_url=settings.procedures_url,
            ),
            default_language=settings.default_language,
            client_certificate_header=settings.client_certificate_header,
            client_address_header=settings.client_address_header,
            takes_turns=settings.database_url.startswith("sqlite"),
            trial_door="" if trial_door is None else f"{trial_door.name}.html",
        ),
    )
    if trial_door is not None:
        app.register_blueprint(trial_door)
    if settings.embedded_jobs:
        start_embedded(ports)
    return app


def join(settings: Settings, *, guard: OutboundGuard, refresh_after: timedelta = REFRESH_AFTER) -> Ports:
    """Everything a flow is given; a revocation list older than `refresh_after` is fetched anew at its next use.

    Raises SettingsError, StoreUnavailable.
    """
    anchors = read_anchors(settings.anchors)
    issuers = tuple(issuer_key_hash(anchor) for anchor in anchors)
    sign_anchors = read_sign_anchors(settings, beside=anchors)
    profiles = read_profiles(settings)
    check_revision(settings.database_url)
    store = SQLStore(open_engine(settings.database_url))
    token = TokenURI.parse(settings.key_token) if settings.key_token else None
    keys = open_keys(settings.key_directory, settings.key_passphrase, token=token, clock=now)
    if keys.issuer != settings.issuer:
        raise SettingsError(f"the keys belong to {keys.issuer}, not to {settings.issuer}")
    sources = read_sources(settings.crl_sources, guard, anchors=(*anchors, *sign_anchors))
    lists = CRLSource(
        sources.lists,
        IndexFolder(settings.revocation_folder),
        store,
        now,
        anchors=(*anchors, *sign_anchors),
        refresh_after=refresh_after,
    )
    documents = GuardedDocuments(guard)
    return Ports(
        policy=Policy(
            issuer=settings.issuer,
            anchors=anchors,
            accepted_issuers=issuers,
            sign_anchors=sign_anchors,
            sign_issuers=tuple(issuer_key_hash(anchor) for anchor in sign_anchors),
            agent_origins=settings.agent_origins,
            crl_max_age=settings.crl_max_age,
            profiles=profiles,
            client_anchors=read_client_anchors(settings),
            client_certificates=bool(settings.client_certificate_header),
            login_starts=settings.login_starts,
            login_receipts_kept=timedelta(days=settings.login_receipt_days),
            receipts_kept=timedelta(days=settings.receipt_days),
            requires_dpop_nonce=settings.dpop_nonces,
            mtls_origin=settings.mtls_origin,
            loopback_clients=guard.allow_loopback_http,
            open_registration=SecurityProfile(settings.open_registration) if settings.open_registration else None,
            approves_sectors=settings.approve_sectors,
            front_channel_logout=settings.front_channel_logout,
            procuring_entities=read_procuring_entities(settings),
        ),
        store=store,
        keys=keys,
        revocation=_decided_by(sources, lists, guard),
        clock=now,
        entropy=os.urandom,
        documents=documents,
        logout_receivers=GuardedLogouts(guard),
        client_pings=GuardedPings(guard),
        client_keys=PublishedKeys(documents, now),
        correspondence=_corresponding(settings, sources.platform, guard),
        healthcare=read_healthcare(settings, guard, beside=anchors, refresh_after=refresh_after),
        register=read_register(settings, guard),
        seal=read_seal(Path(settings.seal), guard, now) if settings.seal else None,
        corporations=read_registrar(settings, guard),
        authorities=read_authority_policies(settings),
        notices=PlatformOperator(sources.platform, guard, now, os.urandom)
        if sources.platform is not None and sources.platform.notices
        else None,
    )


def _corresponding(settings: Settings, platform: Platform | None, guard: OutboundGuard) -> CorrespondenceSource | None:
    """Who is asked for the old-new mapping: one, or nobody."""
    if platform is None or not platform.replacements:
        return CorrespondenceGateway(settings.correspondence_url, guard, now) if settings.correspondence_url else None
    if settings.correspondence_url:
        raise SettingsError("correspondence_url: the platform operator is asked for the mapping (crl_sources)")
    return PlatformOperator(platform, guard, now, os.urandom)


def _decided_by(sources: Sources, lists: CRLSource, guard: OutboundGuard) -> RevocationSource:
    """What the operator's policy asks, and in which order."""
    match sources.policy:
        case RevocationPolicy.CRL:
            return lists
        case RevocationPolicy.OCSP:
            return OCSPSource(sources.responders, guard, now, os.urandom)
        case RevocationPolicy.OCSP_THEN_CRL:
            return FirstProof(OCSPSource(sources.responders, guard, now, os.urandom), lists)
        case RevocationPolicy.PLATFORM if sources.platform is not None:
            return PlatformOperator(sources.platform, guard, now, os.urandom)
        case RevocationPolicy.PLATFORM:
            raise SettingsError("crl_sources: policy platform needs a source of type platform")


def read_healthcare(
    settings: Settings, guard: OutboundGuard, *, beside: tuple[bytes, ...], refresh_after: timedelta = REFRESH_AFTER
) -> Healthcare | None:
    """The healthcare PKI whose cards log in; None where no authority of it is set.

    Raises SettingsError: no root, a root of a test beside production anchors or the other way round, or no revocation
    list for one of the authorities.
    """
    if not settings.hpki_authorities:
        return None
    if not settings.hpki_anchors or not settings.hpki_crl_sources:
        raise SettingsError("hpki_authorities: hpki_anchors and hpki_crl_sources go with it")
    anchors = _certificates(Path(settings.hpki_anchors), "hpki_anchors")
    issuers = _certificates(Path(settings.hpki_authorities), "hpki_authorities")
    if len(issuers) > MAX_INTERMEDIATES:
        raise SettingsError(f"hpki_authorities: at most {MAX_INTERMEDIATES}")
    try:
        testing = {hierarchy(parse(anchor)) == TEST_HIERARCHY for anchor in anchors}
    except CertificateMalformed as wrong:
        raise SettingsError(f"hpki_anchors: {wrong}") from wrong
    if testing != {for_trial_only(beside)}:
        raise SettingsError("hpki_anchors: authorities of production and of a test never mix")
    sources = read_foreign_lists(Path(settings.hpki_crl_sources), guard, authorities=(*anchors, *issuers))
    return Healthcare(
        anchors=anchors,
        issuers=issuers,
        issuer_hashes=tuple(issuer_key_hash(issuer) for issuer in issuers),
        lists=ForeignLists(sources, now, refresh_after=refresh_after),
    )


def _certificates(path: Path, setting: str) -> tuple[bytes, ...]:
    try:
        read = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as unreadable:
        raise SettingsError(f"{setting}: {path.name} is no PEM file of certificates") from unreadable
    return tuple(each.public_bytes(Encoding.DER) for each in read)


def read_register(settings: Settings, guard: OutboundGuard) -> Register | None:
    """Who witnesses the register of mandates; None where no register is kept.

    Raises SettingsError: an unreadable policy, a witness without an address, or, outside the sandbox, none asked for.
    """
    if not settings.register_policy:
        return None
    try:
        policy = read_policy(Path(settings.register_policy).read_bytes())
    except (OSError, CheckpointInvalid) as wrong:
        raise SettingsError(f"register_policy: {wrong}") from wrong
    if any(not witness.url for witness in policy.witnesses):
        raise SettingsError("register_policy: every witness needs the address where it takes checkpoints")
    if policy.satisfied_by(()) and not guard.allow_loopback_http:
        raise SettingsError(
            "register_policy: a quorum of no witness proves nothing; name at least one of another house"
        )
    return Register(policy=policy, witnesses=GuardedWitnesses(guard=guard))


def read_procuring_entities(settings: Settings) -> Entities:
    """Those that are listed. Raises SettingsError."""
    if not settings.procuring_entities:
        return entity.NONE_LISTED
    try:
        return entity.read(Path(settings.procuring_entities).read_bytes())
    except (OSError, PolicyInvalid) as wrong:
        raise SettingsError(f"procuring_entities: {wrong}") from wrong


def read_authority_policies(settings: Settings) -> tuple[ProcurementPolicy, ...]:
    """The policies that officers may choose, by their file's name. Raises SettingsError, naming the file."""
    if not settings.authority_policies:
        return ()
    read = []
    for path in sorted(Path(settings.authority_policies).glob("*.json")):
        try:
            read.append(from_json(path.read_bytes()))
        except (OSError, PolicyInvalid) as wrong:
            raise SettingsError(f"authority_policies: {path.name}: {wrong}") from wrong
    if not read or len({each.authority for each in read}) != len(read):
        raise SettingsError("authority_policies: no policies in that folder, or two of one authority")
    return tuple(read)


def read_registrar(settings: Settings, guard: OutboundGuard) -> Registrar | None:
    """Who states corporations (商業登記); None where its lists are not named. Raises SettingsError."""
    if not settings.commercial_registration_lists:
        return None
    if not settings.commercial_registration_anchors:
        raise SettingsError("commercial_registration_lists: of use only with commercial_registration_anchors")
    anchors = read_anchors(Path(settings.commercial_registration_anchors), "commercial_registration_anchors")
    lists = settings.commercial_registration_lists
    if len(lists) > MAX_EVIDENCE or not all(url.startswith("https://") or guard.allow_loopback_http for url in lists):
        raise SettingsError(f"commercial_registration_lists: at most {MAX_EVIDENCE} https addresses")
    return Registrar(anchors=anchors, lists=lists, max_age=settings.crl_max_age, guard=guard, clock=now)


def now() -> datetime:
    """The only clock."""
    return datetime.now(UTC)


def read_anchors(path: Path, setting: str = "anchors") -> tuple[bytes, ...]:
    """The CA certificates people's certificates must lead to. Raises SettingsError: none, or two hierarchies mixed."""
    try:
        anchors = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as unreadable:
        raise SettingsError(f"{setting}: {path.name} is no PEM file of certificates") from unreadable
    read = tuple(anchor.public_bytes(Encoding.DER) for anchor in anchors)
    _one_hierarchy(read, setting)
    return read


def read_sign_anchors(settings: Settings, *, beside: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The authorities of 署名用 certificates; none where none are set, and then nobody proves who they are here.

    Raises SettingsError, also for another hierarchy than that of the anchors `beside`.
    """
    if not settings.sign_anchors:
        return ()
    read = read_anchors(Path(settings.sign_anchors), "sign_anchors")
    _one_hierarchy((*beside, *read), "sign_anchors")
    return read


def read_authorities(settings: Settings) -> tuple[bytes, ...]:
    """Every CA of residents' certificates, of both kinds: whose revocation lists are kept. Raises SettingsError."""
    anchors = read_anchors(settings.anchors)
    return (*anchors, *read_sign_anchors(settings, beside=anchors))


def _one_hierarchy(anchors: tuple[bytes, ...], setting: str) -> None:
    try:
        mixed = len({hierarchy(parse(anchor)) for anchor in anchors}) > 1
    except CertificateMalformed as wrong:
        raise SettingsError(f"{setting}: {wrong}") from wrong
    if mixed:
        raise SettingsError(f"{setting}: JPKI and JPKI-TEST never mix")


def read_client_anchors(settings: Settings) -> tuple[bytes, ...]:
    """The authorities of `tls_client_auth`; none where none are set, and then nobody is let in by a certificate of one.

    Raises SettingsError, also for the authority of people's cards: a resident is no client.
    """
    if not settings.client_ca:
        return ()
    path = Path(settings.client_ca)
    try:
        authorities = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as unreadable:
        raise SettingsError(f"client_ca: {path.name} is no PEM file of certificates") from unreadable
    people = {issuer_key_hash(anchor) for anchor in read_anchors(settings.anchors)}
    read = tuple(authority.public_bytes(Encoding.DER) for authority in authorities)
    if any(issuer_key_hash(authority) in people for authority in read):
        raise SettingsError("client_ca: an authority of residents' certificates issues to no client")
    return read


def read_profiles(settings: Settings) -> tuple[Profile, ...]:
    """Whose certificates log in. Raises SettingsError."""
    policies: dict[str, str] = {}
    for row in settings.phone_policies:
        kind, equals, policy = row.partition("=")
        if not equals or kind in policies:
            raise SettingsError(f"phone_policies: {row}: kind=policy, each kind once")
        policies[kind] = policy
    try:
        return accepted_profiles(settings.accepted_kinds, policies)
    except ValueError as wrong:
        raise SettingsError(str(wrong)) from None


def for_trial_only(anchors: tuple[bytes, ...]) -> bool:
    """May what exists for trying things out be loaded? Only beside JPKI-TEST anchors (design 4.21)."""
    return all(hierarchy(parse(anchor)) == "JPKI-TEST" for anchor in anchors)
