"""A few workers beside the broker stage, fed with keys: each key once, never by two workers at a time.

Decides nothing about the work; it bounds it, coalesces it and brings back what failed for a reason that passes.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from channel_operator.core.model import Key
from channel_operator.engine.clock import Clock
from channel_operator.errors import OperatorError, Retry

__all__ = ["Pipeline"]

LONGEST_WAIT = 15.0
"""Seconds between tries while the other side is away."""
NOT_LEADING = 2.0
"""Seconds until a replica that lost the lead, and should be about to end, looks again."""

log = structlog.get_logger(__name__)


class Pipeline:
    """Runs `work(key)` for each added key, at most `concurrency` at a time, and only while this replica `leads`."""

    def __init__(
        self,
        name: str,
        work: Callable[[Key], Awaitable[None]],
        clock: Clock,
        *,
        leads: Callable[[], bool],
        concurrency: int = 8,
    ) -> None:
        self._name = name
        self._work = work
        self._clock = clock
        self._leads = leads
        self._concurrency = concurrency
        self._waiting: dict[Key, None] = {}
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._tries: dict[Key, int] = {}
        self._delayed: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def add(self, key: Key) -> None:
        """Have a key worked on; while it is, once more afterwards."""
        if key in self._active:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._wake.set()

    def discard(self, key: Key) -> None:
        """Drop a key that waits."""
        self._waiting.pop(key, None)
        self._again.discard(key)
        self._tries.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._waiting or key in self._active

    def __len__(self) -> int:
        return len(self._waiting) + len(self._active)

    async def run(self) -> None:
        """Work until cancelled."""
        workers = [asyncio.create_task(self._worker(), name=f"{self._name}-{n}") for n in range(self._concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in (*workers, *self._delayed):
                task.cancel()

    async def _worker(self) -> None:
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            key = next(iter(self._waiting))
            del self._waiting[key]
            self._active.add(key)
            try:
                await self._one(key)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _one(self, key: Key) -> None:
        if not self._leads():
            self._retry(key, Retry("this replica does not lead any more", after=NOT_LEADING))
            return
        try:
            await self._work(key)
        except Retry as error:
            self._retry(key, error)
        except OperatorError as error:
            log.warning(
                "not done", pipeline=self._name, kind=key.kind, namespace=key.namespace, name=key.name, why=str(error)
            )
        except Exception:
            log.exception("bug", pipeline=self._name, kind=key.kind, namespace=key.namespace, name=key.name)
            self._retry(key, None)
        else:
            self._tries.pop(key, None)

    def _retry(self, key: Key, error: Retry | None) -> None:
        tries = self._tries.get(key, 0)
        self._tries[key] = tries + 1
        after = error.after if error is not None else None
        delay = min(LONGEST_WAIT, 0.2 * 2 ** min(tries, 10)) if after is None else after
        task = asyncio.create_task(self._later(key, delay * self._clock.jitter.uniform(0.8, 1.2)))
        self._delayed.add(task)
        task.add_done_callback(self._delayed.discard)
        if tries == 0 and error is not None:
            log.info("will try again", pipeline=self._name, kind=key.kind, name=key.name, why=str(error))

    async def _later(self, key: Key, delay: float) -> None:
        await self._clock.sleep(delay)
        self.add(key)
