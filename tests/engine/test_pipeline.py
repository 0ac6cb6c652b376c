"""A pipeline does each key once at a time, coalesces, bounds its work, and comes back after what passes."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.pipeline import LONGEST_WAIT, Pipeline
from channel_operator.errors import Blocked, Unreachable


def key(name: str) -> Key:
    return Key(Kind.QUEUE, "billing", name)


class Work:
    """Work that counts, waits where it is told to, and fails where it is told to."""

    def __init__(self) -> None:
        self.done: Counter[Key] = Counter()
        self.running: Counter[Key] = Counter()
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def __call__(self, one: Key) -> None:
        self.running[one] += 1
        assert self.running[one] == 1, "a key is never worked on twice at a time"
        self.most = max(self.most, self.running.total())
        await asyncio.sleep(0)
        await self.gate.wait()
        self.running[one] -= 1
        self.done[one] += 1
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def running(work: Work, *, leads: Callable[[], bool] = lambda: True) -> AsyncIterator[tuple[Pipeline, FakeClock]]:
    clock = FakeClock()
    pipeline = Pipeline("test", work, clock, leads=leads, concurrency=3)
    task = asyncio.create_task(pipeline.run())
    try:
        yield pipeline, clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_work_is_bounded_and_everything_is_done() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        for number in range(20):
            pipeline.add(key(str(number)))
        await clock.settle()
        assert set(work.done.values()) == {1}
        assert len(work.done) == 20
        assert work.most == 3
        assert len(pipeline) == 0


async def test_what_is_added_while_it_is_worked_on_is_done_once_more() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        work.gate.clear()
        pipeline.add(key("a"))
        await clock.settle()
        for _ in range(5):
            pipeline.add(key("a"))
        assert key("a") in pipeline
        work.gate.set()
        await clock.settle()
        assert work.done[key("a")] == 2


async def test_what_passes_is_tried_again_ever_more_slowly() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        work.error = Unreachable("away")
        pipeline.add(key("a"))
        await clock.advance(600)
        assert 600 / (LONGEST_WAIT * 1.2) <= work.done[key("a")] <= 60
        work.error = None
        await clock.advance(20)
        done = work.done[key("a")]
        await clock.advance(600)
        assert work.done[key("a")] == done


async def test_a_stated_time_is_kept() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        work.error = Unreachable("away", after=100.0)
        pipeline.add(key("a"))
        await clock.advance(79)
        assert work.done[key("a")] == 1
        await clock.advance(42)
        assert work.done[key("a")] == 2


async def test_what_only_a_user_can_mend_is_not_tried_again_and_a_bug_is() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        work.error = Blocked("no", reason="InvalidSpec")
        pipeline.add(key("a"))
        await clock.advance(600)
        assert work.done[key("a")] == 1
        work.error = ZeroDivisionError()
        pipeline.add(key("b"))
        await clock.advance(5)
        assert work.done[key("b")] > 1
        work.error = None
        pipeline.add(key("c"))
        await clock.settle()
        assert work.done[key("c")] == 1, "others go on"


async def test_it_rests_while_this_replica_does_not_lead() -> None:
    leads = False
    work = Work()
    async with running(work, leads=lambda: leads) as (pipeline, clock):
        pipeline.add(key("a"))
        await clock.advance(60)
        assert work.done.total() == 0
        leads = True
        await clock.advance(5)
        assert work.done[key("a")] == 1


async def test_a_dropped_key_is_not_done() -> None:
    work = Work()
    async with running(work) as (pipeline, clock):
        work.gate.clear()
        for name in "abcd":
            pipeline.add(key(name))
        await clock.settle()
        pipeline.discard(key("d"))
        work.gate.set()
        await clock.settle()
        assert work.done[key("d")] == 0
        assert work.done.total() == 3
