"""A record becomes a document in two steps: printed, so that the register can commit to it, and sealed once it has."""

from __future__ import annotations

import hmac
from datetime import datetime

from broker.delegation import sealing
from broker.delegation.sealing import SealMaterial
from broker.delegation.verification import verify_archived
from broker.errors import OutboundFailed, OutboundRefused, SealFailed, SettingsError
from broker.flows.ports import KeyUse, Ports
from broker.flows.seal_ports import SealPort


def template_hash(*, ports: Ports) -> str:
    """What a record states as `template.sha256` before it is printed. Raises SealFailed."""
    return _seal_of(ports).printer().template_hash


def print_record(record: bytes, *, ports: Ports) -> bytes:
    """The unsigned PDF of `record`, which a second process has made as well: what the register commits to.

    Raises RecordUnprintable; SealFailed where the two differ or nothing is set up.
    """
    printer = _seal_of(ports).printer()
    unsigned = printer.render(record)
    if not hmac.compare_digest(unsigned, printer.rendered_apart(record)):
        raise SealFailed("two processes make different documents of one record")
    return unsigned


def seal_printed(unsigned: bytes, *, ports: Ports) -> bytes:
    """The sealed document, verified. To be called once the register's entry is durable and witnessed.

    Raises SealFailed (also where the time-stamp authority or a list cannot be had), StoreUnavailable.
    """
    port = _seal_of(ports)
    algorithms = ports.keys.algorithms(KeyUse.MANDATE_SEAL)
    if not algorithms:
        raise SealFailed("there is no key for seals")
    try:
        material = port.material()
        return sealing.seal(
            unsigned,
            signer=ports.keys.signer(KeyUse.MANDATE_SEAL, algorithms[0]),
            material=material,
            stamp=port.stamp,
            at=ports.clock(),
        )
    except (OutboundFailed, OutboundRefused, SettingsError) as failed:
        raise SealFailed(f"what a seal needs cannot be had: {failed}") from failed


def proved_until(document: bytes, *, ports: Ports) -> datetime:
    """When the newest time stamp over a sealed document, or an archive's copy of one, ends. Raises SealFailed."""
    verdict = verify_archived(document, anchors=_material(_seal_of(ports)).anchors, at=ports.clock())
    if not verdict.accepted or verdict.proved_until is None:
        raise SealFailed(f"it does not verify: {', '.join(fault.name for fault in verdict.faults) or 'no time stamp'}")
    return verdict.proved_until


def archived(document: bytes, *, ports: Ports) -> bytes:
    """`document`, or an archive's copy of one, with one more time stamp: to be kept apart. Raises SealFailed."""
    port = _seal_of(ports)
    try:
        return sealing.archive(document, material=_material(port), stamp=port.stamp, at=ports.clock())
    except (OutboundFailed, OutboundRefused, SettingsError) as failed:
        raise SealFailed(f"what an archive's stamp needs cannot be had: {failed}") from failed


def _material(port: SealPort) -> SealMaterial:
    try:
        return port.material()
    except (OutboundFailed, OutboundRefused) as failed:
        raise SealFailed(f"a list of the seal's authorities cannot be had: {failed}") from failed


def _seal_of(ports: Ports) -> SealPort:
    if ports.seal is None:
        raise SealFailed("no seal is set up (setting seal)")
    return ports.seal
