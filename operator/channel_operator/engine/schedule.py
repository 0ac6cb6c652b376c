"""Decides when a key's turn comes: dirty sets by priority, exponential backoff with jitter, and timed returns.

A key is in it at most once, however often it was touched. No fixed delay: an idle loop is woken by the first key.
"""

import asyncio
import heapq
from collections.abc import Iterable
from enum import IntEnum

from channel_operator.core.model import Key
from channel_operator.engine.clock import Clock, wait_until

__all__ = ["Priority", "Schedule"]

FIRST_RETRY = 0.5
LONGEST_RETRY = 60.0
"""Seconds between tries of one key: from the first to the longest, doubling, with jitter."""
SOONEST = 0.05
"""Seconds after which a key comes back at the earliest. What is left of a time measured by another clock may be too
little to make a difference on this one, and the key would come back for ever without its time being over."""


class Priority(IntEnum):
    """User edits and deletions before retries, retries before routine."""

    EDIT = 0
    RETRY = 1
    RESYNC = 2


class Schedule:
    """What one broker's loop has to look at, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._dirty: dict[Priority, dict[Key, None]] = {priority: {} for priority in Priority}
        self._timed: list[tuple[float, int, Key]] = []
        self._tries: dict[Key, int] = {}
        self._count = 0
        self._wake = asyncio.Event()

    def add(self, keys: Iterable[Key], priority: Priority = Priority.EDIT) -> None:
        """Make keys dirty; a key that waits at a lower priority moves up."""
        for key in keys:
            for lower in Priority:
                if lower > priority:
                    self._dirty[lower].pop(key, None)
            if not any(key in self._dirty[higher] for higher in Priority if higher < priority):
                self._dirty[priority][key] = None
        self._wake.set()

    def retry(self, key: Key, after: float | None = None) -> None:
        """Bring a key back by backoff, or after a stated number of seconds."""
        tries = self._tries.get(key, 0)
        self._tries[key] = tries + 1
        # The exponent is bounded before the power is taken, so that thousands of tries cannot overflow.
        delay = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(tries, 16)) if after is None else after
        self.later(key, delay * self._clock.jitter.uniform(0.8, 1.2))

    def later(self, key: Key, seconds: float) -> None:
        """Bring a key back after some seconds."""
        self._count += 1
        heapq.heappush(self._timed, (self._clock.monotonic() + max(seconds, SOONEST), self._count, key))
        self._wake.set()

    def settled(self, key: Key) -> None:
        """Forget how often a key was tried."""
        self._tries.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop a key that is gone for good."""
        self.settled(key)
        for keys in self._dirty.values():
            keys.pop(key, None)

    def take(self, limit: int) -> list[Key]:
        """Take up to `limit` keys that are due, the more urgent first."""
        self._ripen()
        taken: list[Key] = []
        for keys in self._dirty.values():
            while keys and len(taken) < limit:
                key = next(iter(keys))
                del keys[key]
                taken.append(key)
        return taken

    def take_all(self) -> None:
        """Forget what is dirty now: everything is about to be looked at."""
        for keys in self._dirty.values():
            keys.clear()

    def next_due(self) -> float | None:
        """Return in how many seconds a timed key is due, None if there is none."""
        return max(0.0, self._timed[0][0] - self._clock.monotonic()) if self._timed else None

    def depth(self) -> dict[Priority, int]:
        """Return how many keys wait, by priority."""
        return {priority: len(keys) for priority, keys in self._dirty.items()}

    async def wait(self, longest: float) -> bool:
        """Wait until a key is due, at most `longest` seconds; return whether one is."""
        deadline = self._clock.monotonic() + longest
        while not self._is_due():
            self._wake.clear()
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return False
            due = self.next_due()
            await wait_until(self._wake, self._clock, left if due is None else min(left, due))
        return True

    def _is_due(self) -> bool:
        self._ripen()
        return any(self._dirty.values())

    def _ripen(self) -> None:
        now = self._clock.monotonic()
        while self._timed and self._timed[0][0] <= now:
            _, _, key = heapq.heappop(self._timed)
            if not any(key in keys for keys in self._dirty.values()):
                self._dirty[Priority.RETRY][key] = None
