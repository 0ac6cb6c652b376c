"""How deleted objects leave: what they still wait for, and when their finalizer goes.

Decides when the part of an object on the broker is settled. Deletions that must find a queue empty wait for the
broker's statistics, so they run beside the passes and hold nobody up.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from channel_operator.api.meta import FINALIZER
from channel_operator.api.reasons import EventReason
from channel_operator.brokers.base import Session
from channel_operator.core import policy
from channel_operator.core.diff import leaders
from channel_operator.core.model import (
    Action,
    Change,
    Key,
    Outcome,
    Removal,
    ResourceId,
    by_stage,
)
from channel_operator.core.resolve import Standing
from channel_operator.core.view import Manifest
from channel_operator.engine.context import Context
from channel_operator.engine.looks import Look
from channel_operator.engine.state import BrokerState
from channel_operator.errors import Blocked, CredentialsRefused, Unreachable

__all__ = ["Departures", "Taker"]

log = structlog.get_logger(__name__)


class Taker(Protocol):
    """Takes outcomes into the state; the reconciler is one."""

    def take_in(self, outcomes: Sequence[Outcome]) -> None:
        """Update picture and failures."""


class Departures:
    """Sees deleted objects off."""

    def __init__(self, context: Context, state: BrokerState, taker: Taker) -> None:
        self._context = context
        self._state = state
        self._taker = taker
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop what runs beside the passes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- queues that must be empty -------------------------------------------------------------------------------

    def divide(self, changes: Iterable[Change]) -> tuple[list[Change], list[Change]]:
        """Split into what is written now and what has to be found empty first.

        What else an object takes away waits for the outcome: a queue that stays keeps its exchange and its binding.
        """
        now: list[Change] = []
        empty: list[Change] = []
        for change in changes:
            if change.action is Action.DELETE and change.removal is Removal.DELETE_IF_EMPTY:
                if change.id not in self._state.resting:
                    empty.append(change)
            else:
                now.append(change)
        waiting = {owner for change in empty for owner in change.owners} | self._owners(self._state.busy)
        if waiting:
            now = [c for c in now if not self._follows(c) or not waiting & set(leaders(c.owners))]
        return now, empty

    @staticmethod
    def _follows(change: Change) -> bool:
        """Whether a deletion depends on what becomes of its owner's data; one that is to be in any case does not."""
        return change.action is Action.DELETE and change.removal is not Removal.REGARDLESS

    def _owners(self, ids: Iterable[ResourceId]) -> set[Key]:
        return {owner for rid in ids for owner in self._state.desired.owners(rid)}

    def if_empty(self, changes: Sequence[Change], session: Session) -> None:
        """Start to delete or to replace what is empty; the owners are looked at again afterwards."""
        self._state.busy |= {change.id for change in changes}
        task = asyncio.create_task(self._if_empty(changes, session), name="if-empty")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _if_empty(self, changes: Sequence[Change], session: Session) -> None:
        kept: set[Key] = set()
        owners = {owner for change in changes for owner in change.owners}
        again: Callable[[Iterable[Key]], None] = self._context.schedule.add
        try:
            # The main queue goes before its dead letters: while it stays, they are needed.
            for group in by_stage(changes):
                outcomes = await session.apply([c for c in group if not kept & c.owners])
                self._taker.take_in(outcomes)
                kept |= {owner for o in outcomes if o.kept for owner in self._keep(o)}
                await self._tell_of_new(outcomes)
                if any(o.error is not None and o.change.action is Action.RECREATE for o in outcomes):
                    again = self._again_later
                    await self._look_after(outcomes, session)
        except (Unreachable, CredentialsRefused):
            # Whoever next asks the broker for something tells; until then there is no hurry.
            again = self._again_later
        except Exception:
            log.exception("bug", operation="if empty")
            again = self._again_later
        finally:
            self._state.busy -= {change.id for change in changes}
            again(owners)

    async def _look_after(self, outcomes: Iterable[Outcome], session: Session) -> None:
        """See how far a replacement came that went wrong; one that only a user can help waits for the next resync."""
        state, ids = self._state, set[ResourceId]()
        for outcome in outcomes:
            if isinstance(outcome.error, Blocked):
                state.resting.add(outcome.change.id)
            elif outcome.error is not None:
                stand_in = state.driver.stand_in(outcome.change.id)
                ids |= {outcome.change.id, stand_in} if stand_in is not None else {outcome.change.id}
        if ids:
            seen = await session.observe(ids)
            for rid in ids:
                state.picture.pop(rid, None)
            state.picture.update(seen.resources)

    async def _tell_of_new(self, outcomes: Iterable[Outcome]) -> None:
        """Tell the owners of what was replaced."""
        for outcome in outcomes:
            if outcome.error is not None or outcome.kept or outcome.change.action is not Action.RECREATE:
                continue
            stand_in = self._state.driver.stand_in(outcome.change.id)
            if stand_in is not None:
                self._state.picture.pop(stand_in, None)
            for owner in outcome.change.owners:
                manifest = self._context.store.get(owner)
                if manifest is not None:
                    text = f"{outcome.change.id} was empty and unused; a new one is in its place."
                    await self._context.statuses.event(owner, manifest.uid, EventReason.RECREATED, text)

    def _again_later(self, owners: Iterable[Key]) -> None:
        for owner in owners:
            self._context.schedule.retry(owner)

    def _keep(self, outcome: Outcome) -> frozenset[Key]:
        """Let a queue that is not empty stay: a deleted object goes without it, a living one tries again later."""
        self._state.resting.add(outcome.change.id)
        for owner in outcome.change.owners:
            manifest = self._context.store.get(owner)
            if manifest is not None and manifest.deleted is not None:
                self._context.kept.add(manifest.uid)
        return outcome.change.owners

    # -- the finalizer -------------------------------------------------------------------------------------------

    async def finish(self, looks: Iterable[Look]) -> None:
        """Release every deleted object that waits for nothing any more."""
        for look in looks:
            manifest = look.manifest
            if not look.leaves or FINALIZER not in manifest.finalizers:
                continue
            waits = look.resolution.needed_by or self.waits_for(manifest)
            if look.held_back or (look.resolution.standing is Standing.DELETED and waits):
                continue
            self._state.looks.finished.add(manifest.uid)
            reason, text = self._farewell(look)
            await self._context.statuses.event(manifest.key, manifest.uid, reason, text)
            self._context.claims.release(manifest.key)

    def waits_for(self, manifest: Manifest) -> list[ResourceId]:
        """Return the native objects that a deleted object still waits for."""
        state = self._state
        waiting = []
        for rid in state.leaving.get(manifest.key, ()):
            assembled = state.desired.get(rid)
            settled = rid not in state.picture or assembled is None or assembled.resource is not None or assembled.held
            if rid in state.failures or rid in state.busy or not settled:
                waiting.append(rid)
        return waiting

    def _farewell(self, look: Look) -> tuple[EventReason, str]:
        """Return what to tell of an object that is let go."""
        subject, broker = look.resolution.subject, self._context.name
        name = subject.name if subject is not None else look.manifest.key.name
        if policy.is_released_by_force(look.manifest):
            return EventReason.RELEASED_BY_FORCE, f"Released by annotation; {name} was left as it is on {broker}."
        if look.manifest.uid in self._context.kept:
            return EventReason.RETAINED, f"{name} holds messages and was kept on {broker}; access was withdrawn."
        if self._context.only_observes():
            return EventReason.RETAINED, f"{name} and all rights were left as they are: {broker} is only observed."
        deleted = look.resolution.standing is Standing.DELETED and subject is not None and subject.removal is not None
        if deleted and look.withdraws:
            return EventReason.DELETED, f"{name} was deleted on {broker}."
        return EventReason.RETAINED, f"{name} was kept on {broker}; access was withdrawn."
