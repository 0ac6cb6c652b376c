"""Who leads: one replica, by a Lease. Decides nothing else; what a leader does is not its business.

A holder is judged only by when *this* process saw its Lease change, on the monotonic clock; the times in the Lease are
another machine's wall clock and are never compared. A Lease is no fence: a paused leader can still act, so whoever
destroys something asks `is_leader()` right before, and a new leader waits before it withdraws anything.
"""

import asyncio
import math
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import structlog

from channel_operator.engine.clock import Clock
from channel_operator.engine.ports import Conflict, LeaseClient, LeaseRecord
from channel_operator.errors import OperatorError, Unreachable

__all__ = ["Elector", "Leadership", "LeaseTimes", "Unelected"]

_log = structlog.get_logger("channel_operator.election")
_JITTER = 0.2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds: `retry` < `renew_deadline` < `duration`, or two could lead at once."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0


class Leadership(Protocol):
    """What the engine may ask."""

    leading: asyncio.Event
    """Set once this replica leads; cleared when it no longer does."""
    lost: asyncio.Event
    """Set when it led and does not any more: the process must end."""

    def is_leader(self) -> bool:
        """Whether this replica leads at this moment, as far as it can know."""


class Unelected:
    """The leadership of an only replica (`--leader-election=false`): always there."""

    def __init__(self) -> None:
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()
        self.leading.set()

    def is_leader(self) -> bool:
        """Return True."""
        return True


class Elector:
    """Competes for one Lease, and keeps it.

    `run` campaigns, then renews; it returns when leadership is lost, and for good: a process that lost it ends.
    Cancel it and `await release()` on a clean exit, after the last write.
    """

    def __init__(self, client: LeaseClient, clock: Clock, *, identity: str, times: LeaseTimes | None = None) -> None:
        self.leading = asyncio.Event()
        self.lost = asyncio.Event()
        self.succeeded_silent_leader = False
        """Whether the Lease ran out under another holder, whose last write may still be on its way to a broker."""
        self._client = client
        self._clock = clock
        self._identity = identity
        self._times = times or LeaseTimes()
        self._observed: LeaseRecord | None = None
        self._observed_at = 0.0
        self._renewed_at = -math.inf
        self._in_doubt = False
        """A write of ours went unanswered: the Lease may be ours without our knowing its version."""

    def is_leader(self) -> bool:
        """Whether the Lease is ours and was renewed within the renew deadline."""
        return self.leading.is_set() and self.renewal_age() < self._times.renew_deadline

    def renewal_age(self) -> float:
        """Seconds since the last renewal that the API server confirmed, counted from its sending; inf before."""
        return self._clock.monotonic() - self._renewed_at

    async def run(self) -> None:
        """Campaign until the Lease is ours, keep it until it is lost, then return."""
        while not await self._attempt(self._campaign(), self._times.renew_deadline):
            await self._clock.sleep(self._pause())
        _log.info("this replica leads", identity=self._identity)
        self.leading.set()
        try:
            await self._keep()
        finally:
            self.leading.clear()
        self.lost.set()
        _log.error("leadership is lost", identity=self._identity, holder=self._observed and self._observed.holder)

    async def release(self) -> None:
        """Give the Lease back, so that another replica need not wait for it to run out. Never raises for long."""
        self.leading.clear()
        record = self._observed
        if record is None or record.holder != self._identity:
            return
        empty = replace(record, holder="", duration=1.0, renewed=self._stamp())
        if await self._attempt(self._write(empty), self._times.retry):
            _log.info("the Lease is released", identity=self._identity)

    async def _keep(self) -> None:
        while (left := self._times.renew_deadline - self.renewal_age()) > 0:
            await self._clock.sleep(min(self._times.retry, left))
            left = self._times.renew_deadline - self.renewal_age()
            # Half the deadline for one try, so that a connection that hangs leaves time for another.
            bound = min(left, self._times.renew_deadline / 2)
            if left <= 0 or (not await self._attempt(self._renew(), bound) and not self._may_still_hold()):
                return

    def _may_still_hold(self) -> bool:
        held = self._observed is not None and self._observed.holder == self._identity
        return held and self.renewal_age() < self._times.renew_deadline

    async def _attempt(self, work: Awaitable[bool], seconds: float) -> bool:
        """Run one try within `seconds`; an error is a log line, since the next try comes soon."""
        try:
            return await self._bounded(work, seconds)
        except OperatorError as error:
            _log.warning("the Lease could not be read or written", reason=str(error))
            return False

    async def _bounded(self, work: Awaitable[_T], seconds: float) -> _T:
        task = asyncio.ensure_future(work)
        timer = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Unreachable(f"the API server did not answer within {seconds:.0f} s")
            return task.result()
        finally:
            timer.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _campaign(self) -> bool:
        record = self._see(await self._client.get())
        if record is None:
            stamp = self._stamp()
            return await self._write(LeaseRecord("", self._identity, self._times.duration, 0, stamp, stamp))
        # A Lease under our own name that we do not hold is another process with the same name: it runs out as well,
        # unless it is our own write that went unanswered.
        ours = self._in_doubt and record.holder == self._identity
        if record.holder and not ours and self._remaining(record) > 0:
            return False
        self.succeeded_silent_leader = bool(record.holder) and record.holder != self._identity
        stamp = self._stamp()
        taken = replace(
            record,
            holder=self._identity,
            duration=self._times.duration,
            transitions=record.transitions + (record.holder != self._identity),
            acquired=stamp,
            renewed=stamp,
        )
        return await self._write(taken)

    async def _renew(self) -> bool:
        if self._in_doubt or self._observed is None:
            record = self._see(await self._client.get())
            if record is None or record.holder != self._identity:
                self._observed = record
                return False
        assert self._observed is not None  # noqa: S101  # for the type checker: seen above
        try:
            return await self._write(replace(self._observed, duration=self._times.duration, renewed=self._stamp()))
        except Conflict:
            # Somebody annotated the Lease, or took it: the next look decides, at once.
            record = self._see(await self._client.get())
            if record is None or record.holder != self._identity:
                return False
            return await self._write(replace(record, duration=self._times.duration, renewed=self._stamp()))

    async def _write(self, record: LeaseRecord) -> bool:
        sent = self._clock.monotonic()
        self._in_doubt = True
        try:
            if record.resource_version:
                written = await self._client.replace(record)
            else:
                written = await self._client.create(record)
        except Conflict:
            self._in_doubt = False
            raise
        self._in_doubt = False
        self._observed, self._observed_at = written, sent
        if written.holder == self._identity:
            self._renewed_at = sent
        return True

    def _see(self, record: LeaseRecord | None) -> LeaseRecord | None:
        known = self._observed
        if record is None or known is None or record.resource_version != known.resource_version:
            self._observed, self._observed_at = record, self._clock.monotonic()
        return record

    def _remaining(self, record: LeaseRecord) -> float:
        """Seconds until a silent holder's Lease runs out, by when we saw it change last."""
        return self._observed_at + max(record.duration, self._times.duration) - self._clock.monotonic()

    def _pause(self) -> float:
        """Return the time to the next try: the retry period, or less when the holder's Lease runs out before."""
        pause = self._times.retry * (1 + _JITTER * self._clock.jitter.random())
        if self._observed is None or not self._observed.holder:
            return pause
        remaining = self._remaining(self._observed)
        return min(pause, remaining) if remaining > 0 else pause

    def _stamp(self) -> datetime:
        return self._clock.now().astimezone(UTC)
