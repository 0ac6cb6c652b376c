"""Leader election with a clock moved by hand: who leads when, whatever happens to processes and the API server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from channel_operator.engine.clock import FakeClock
from channel_operator.engine.election import Elector, LeaseTimes, Unelected
from channel_operator.engine.ports import Conflict, LeaseRecord
from channel_operator.errors import Unreachable


class LeaseObject:
    """One Lease with the API server's rules on versions, and the ways it can fail."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.away = False
        self.hangs = False
        self.forgets_to_answer = False
        self.writes = 0

    async def get(self) -> LeaseRecord | None:
        await self._arrive()
        return self.record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        await self._arrive()
        if self.record is not None:
            raise Conflict("it exists")
        return await self._store(record)

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        await self._arrive()
        if self.record is None or self.record.resource_version != record.resource_version:
            raise Conflict("it changed")
        return await self._store(record)

    async def _arrive(self) -> None:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.away:
            raise Unreachable("the API server is away")
        await asyncio.sleep(0)

    async def _store(self, record: LeaseRecord) -> LeaseRecord:
        self.writes += 1
        self.record = replace(record, resource_version=str(self.writes))
        if self.forgets_to_answer:
            raise Unreachable("the connection broke after the request was sent")
        return self.record


class Seat:
    """One replica's own way to the shared Lease, so that it alone can be cut off."""

    def __init__(self, lease: LeaseObject) -> None:
        self.lease = lease
        self.away = False

    async def get(self) -> LeaseRecord | None:
        self._check()
        return await self.lease.get()

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        self._check()
        return await self.lease.create(record)

    async def replace(self, record: LeaseRecord) -> LeaseRecord:
        self._check()
        return await self.lease.replace(record)

    def _check(self) -> None:
        if self.away:
            raise Unreachable("this replica is cut off")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def lease() -> LeaseObject:
    return LeaseObject()


