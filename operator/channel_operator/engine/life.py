"""What a broker's life is made of, from connecting until something ends it, and what may end it. Decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from channel_operator.api.broker import BrokerSpec
from channel_operator.brokers.base import Connection, Driver, Recorder, Session
from channel_operator.core.model import Capabilities, Problem
from channel_operator.engine.reconciler import Reconciler
from channel_operator.engine.reports import Reports

__all__ = ["Drivers", "Live", "NotAcceptedError", "ReconnectError"]


@dataclass(frozen=True, slots=True)
class Drivers:
    """Where drivers and sessions come from: the registry, or a fake in tests."""

    create: Callable[[BrokerSpec, str], Driver | None]
    open: Callable[[Connection, Recorder], Session]


@dataclass(slots=True)
class Live:
    """What there is while the broker answers."""

    connection: Connection
    session: Session
    capabilities: Capabilities
    reconciler: Reconciler
    reports: Reports


class NotAcceptedError(Exception):
    """The Broker object itself cannot be worked with; without a problem there is none at all."""

    def __init__(self, problem: Problem | None) -> None:
        super().__init__()
        self.problem = problem


class ReconnectError(Exception):
    """Something that the session is made of has changed."""
