"""What every part of one broker's loop shares: the store, the clock, the pipelines, the policies of time.

Decides small questions that need a clock or memory: whether a grace time is over, whether a departure was told.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from channel_operator.api.common import ManagementPolicy
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.core.brake import BrakeState
from channel_operator.core.model import Key
from channel_operator.core.view import Manifest
from channel_operator.engine.bindings import Bindings
from channel_operator.engine.claims import Claims
from channel_operator.engine.clock import Clock
from channel_operator.engine.connection import Addresses
from channel_operator.engine.ports import Attribute, SecretStore, Telemetry
from channel_operator.engine.schedule import Schedule
from channel_operator.engine.statuses import Statuses
from channel_operator.engine.store import Store

__all__ = ["Context", "Options"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the engine; times in seconds. `resync` overrides every Broker's own interval."""

    operator_id: str
    addresses: Addresses = field(default_factory=Addresses)
    resync: float | None = None
    ref_grace: float = 60.0
    secrets_sweep: float = 900.0
    broker_secret_sweep: float = 60.0
    sees_everything: bool = True
    """Whether all namespaces are watched: only then is a user without a manifest surely nobody's."""


@dataclass(slots=True)
class Context:
    """One broker's loop and what it works with."""

    broker: Key
    options: Options
    store: Store
    clock: Clock
    schedule: Schedule
    statuses: Statuses
    claims: Claims
    bindings: Bindings
    secrets: SecretStore
    telemetry: Telemetry
    leads: Callable[[], bool]
    brake: BrakeState = field(default_factory=BrakeState)
    """See `brake_state`."""
    kept: set[str] = field(default_factory=set)
    """uids of deleted objects whose queue stays because it was not empty."""
    _brake_of: str | None = None
    """uid of the Broker object that `brake` is about."""

    @property
    def name(self) -> str:
        """`namespace/name`, as metrics and messages call the broker."""
        return f"{self.broker.namespace}/{self.broker.name}"

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        """Have what runs inside show as a span of a trace."""
        return self.telemetry.span(name, broker=self.name, **attributes)

    def only_observes(self) -> bool:
        """Whether nothing at all is written to this broker."""
        broker = self.store.get(self.broker)
        return getattr(broker and broker.spec, "management_policy", None) is ManagementPolicy.OBSERVE

    def brake_state(self) -> BrakeState:
        """Return what the brake remembers: what it decided last, after a restart what the Broker's status says."""
        broker = self.store.get(self.broker)
        if broker is not None and broker.uid != self._brake_of:
            self._brake_of, self.brake = broker.uid, BrakeState.read(broker.status.get("brake"))
        return self.brake

    def now(self) -> str:
        """Return the wall time in the form of the API."""
        return self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def age(self, stamp: str) -> float:
        """Return how many seconds ago a time of the API was."""
        return (self.clock.now() - datetime.fromisoformat(stamp)).total_seconds()

    def bug(self, key: Key) -> None:
        """Note the exception in hand as an error of our own; the object comes back by backoff, others go on."""
        log.exception(  # noqa: LOG004  # callers are exception handlers
            "bug", kind=key.kind, namespace=key.namespace, name=key.name, broker=self.name
        )
        self.telemetry.reconciled(key.kind, "error", None)
        self.schedule.retry(key)

    def grace_left(self, manifest: Manifest) -> float:
        """Return how many seconds a missing consent may still be missing before that counts as an error.

        Counted from the creation of the object, since consent may come in the same commit; an object that was
        admitted once has no grace.
        """
        if manifest.status.get("observedGeneration", -1) > 0 and not _waits_for_consent(manifest):
            return 0.0
        return max(0.0, self.options.ref_grace - self.age(manifest.created))


def _waits_for_consent(manifest: Manifest) -> bool:
    """Whether the status shows that the grace time is running already."""
    conditions = manifest.status.get("conditions") or ()
    found: dict[str, Any] = next((c for c in conditions if c.get("type") == ConditionType.RESOLVED_REFS), {})
    return found.get("reason") == Reason.REF_NOT_PERMITTED and found.get("status") == "Unknown"