class Replica:
    def __init__(self, name: str, lease: LeaseObject, clock: FakeClock) -> None:
        self.seat = Seat(lease)
        self.elector = Elector(self.seat, clock, identity=name, times=LeaseTimes())
        self.task = asyncio.create_task(self.elector.run())

    async def crash(self) -> None:
        """Stop without a word, as SIGKILL does."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    async def leave(self) -> None:
        """Exit cleanly."""
        await self.crash()
        await self.elector.release()


@asynccontextmanager
async def replicas(*names: str, lease: LeaseObject, clock: FakeClock) -> AsyncIterator[list[Replica]]:
    made = []
    for name in names:
        made.append(Replica(name, lease, clock))
        await clock.settle()
    yield made
    for replica in made:
        await replica.crash()


async def until(clock: FakeClock, condition: Callable[[], bool], *, at_most: float) -> float:
    """Advance in small steps until the condition holds; return the seconds that took."""
    passed = 0.0
    while not condition():
        assert passed < at_most, f"not within {at_most} s"
        await clock.advance(0.1)
        passed += 0.1
    return passed


async def test_the_first_replica_leads_at_once_and_the_second_waits(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        assert a.elector.is_leader()
        await clock.advance(120)
        assert a.elector.is_leader()
        assert not b.elector.is_leader()
        assert lease.record is not None
        assert (lease.record.holder, lease.record.transitions) == ("a", 0)


async def test_a_crashed_leader_is_replaced_when_its_lease_has_run_out_and_not_before(
    lease: LeaseObject, clock: FakeClock
) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        await clock.advance(60)
        await a.crash()
        passed = await until(clock, b.elector.is_leader, at_most=20)
        # The last renewal was up to one retry period before the crash, and the other saw it up to one look later.
        assert 12 <= passed <= 17.5
        assert lease.record is not None
        assert lease.record.transitions == 1


async def test_after_a_clean_exit_the_other_leads_within_three_seconds(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        await clock.advance(30)
        await a.leave()
        assert not a.elector.is_leader()
        assert await until(clock, b.elector.is_leader, at_most=10) <= 3


async def test_a_leader_that_cannot_renew_knows_it_before_anyone_else_can_lead(
    lease: LeaseObject, clock: FakeClock
) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        await clock.advance(30)
        a.seat.away = True
        given_up = await until(clock, lambda: not a.elector.is_leader(), at_most=12)
        assert given_up <= 10.1
        await until(clock, a.elector.lost.is_set, at_most=0.5)
        assert not b.elector.is_leader()
        await until(clock, b.elector.is_leader, at_most=8)


async def test_a_short_outage_of_the_api_server_costs_nobody_the_lead(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        await clock.advance(30)
        lease.away = True
        await clock.advance(7)
        assert a.elector.is_leader()
        lease.away = False
        await clock.advance(60)
        assert a.elector.is_leader()
        assert not a.elector.lost.is_set()
        assert not b.elector.is_leader()


async def test_an_api_server_that_hangs_is_no_different_from_one_that_is_away(
    lease: LeaseObject, clock: FakeClock
) -> None:
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(30)
        lease.hangs = True
        await until(clock, a.elector.lost.is_set, at_most=12)
        assert a.task.done()


async def test_nobody_leads_twice_when_both_see_the_same_expired_lease(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "b", "c", lease=lease, clock=clock) as (a, b, c):
        await a.crash()
        await until(clock, lambda: b.elector.is_leader() or c.elector.is_leader(), at_most=20)
        await clock.advance(60)
        assert b.elector.is_leader() != c.elector.is_leader()


async def test_jumps_of_the_wall_clock_change_nothing(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "b", lease=lease, clock=clock) as (a, b):
        for jump in (3600.0, -7200.0):
            clock.jump_wall(jump)
            await clock.advance(20)
            assert a.elector.is_leader()
            assert not b.elector.is_leader()


async def test_a_lease_stamped_by_a_clock_far_behind_is_still_respected(lease: LeaseObject, clock: FakeClock) -> None:
    old = clock.now().replace(year=2001)
    lease.record = LeaseRecord("7", "stranger", 15.0, 3, old, old)
    lease.writes = 7
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(14)
        assert not a.elector.is_leader()
        await until(clock, a.elector.is_leader, at_most=2)


async def test_a_lease_taken_by_force_ends_the_leader_at_its_next_renewal(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(10)
        assert lease.record is not None
        lease.record = replace(lease.record, holder="stranger", resource_version="999")
        await until(clock, a.elector.lost.is_set, at_most=2.5)
        assert not a.elector.is_leader()
        assert lease.record.holder == "stranger"


async def test_someone_annotating_the_lease_does_not_end_the_leader(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(10)
        assert lease.record is not None
        lease.record = replace(lease.record, resource_version="999")
        await clock.advance(30)
        assert a.elector.is_leader()


async def test_a_renewal_whose_answer_was_lost_does_not_end_the_leader(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(10)
        lease.forgets_to_answer = True
        await clock.advance(4)
        lease.forgets_to_answer = False
        await clock.advance(30)
        assert a.elector.is_leader()


async def test_a_first_write_whose_answer_was_lost_still_makes_a_leader(lease: LeaseObject, clock: FakeClock) -> None:
    lease.forgets_to_answer = True
    async with replicas("a", lease=lease, clock=clock) as (a,):
        assert not a.elector.is_leader()
        lease.forgets_to_answer = False
        assert await until(clock, a.elector.is_leader, at_most=20) <= 3


async def test_two_processes_under_one_name_do_not_lead_together(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", "a", lease=lease, clock=clock) as (first, second):
        await clock.advance(60)
        assert first.elector.is_leader()
        assert not second.elector.is_leader()


async def test_a_leader_frozen_past_its_deadline_does_not_think_it_leads(lease: LeaseObject, clock: FakeClock) -> None:
    async with replicas("a", lease=lease, clock=clock) as (a,):
        await clock.advance(10)
        clock._monotonic += 60  # as after SIGSTOP and SIGCONT: time went on, no task ran
        assert not a.elector.is_leader()


async def test_without_election_the_only_replica_leads() -> None:
    alone = Unelected()
    assert alone.is_leader()
    assert alone.leading.is_set()
