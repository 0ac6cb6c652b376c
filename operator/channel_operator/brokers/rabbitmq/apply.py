"""Writes a set of changes, stage by stage. Decides what runs side by side, what goes in bulk and what is not tried.

Never decides the order itself (graph) nor how one change is written (writes).
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from channel_operator.brokers.rabbitmq.bulk import BULK_FROM, Bulk, is_bulkable
from channel_operator.brokers.rabbitmq.graph import BUILD_STAGES, endpoints, is_dead_letter_queue, needs
from channel_operator.brokers.rabbitmq.resources import BINDING, EXCHANGE, PERMISSION, POLICY, QUEUE, user_id
from channel_operator.brokers.rabbitmq.writes import Writer
from channel_operator.core.model import (
    Action,
    Change,
    Key,
    Outcome,
    Removal,
    Resource,
    ResourceId,
    by_stage,
)
from channel_operator.errors import CredentialsRefused, OperatorError, Unreachable, Waiting

__all__ = ["apply"]

_CONCURRENCY: Final = 8
_QUEUE_CONCURRENCY: Final = 16
"""Quorum queues wait for the disk, so more of them pay."""
_EMPTYING_CONCURRENCY: Final = 64
"""Deletions of empty queues mostly wait for the statistics to tick."""

_CHANNEL_KINDS: Final = frozenset({QUEUE, EXCHANGE, BINDING, POLICY})


async def apply(changes: Sequence[Change], writer: Writer, bulk: Bulk) -> list[Outcome]:
    """Write the changes; one outcome each, in their order."""
    run = _Run(writer, bulk, in_bulk=sum(map(is_bulkable, changes)) >= BULK_FROM)
    confirmed = False
    for stage in by_stage(changes):
        if stage[0].stage >= BUILD_STAGES and not confirmed:
            confirmed = True
            await run.confirm()
        await run.stage(stage)
    if not confirmed:
        await run.confirm()
    return [run.outcomes[id(change)] for change in changes]


class _Run:
    """What has become of the changes so far."""

    def __init__(self, writer: Writer, bulk: Bulk, *, in_bulk: bool) -> None:
        self._writer = writer
        self._bulk = bulk
        self._in_bulk = in_bulk
        self._imported: list[Change] = []
        self._failed: dict[Key, OperatorError] = {}
        self._failed_users: dict[ResourceId, OperatorError] = {}
        self._unmade: set[ResourceId] = set()
        self._kept: set[Key] = set()
        self._gone: set[ResourceId] = set()
        self._halted: OperatorError | None = None
        self.outcomes: dict[int, Outcome] = {}

    async def stage(self, changes: list[Change]) -> None:
        """Write one stage."""
        pending = []
        for change in changes:
            settled = self._settled(change)
            if settled is not None:
                self._note(settled)
            else:
                pending.append(change)
        await self._writer.look_at_users(pending)
        if not self._in_bulk:
            await self._each(pending)
            return
        together = [change for change in pending if is_bulkable(change)]
        await asyncio.gather(self._import(together), self._each([c for c in pending if not is_bulkable(c)]))

    async def confirm(self) -> None:
        """Read back what went in bulk: the broker leaves an exchange that differs alone and says nothing."""
        if not self._imported or self._halted is not None:
            return
        try:
            outcomes = await self._bulk.confirm(self._imported)
        except OperatorError as error:
            outcomes = [Outcome(change, change.observed, error) for change in self._imported]
        for outcome in outcomes:
            self._note(outcome)

    async def _import(self, changes: list[Change]) -> None:
        for chunk in self._bulk.cut(changes):
            if self._halted is not None:
                self._give_up(chunk)
                continue
            try:
                done = await self._bulk.send(chunk)
            except OperatorError as error:
                for change in chunk:
                    self._note(Outcome(change, change.observed, error))
                continue
            if not done:
                # One entry the broker does not like spoils the whole document: find out which.
                await self._each(chunk)
                continue
            self._imported += chunk
            for change in chunk:
                self._note(Outcome(change, change.desired))

    async def _each(self, changes: list[Change]) -> None:
        queue = iter(_units(changes))

        async def work() -> None:
            for unit in queue:
                if self._halted is not None:
                    self._give_up(unit)
                elif _must_be_empty(unit[0]):
                    for outcome in await self._writer.delete_if_empty(unit):
                        self._note(outcome)
                else:
                    self._note(await self._writer.write(unit[0]))

        await asyncio.gather(*(work() for _ in range(min(len(changes), _concurrency(changes)))))

    def _settled(self, change: Change) -> Outcome | None:
        """Say what need not be tried: what failed before it, what went with something else, what was kept."""
        if self._halted is not None:
            return Outcome(change, change.observed, self._halted)
        if change.id.kind == PERMISSION:
            return self._settled_permission(change)
        if change.id.kind not in _CHANNEL_KINDS:
            return None
        for owner in change.owners:
            if owner in self._failed:
                return Outcome(change, change.observed, self._failed[owner])
        return self._settled_deletion(change) if change.desired is None else self._unmet(change, change.desired)

    def _settled_deletion(self, change: Change) -> Outcome | None:
        if not change.owners.isdisjoint(self._kept):
            return Outcome(change, change.observed, kept=True)
        gone = change.id.kind == BINDING and not self._gone.isdisjoint(endpoints(change.id))
        return Outcome(change, None) if gone else None

    def _unmet(self, change: Change, wanted: Resource) -> Outcome | None:
        missing = next((rid for rid in needs(wanted) if rid in self._unmade), None)
        if missing is None:
            return None
        return Outcome(change, change.observed, Waiting(f"{change.id} waits for {missing}"))

    def _settled_permission(self, change: Change) -> Outcome | None:
        user = user_id(change.id.path[0])
        if user in self._failed_users:
            return Outcome(change, change.observed, self._failed_users[user])
        return Outcome(change, None) if user in self._gone and change.action is Action.DELETE else None

    def _give_up(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.outcomes[id(change)] = Outcome(change, change.observed, self._halted)

    def _note(self, outcome: Outcome) -> None:
        change = outcome.change
        self.outcomes[id(change)] = outcome
        if outcome.error is not None:
            if isinstance(outcome.error, Unreachable | CredentialsRefused):
                self._halted = outcome.error
            if change.desired is not None:
                self._unmade.add(change.id)
            if isinstance(outcome.error, Waiting):
                return  # others of its owner do not depend on it
            if change.id.kind in _CHANNEL_KINDS:
                self._failed.update(dict.fromkeys(change.owners, outcome.error))
            else:
                self._failed_users[change.id] = outcome.error
        elif change.action is Action.DELETE:
            if not outcome.kept:
                self._gone.add(change.id)
            elif change.id.kind == QUEUE and not is_dead_letter_queue(change.id):
                # A queue that keeps its messages keeps its dead letters' way and its entry too.
                self._kept |= change.owners


def _must_be_empty(change: Change) -> bool:
    return change.id.kind == QUEUE and change.removal is Removal.DELETE_IF_EMPTY


def _units(changes: Iterable[Change]) -> list[list[Change]]:
    """Put together what goes as a whole or not at all: the queues of one owner that must be empty."""
    units: list[list[Change]] = []
    together: dict[frozenset[Key], list[Change]] = {}
    for change in changes:
        if not _must_be_empty(change) or not change.owners:
            units.append([change])
        elif change.owners in together:
            together[change.owners].append(change)
        else:
            units.append(together.setdefault(change.owners, [change]))
    return units


def _concurrency(changes: Sequence[Change]) -> int:
    if any(change.removal is Removal.DELETE_IF_EMPTY for change in changes):
        return _EMPTYING_CONCURRENCY
    return _QUEUE_CONCURRENCY if any(change.id.kind == QUEUE for change in changes) else _CONCURRENCY
