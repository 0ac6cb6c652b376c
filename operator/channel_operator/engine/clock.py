"""The two clocks, the sleep and its jitter, so that all of time can be injected. Decides nothing.

Intervals and deadlines use the monotonic clock only; the wall clock is for stamps that people and other programs read.
"""

import asyncio
import heapq
import itertools
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

__all__ = ["Clock", "FakeClock", "SystemClock", "wait_until"]


class Clock(Protocol):
    """Where time comes from."""

    jitter: random.Random
    """Spreads what many would do at one moment; it protects nothing."""

    def monotonic(self) -> float:
        """Return seconds that only ever grow, from an arbitrary origin."""

    def now(self) -> datetime:
        """Return the wall time, UTC, with a time zone."""

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields to the event loop."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self.jitter = random.Random()  # noqa: S311  # no secret

    def monotonic(self) -> float:
        """Return seconds that only ever grow."""
        return time.monotonic()

    def now(self) -> datetime:
        """Return the wall time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(max(0.0, seconds))


class FakeClock:
    """A clock that tests move by hand; whoever sleeps on it wakes in order of due time.

    Its jitter follows from `seed`, so that a history that failed can be repeated.
    """

    _SETTLE = 50
    """Turns of the event loop given to woken tasks before time goes on: more than any chain of awaits in the code
    under test, which does no real I/O when this clock is used."""

    def __init__(self, start: datetime | None = None, *, seed: int = 0) -> None:
        self.jitter = random.Random(seed)  # noqa: S311  # no secret
        self._monotonic = 1000.0
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        """Return the fake monotonic time in seconds."""
        return self._monotonic

    def now(self) -> datetime:
        """Return the fake wall time."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has advanced the clock that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic + seconds, next(self._order), future))
        await future

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock alone forward or back, as an administrator or NTP would."""
        self._now += timedelta(seconds=seconds)

    async def settle(self) -> None:
        """Let every task run that can run without time passing."""
        for _ in range(self._SETTLE):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move both clocks forward, waking each sleeper at its own time."""
        await self.settle()
        target = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            self._move(due)
            if not future.done():
                future.set_result(None)
                await self.settle()
        self._move(target)
        await self.settle()

    def _move(self, to: float) -> None:
        self._now += timedelta(seconds=max(0.0, to - self._monotonic))
        self._monotonic = max(self._monotonic, to)


async def wait_until(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait for `event`, at most `seconds`; return whether it is set."""
    if event.is_set() or seconds <= 0:
        return event.is_set()
    waiter = asyncio.ensure_future(event.wait())
    timer = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({waiter, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        timer.cancel()
    return event.is_set()
