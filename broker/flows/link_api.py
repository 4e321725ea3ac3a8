"""What services do about their links (官民ID連携) from server to server, each by its own key (`private_key_jwt`).

`ask` begins one: the service names its number, and the browser brings the handle to the authorization endpoint, where
the card signs twice (`flows.linking`). Changing widens, so it is asked for alike; ending narrows and needs nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from broker.accounts import individual_number
from broker.accounts.link import REQUEST_LIFETIME, Ending, Link, LinkRequest, LinkState, commitment, masked
from broker.audit.entry import Entry, Event
from broker.errors import (
    BrokerError,
    InvalidRequest,
    LinkedIDRefused,
    LinkStateRefused,
    NumberQuarantined,
    UnauthorizedClient,
)
from broker.flows import links
from broker.flows.call import Call
from broker.flows.client_authentication import AuthenticatedClient, authenticate
from broker.flows.links import Numbered
from broker.flows.ports import Ports, Transaction
from broker.flows.rate import Rate, check_rate
from broker.flows.secret import digest, mint
from broker.ids import ClientID, LinkID, Secret, Subject
from broker.jose import b64url, compact_json
from broker.oidc.authorization import single_values
from broker.oidc.client import Client
from broker.oidc.linked_id import SCOPE, IDPattern, check_label, check_value

ASKED: Final = Rate(limit=600, window=timedelta(minutes=1))
"""Link requests of one client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkAsked:
    """The handle for the browser, once, and the name by which the service asks about it afterwards."""

    link_request: Secret = field(repr=False)
    link_id: LinkID
    expires_in: int
    """Seconds."""

    def members(self) -> dict[str, Any]:
        """As sent."""
        return {"link_request": self.link_request, "link_id": self.link_id, "expires_in": self.expires_in}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a service wants bound, judged."""

    number: Numbered | None
    source: Client | None
    replaces: str
    subject: Subject | None


def ask(call: Call, *, ports: Ports) -> LinkAsked:
    """Begin a link: `linked_id` (its own number) or `source` (whose number it wants to read), and `label`, `replaces`,
    `sub` where it knows them.

    Raises InvalidClient, UnauthorizedClient, LinkedIDRefused, NumberQuarantined, InvalidRequest, TooManyRequests,
    StoreUnavailable.
    """
    parameters = single_values(call.pairs)
    who = _linking_client(call, parameters, ports=ports)
    client, now = who.client, ports.clock()
    try:
        wish = _judge(parameters, client, ports=ports)
    except NumberQuarantined as found:
        _quarantine(client, found, ports=ports)
        raise
    handle, link_id = mint(ports.entropy), LinkID(b64url(ports.entropy(16)))
    key = digest(handle)
    request = LinkRequest(
        digest=key,
        link_id=link_id,
        client_id=client.client_id,
        subject=wish.subject,
        source=None if wish.source is None else wish.source.client_id,
        value_sealed=b"" if wish.number is None else links.seal_asked(wish.number, digest=key, keys=ports.keys),
        value_fingerprint=b""
        if wish.number is None
        else links.fingerprint(wish.number.value, client_id=client.client_id, keys=ports.keys),
        replaces=b""
        if not wish.replaces
        else links.fingerprint(wish.replaces, client_id=client.client_id, keys=ports.keys),
        action=_action(handle, wish),
        expires_at=now + REQUEST_LIFETIME,
    )
    with ports.store.transaction() as tx:
        check_rate(tx.attempts, f"link:{client.client_id}", ASKED, now=now)
        if wish.subject is not None and tx.accounts.holder(client.sector, wish.subject) is None:
            raise InvalidRequest("sub is nobody's")
        refusal = who.use_up(tx)
        if refusal is None:
            tx.links.ask(request)
            tx.audit.append(Entry(at=now, event=Event.LINK_ASKED, client_id=client.client_id, reference=link_id))
    if refusal is not None:
        raise refusal
    return LinkAsked(link_request=handle, link_id=link_id, expires_in=int(REQUEST_LIFETIME.total_seconds()))


def state(call: Call, *, ports: Ports) -> dict[str, Any]:
    """What has become of a link of this client: `started`, `held` (with what R6 found), `active` or `ended`.

    A request that ran out or was refused has ended. Raises InvalidClient, InvalidRequest, LinkStateRefused.
    """
    parameters = single_values(call.pairs)
    who = _linking_client(call, parameters, ports=ports)
    link_id = _link_id(parameters)
    now = ports.clock()
    with ports.store.transaction() as tx:
        refusal = who.use_up(tx)
        waits = tx.links.waits(link_id, who.client.client_id, now=now)
        link = tx.links.get(link_id)
        alarms = tx.links.alarms_of(link_id) if link is not None and link.state is LinkState.HELD else ()
    if refusal is not None:
        raise refusal
    if link is not None and link.client_id != who.client.client_id:
        raise LinkStateRefused("no such link of this client")
    told: dict[str, Any] = {"link_id": link_id}
    if link is None:
        return told | {"state": (LinkState.STARTED if waits else LinkState.ENDED).value}
    told["state"] = link.state.value
    if alarms:
        told["alarms"] = sorted({alarm.kind.value for alarm in alarms})
    if link.ended_because is not None:
        told["ended_because"] = link.ended_because.value
    return told


def end(call: Call, *, ports: Ports) -> None:
    """End a link of this client, by `link_id` or `sub`; one that has ended stays so, and nothing tells of others'.

    It narrows: no card, no resident (R2). Raises InvalidClient, InvalidRequest.
    """
    parameters = single_values(call.pairs)
    who = _linking_client(call, parameters, ports=ports)
    now = ports.clock()
    with ports.store.transaction() as tx:
        refusal = who.use_up(tx)
        if refusal is None:
            for link in _named(tx, parameters, who.client):
                links.end_link(tx, link, because=Ending.BY_CLIENT, now=now)
    if refusal is not None:
        raise refusal


def confirm(call: Call, *, ports: Ports) -> None:
    """The second confirmation of R6: the service has looked, by means of its own, and the link is right.

    A number that other services read is confirmed by the operator's desk instead. Raises InvalidClient,
    InvalidRequest, LinkStateRefused, UnauthorizedClient.
    """
    parameters = single_values(call.pairs)
    who = _linking_client(call, parameters, ports=ports)
    link_id = _link_id(parameters)
    fault: BrokerError | None = None
    with ports.store.transaction() as tx:
        fault = who.use_up(tx)
        link = tx.links.get(link_id)
        if fault is None and (link is None or link.client_id != who.client.client_id):
            fault = LinkStateRefused("no such link of this client")
        elif fault is None and who.client.linked_id_readers:
            fault = UnauthorizedClient("others read this number: the operator's desk confirms it")
        elif fault is None and link is not None:
            links.confirm(tx, link, by=who.client.client_id, now=ports.clock())
    if fault is not None:
        raise fault


# --- judging ---------------------------------------------------------------------------------------------------------


def _linking_client(call: Call, parameters: Mapping[str, str], *, ports: Ports) -> AuthenticatedClient:
    """A client with scope `linked_id` is one of `private_key_jwt`: else it could not be registered (design 4.8)."""
    who = authenticate(call, parameters, ports=ports)
    if SCOPE not in who.client.scope:
        raise UnauthorizedClient("the client is not registered for linked_id")
    return who


def _judge(parameters: Mapping[str, str], client: Client, *, ports: Ports) -> _Wish:
    label, replaces, value = (parameters.get(name, "") for name in ("label", "replaces", "linked_id"))
    for name, text in (("label", label), ("linked_id", value), ("replaces", replaces)):
        if individual_number.holds_one(text) or (name != "label" and individual_number.is_bare(text)):
            raise NumberQuarantined(f"{name} could be a 個人番号")
    check_label(label)
    subject = Subject(parameters["sub"]) if "sub" in parameters else None
    if "source" in parameters:
        if value or replaces:
            raise InvalidRequest("source and linked_id exclude each other")
        source = _source(ClientID(parameters["source"]), client, ports=ports)
        return _Wish(number=None, source=source, replaces="", subject=subject)
    if client.linked_id_pattern is None:
        raise LinkedIDRefused("the client has registered no linked_id_pattern")
    pattern = IDPattern(text=client.linked_id_pattern)
    check_value(value, pattern)
    if replaces:
        check_value(replaces, pattern)
    return _Wish(number=Numbered(value=value, label=label), source=None, replaces=replaces, subject=subject)


def _source(name: ClientID, client: Client, *, ports: Ports) -> Client:
    with ports.store.transaction() as tx:
        source = tx.clients.get(name)
    if source is None or client.client_id not in source.linked_id_readers:
        raise UnauthorizedClient("that client's numbers are not this client's to read")
    return source


def _action(handle: str, wish: _Wish) -> str:
    """RFC 8785 JSON, the same at both readings: what is bound, and what the agent shows of it."""
    told: dict[str, Any] = {"kind": "link", "release": [SCOPE]}
    if wish.number is None:
        told |= {"commitment": b64url(commitment(handle, "")), "label": "", "shown": ""}
        told["source"] = "" if wish.source is None else wish.source.name
    else:
        told["commitment"] = b64url(commitment(handle, wish.number.value))
        told |= {"label": wish.number.label, "shown": masked(wish.number.value)}
    if wish.replaces:
        told["replaces"] = masked(wish.replaces)
    return compact_json({name: told[name] for name in sorted(told)}).decode()


def _quarantine(client: Client, found: NumberQuarantined, *, ports: Ports) -> None:
    now = ports.clock()
    with ports.store.transaction() as tx:
        tx.links.count("quarantined", now=now)
        tx.audit.append(
            Entry(
                at=now,
                event=Event.NUMBER_QUARANTINED,
                client_id=client.client_id,
                detail={"field": str(found).partition(" ")[0]},
            )
        )


def _link_id(parameters: Mapping[str, str]) -> LinkID:
    if "link_id" not in parameters:
        raise InvalidRequest("link_id is required")
    return LinkID(parameters["link_id"])


def _named(tx: Transaction, parameters: Mapping[str, str], client: Client) -> tuple[Link, ...]:
    if "link_id" in parameters:
        link = tx.links.get(LinkID(parameters["link_id"]))
        return () if link is None or link.client_id != client.client_id else (link,)
    if "sub" not in parameters:
        raise InvalidRequest("link_id or sub is required")
    account = tx.accounts.holder(client.sector, Subject(parameters["sub"]))
    if account is None:
        return ()
    return tuple(link for link in tx.links.of(account) if link.client_id == client.client_id)
