"""A broker in memory for tests: any driver's resources in a dict, with faults to inject.

It stands in for the I/O side only and is held to the same suite as the real sessions (`tests/contract`). It decides
nothing that a driver decides. Never part of a running operator.
"""

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Driver, NoRecorder, Recorder
from channel_operator.core.model import (
    Action,
    Capabilities,
    Change,
    Key,
    Observation,
    Outcome,
    Removal,
    Resource,
    ResourceId,
    by_stage,
)
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Unreachable, Waiting

__all__ = ["FakeBroker", "FakeSession"]


@dataclass(slots=True)
class FakeBroker:
    """What a broker holds, and how it misbehaves. Sessions of one broker share it; it outlives them."""

    resources: dict[ResourceId, Resource] = field(default_factory=dict)
    messages: dict[ResourceId, int] = field(default_factory=dict)
    """Messages in a queue; DeleteIfEmpty looks here."""
    identity: str = "fake-1"
    version: str = "4.3.6"
    features: frozenset[str] = frozenset()
    writes: list[Change] = field(default_factory=list)
    """Every change that reached the broker, in order."""
    reads: int = 0
    whole_from: int = sys.maxsize
    """From so many objects on, everything is read on their account."""
    unreachable: bool = False
    cause: str = "the fake broker does not answer"
    """What a call says while it is unreachable."""
    refuses_login: bool = False
    writes_left: int | None = None
    """After so many more writes the broker is gone, as if it had died there; None = never."""
    certificates: Mapping[str, str] = field(default_factory=dict)
    """Plane → the certificate it shows."""
    gate: asyncio.Event | None = None
    """While set to an event that is not set, every call waits for it."""

    def wipe(self, identity: str) -> None:
        """Come back empty, as another broker."""
        self.resources.clear()
        self.messages.clear()
        self.identity = identity


class FakeSession:
    """Implements `brokers.base.Session` on a FakeBroker, with the order and the comparisons of a real driver."""

    def __init__(self, driver: Driver, broker: FakeBroker, recorder: Recorder | None = None) -> None:
        self._driver = driver
        self._broker = broker
        self._recorder = recorder or NoRecorder()
        self.is_closed = False

    async def _enter(self, operation: str) -> None:
        if self._broker.gate is not None:
            await self._broker.gate.wait()
        await asyncio.sleep(0)
        outcome = "ok"
        try:
            self._check()
        except Unreachable:
            outcome = "unreachable"
            raise
        except CredentialsRefused:
            outcome = "refused"
            raise
        finally:
            self._recorder.request(operation, outcome, 0.0)

    def _check(self) -> None:
        if self._broker.unreachable:
            raise Unreachable(self._broker.cause)
        if self._broker.refuses_login:
            raise CredentialsRefused("the fake broker refuses the login", reason=Reason.CREDENTIALS_INVALID)

    async def probe(self) -> Capabilities:
        """See `brokers.base.Session.probe`."""
        await self._enter("probe")
        broker = self._broker
        return Capabilities("Fake", broker.version, broker.identity, broker.identity, broker.features)

    async def probe_data_plane(self) -> str | None:
        """See `brokers.base.Session.probe_data_plane`."""
        try:
            await self._enter("probe_data_plane")
        except OperatorError as error:
            return str(error)
        return None

    def certificates(self) -> Mapping[str, str]:
        """See `brokers.base.Session.certificates`."""
        return self._broker.certificates

    async def observe(self, ids: Collection[ResourceId] | None) -> Observation:
        """See `brokers.base.Session.observe`."""
        await self._enter("observe")
        self._broker.reads += 1
        if ids is None:
            return Observation(dict(self._broker.resources))
        found = {rid: self._broker.resources[rid] for rid in ids if rid in self._broker.resources}
        missing = frozenset(ids) - found.keys()
        if len(ids) >= self._broker.whole_from:
            return Observation(dict(self._broker.resources), missing=missing)
        return Observation(found, complete=False, missing=missing)

    async def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """See `brokers.base.Session.apply`."""
        outcomes: dict[int, Outcome] = {}
        lost: OperatorError | None = None
        kept: dict[Key, int] = {}
        for stage in by_stage(changes):
            full = {owner for change in stage if self._is_full(change) for owner in change.owners}
            for change in stage:
                try:
                    if lost is not None:
                        raise lost
                    await self._enter("write")
                    if change.removal is Removal.DELETE_IF_EMPTY and not full.isdisjoint(change.owners):
                        # The queues of one owner go as a whole or not at all.
                        outcome = Outcome(change, self._broker.resources.get(change.id), kept=True)
                    else:
                        outcome = self._write(change, kept)
                    outcomes[id(change)] = outcome
                    if outcome.kept:
                        kept = dict.fromkeys(change.owners, change.stage) | kept
                except OperatorError as error:
                    if isinstance(error, Unreachable | CredentialsRefused):
                        lost = error
                    outcomes[id(change)] = Outcome(change, change.observed, error)
        return [outcomes[id(change)] for change in changes]

    def _is_full(self, change: Change) -> bool:
        return change.removal is Removal.DELETE_IF_EMPTY and bool(self._broker.messages.get(change.id))

    def _write(self, change: Change, kept: Mapping[Key, int]) -> Outcome:
        broker = self._broker
        if broker.writes_left is not None:
            if broker.writes_left == 0:
                broker.unreachable = True
                self._check()
            broker.writes_left -= 1
        if change.action is Action.DELETE:
            if any(kept.get(owner, change.stage) < change.stage for owner in change.owners):
                # What an object that stayed refers to stays with it.
                return Outcome(change, broker.resources.get(change.id), kept=True)
            return self._delete(change)
        wanted, found = change.desired, broker.resources.get(change.id)
        if change.action is Action.RECREATE:
            if broker.messages.get(change.id):
                return Outcome(change, found, kept=True)
            found = None  # a new object comes in its place
        if wanted is None:
            raise Blocked(f"{change.id}: nothing to write", reason=Reason.BROKER_REFUSED)
        missing = next((rid for rid in self._driver.needs(wanted) if rid not in broker.resources), None)
        if missing is not None:
            raise Waiting(f"{change.id} waits for {missing}")
        difference = self._driver.diff(wanted, found) if found is not None else None
        if difference is not None and difference.blocked:
            what = "; ".join(difference.fields)
            raise Blocked(f"{change.id} exists already and does not fit: {what}", reason=Reason.ADOPTION_REFUSED)
        broker.writes.append(change)
        broker.resources[change.id] = wanted
        return Outcome(change, wanted)

    def _delete(self, change: Change) -> Outcome:
        broker = self._broker
        found = broker.resources.get(change.id)
        if self._is_full(change):
            return Outcome(change, found, kept=True)
        if found is not None and change.observed is not None:
            difference = self._driver.diff(change.observed, found)
            if difference is not None and difference.blocked:
                return Outcome(change, found, kept=True)  # somebody has put another object in its place
        broker.writes.append(change)
        for rid in (*self._driver.attached(change.id, broker.resources), change.id):
            broker.resources.pop(rid, None)
            broker.messages.pop(rid, None)
        return Outcome(change, None)

    async def close(self) -> None:
        """See `brokers.base.Session.close`."""
        self.is_closed = True
