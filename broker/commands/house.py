"""The broker a command works on: the one the environment describes."""

from __future__ import annotations

import os

from broker.app import join
from broker.flows.ports import Ports
from broker.network.outbound import OutboundGuard
from broker.settings import read


def configured() -> Ports:
    """Raises SettingsError, StoreUnavailable."""
    return join(read(os.environ), guard=OutboundGuard())
