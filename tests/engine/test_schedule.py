"""Whose turn it is: urgency, backoff, timed returns, and nobody waits for a fixed delay."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.schedule import LONGEST_RETRY, Priority, Schedule


def key(name: str) -> Key:
    return Key(Kind.QUEUE, "billing", name)


A, B, C = key("a"), key("b"), key("c")


def schedule() -> tuple[FakeClock, Schedule]:
    clock = FakeClock()
    return clock, Schedule(clock)


def test_edits_come_before_retries_and_retries_before_routine() -> None:
    _, s = schedule()
    s.add([C], Priority.RESYNC)
    s.add([B], Priority.RETRY)
    s.add([A])
    assert s.take(10) == [A, B, C]


def test_a_key_waits_once_and_moves_up_only() -> None:
    _, s = schedule()
    s.add([A, B], Priority.RESYNC)
    s.add([B], Priority.EDIT)
    s.add([B], Priority.RESYNC)
    assert s.take(10) == [B, A]
    assert s.take(10) == []


def test_a_batch_is_bounded_and_the_rest_stays() -> None:
    _, s = schedule()
    keys = [key(str(n)) for n in range(7)]
    s.add(keys)
    assert s.take(3) == keys[:3]
    assert s.depth() == {Priority.EDIT: 4, Priority.RETRY: 0, Priority.RESYNC: 0}


async def test_retries_grow_to_a_bound_and_start_anew_after_success() -> None:
    clock, s = schedule()
    delays = []
    for _ in range(40):
        s.retry(A)
        due = s.next_due()
        assert due is not None
        delays.append(due)
        await clock.advance(due + 0.01)
        assert s.take(1) == [A]
    assert 0.4 <= delays[0] <= 0.6
    assert max(delays) <= LONGEST_RETRY * 1.2
    assert min(delays[10:]) >= LONGEST_RETRY * 0.8
    s.settled(A)
    s.retry(A)
    due = s.next_due()
    assert due is not None
    assert due <= 0.6


async def test_a_waiter_wakes_at_the_first_key_and_at_the_time_of_a_timed_one() -> None:
    clock, s = schedule()
    waiting = asyncio.create_task(s.wait(100))
    await clock.settle()
    assert not waiting.done()
    s.add([A])
    await clock.settle()
    assert await waiting is True
    s.take(1)
    s.later(B, 5)
    waiting = asyncio.create_task(s.wait(100))
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert await waiting is True
    assert s.take(1) == [B]


async def test_a_time_too_short_for_the_clock_to_tell_passes_all_the_same() -> None:
    clock, s = schedule()
    s.later(A, 1e-13)
    waiting = asyncio.create_task(s.wait(100))
    await clock.settle()
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting is True
    assert s.take(1) == [A]


async def test_a_waiter_gives_up_in_the_end() -> None:
    clock, s = schedule()
    waiting = asyncio.create_task(s.wait(10))
    await clock.advance(10)
    assert await waiting is False


def test_a_key_that_is_gone_for_good_is_forgotten() -> None:
    _, s = schedule()
    s.add([A, B])
    s.forget(A)
    assert s.take(10) == [B]


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.sampled_from(list(Priority)))), st.integers(1, 4))
def test_nothing_is_lost_and_nothing_comes_twice(added: list[tuple[Key, Priority]], limit: int) -> None:
    _, s = schedule()
    for one, priority in added:
        s.add([one], priority)
    taken: list[Key] = []
    while batch := s.take(limit):
        assert len(batch) <= limit
        taken += batch
    assert sorted(taken) == sorted({one for one, _ in added})
    best = {one: min(p for k, p in added if k == one) for one, _ in added}
    assert [best[one] for one in taken] == sorted(best[one] for one in taken)
