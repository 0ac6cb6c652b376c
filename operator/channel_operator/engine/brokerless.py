"""Objects that belong to no Broker (yet): Subscriptions whose Topic is not there. There is no loop for them.

Decides what their status says, and lets deleted ones go: without a Broker there is nothing to take away.
"""

import asyncio

import structlog

from channel_operator.api.reasons import EventReason
from channel_operator.core import policy
from channel_operator.core.model import Key
from channel_operator.core.report import ObjectState, channel_status
from channel_operator.core.resolve import resolve
from channel_operator.core.view import Manifest
from channel_operator.engine.claims import Claims
from channel_operator.engine.clock import Clock
from channel_operator.engine.statuses import Statuses
from channel_operator.engine.store import Store

__all__ = ["Brokerless"]

log = structlog.get_logger(__name__)

PATIENCE = 0.1
"""Seconds before anything is said: a Topic of the same apply comes in by another watch, often a moment later."""


class Brokerless:
    """Reports and releases while this replica leads; `claims` is for releases only."""

    def __init__(self, store: Store, statuses: Statuses, claims: Claims, clock: Clock) -> None:
        self._store = store
        self._statuses = statuses
        self._claims = claims
        self._clock = clock
        self._keys: set[Key] = set()
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
                await self._wake.wait()
                await self._clock.sleep(PATIENCE)
                self._wake.clear()
                keys, self._keys = self._keys, set()
                for key in keys:
                    manifest = self._store.get(key)
                    if manifest is None or manifest.refs.broker is not None:
                        continue
                    try:
                        await self._tell(manifest)
                    except Exception:
                        log.exception("bug", kind=key.kind, namespace=key.namespace, name=key.name)

    async def _tell(self, manifest: Manifest) -> None:
        if manifest.deleted is not None:
            if policy.has_finalizer(manifest):
                await self._release(manifest)
            return
        found = resolve(manifest, self._store, grace_over=True)
        state = ObjectState(
            manifest.generation,
            manifest.status,
            None,
            self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            problems=found.problems,
            disabled=policy.is_disabled(manifest),
        )
        result = "blocked" if any(problem.stalled for problem in found.problems) else "waiting"
        self._statuses.want(manifest.key, manifest.uid, channel_status(state), result)

    async def _release(self, manifest: Manifest) -> None:
        if policy.owner_record(manifest.annotations) is not None:
            text = "Released although no Broker is known for it; what it had on a broker may still be there."
            await self._statuses.event(manifest.key, manifest.uid, EventReason.ORPHANED, text, warning=True)
        self._claims.release(manifest.key)
