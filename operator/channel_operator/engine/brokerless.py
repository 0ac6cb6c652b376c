"""Objects that belong to no Broker (yet): Subscriptions whose Topic is not there. There is no loop for them.

Decides what their status says, and lets deleted ones go: without a Broker there is nothing to take away. One whose
record names a broker that no Broker was found to lead to waits while there are Brokers that were not reached yet.
"""

import asyncio
from datetime import datetime

import structlog

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.reasons import EventReason
from channel_operator.api.values import seconds
from channel_operator.core import policy
from channel_operator.core.model import Key, Problem
from channel_operator.core.report import ObjectState, channel_status
from channel_operator.core.resolve import resolve
from channel_operator.core.view import Manifest
from channel_operator.engine.claims import Claims
from channel_operator.engine.clock import Clock, wait_until
from channel_operator.engine.statuses import Statuses
from channel_operator.engine.store import Store

__all__ = ["Brokerless"]

log = structlog.get_logger(__name__)

PATIENCE = 0.1
"""Seconds before anything is said: a Topic of the same apply comes in by another watch, often a moment later."""


LOOK_AGAIN = 5.0
"""Seconds between two looks at those that wait for a Broker to be reached."""


class Brokerless:
    """Reports and releases while this replica leads; `claims` is for releases only."""

    def __init__(self, store: Store, statuses: Statuses, claims: Claims, clock: Clock) -> None:
        self._store = store
        self._statuses = statuses
        self._claims = claims
        self._clock = clock
        self._keys: set[Key] = set()
        self._undecided: set[Key] = set()
        self._wake = asyncio.Event()

    def add(self, key: Key) -> None:
        """Have an object looked at."""
        self._keys.add(key)
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claims.releases.run())
            while True:
                if self._undecided:
                    await wait_until(self._wake, self._clock, LOOK_AGAIN)
                else:
                    await self._wake.wait()
                await self._clock.sleep(PATIENCE)
                self._wake.clear()
                keys, self._keys, self._undecided = self._keys | self._undecided, set(), set()
                for key in keys:
                    manifest = self._store.get(key)
                    if manifest is None or manifest.refs.broker is not None:
                        continue
                    try:
                        await self._tell(manifest)
                    except Exception:
                        log.exception("bug", kind=key.kind, namespace=key.namespace, name=key.name)
                        self._statuses.failed(key)

    async def _tell(self, manifest: Manifest) -> None:
        if manifest.deleted is not None:
            if policy.has_finalizer(manifest):
                await self._leave(manifest)
            return
        self._want(manifest, resolve(manifest, self._store, grace_over=True).problems)

    def _want(self, manifest: Manifest, problems: tuple[Problem, ...], deleting: str | None = None) -> None:
        state = ObjectState(
            manifest.generation,
            manifest.status,
            None,
            self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            problems=problems,
            disabled=policy.is_disabled(manifest) and deleting is None,
            deleting=deleting,
        )
        result = "blocked" if any(problem.stalled for problem in problems) else "waiting"
        self._statuses.want(manifest.key, manifest.uid, channel_status(state), result)

    async def _leave(self, manifest: Manifest) -> None:
        """Let a deleted object go, unless a Broker that was not reached yet may be the one it was made on."""
        if not policy.is_released_by_force(manifest) and self._may_be_found(manifest):
            self._undecided.add(manifest.key)
            text = (
                "Being deleted; its Topic is gone, and a Broker that does not answer yet may be the one that it was "
                "made on. Waits for that as long as the deletionTimeout of such a Broker says."
            )
            self._want(manifest, (), text)
            return
        await self._release(manifest)

    def _may_be_found(self, manifest: Manifest) -> bool:
        """Whether a Broker whose identity is not known yet may turn out to lead to what the record names."""
        if policy.owner_record(manifest.annotations) is None or manifest.deleted is None:
            return False
        waited = (self._clock.now() - datetime.fromisoformat(manifest.deleted)).total_seconds()
        brokers = [self._store.get(key) for key in self._store.brokers() if self._store.capabilities(key) is None]
        return any(
            broker is not None
            and isinstance(broker.spec, BrokerSpec)
            and broker.spec.rabbitmq is not None
            and waited < seconds(broker.spec.deletion_timeout)
            for broker in brokers
        )

    async def _release(self, manifest: Manifest) -> None:
        if policy.owner_record(manifest.annotations) is not None:
            text = "Released although no Broker is known for it; what it had on a broker may still be there."
            await self._statuses.event(manifest.key, manifest.uid, EventReason.ORPHANED, text, warning=True)
        self._claims.release(manifest.key)
