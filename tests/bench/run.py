"""The order of a run: a sample, single changes on an empty broker, handovers, creations, then what is in place.

Decides what is measured after what, so that nothing runs beside a measurement that does not belong to it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tests.bench import creation, handover, latency, settled
from tests.bench.counting import CountingProxy
from tests.bench.creation import Creation, Round
from tests.bench.figures import Change, Results
from tests.bench.sample import Sample, take
from tests.bench.stage import Stage
from tests.bench.work import QUEUES_PER_PAIR, Workload

__all__ = ["CASES", "Plan", "run"]

CASES = ("create", "latency", "restart", "steady", "handover")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `resync`: interval of the steady state; `busy`: of the resyncs that single changes run under."""

    sizes: Sequence[int] = (200, 1000)
    cases: Collection[str] = CASES
    pairs: int = 3
    changes: int = 100
    restarts: int = 3
    handovers: int = 3
    resync: str = "5s"
    busy: str = "300ms"


class _Run:
    def __init__(self, stage: Stage, plan: Plan, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.plan = plan
        self.say = say
        self.results = Results()
        self._rounds = 0

    def _work(self, size: int) -> Workload:
        self._rounds += 1
        return Workload(f"bench-r{self._rounds:02d}", size)

    async def all(self) -> Results:
        plan, stage = self.plan, self.stage
        sample = await self._sample()
        if "latency" in plan.cases:
            await self._changes_on_nothing(sample)
        if "handover" in plan.cases:
            await self._handovers()
        for size in plan.sizes:
            last = size == max(plan.sizes)
            in_place = self._in_place_cases() if last else ()
            work = await self._creations(size, sample, keep=bool(in_place))
            if work is not None:
                await self._with_all_in_place(work, sample, in_place)
                await stage.clear(work)
        return self.results

    def _in_place_cases(self) -> Collection[str]:
        return [case for case in self.plan.cases if case not in {"create", "handover"}]

    async def _sample(self) -> Sample:
        self.say("taking a sample of what the operator writes")
        work = self._work(QUEUES_PER_PAIR)
        async with self.stage.operator() as operator:
            await self.stage.prepare(work)
            await creation.by_operator(self.stage, work, operator)
            sample = await take(self.stage, work)
        await self.stage.clear(work)
        return sample

    # -- many ----------------------------------------------------------------------------------------------------

    async def _creations(self, size: int, sample: Sample, *, keep: bool) -> Workload | None:
        """Alternate raw and operator; with `keep`, leave the last operator round in place and return it."""
        raw: list[Round] = []
        operator: list[Round] = []
        measured = "create" in self.plan.cases
        kept = None
        for turn in range(self.plan.pairs if measured else 1):
            if measured:
                raw.append(await self._raw_round(size, sample))
            if measured or keep:
                work = self._work(size)
                operator.append(await self._operator_round(work))
                if keep and (turn == self.plan.pairs - 1 or not measured):
                    kept = work
                else:
                    await self.stage.clear(work)
        if measured:
            self.results.creations.append(Creation(size, tuple(operator), tuple(raw)))
        return kept

    async def _raw_round(self, size: int, sample: Sample) -> Round:
        work = self._work(size)
        async with self.stage.operator():
            await self.stage.prepare(work)
        found = await creation.by_raw(self.stage, sample, work)
        self.say(f"{size} Queues, raw limit: {found.settled:.2f} s; CPU {_listed(found)}")
        await self.stage.clear(work)
        return found

    async def _operator_round(self, work: Workload) -> Round:
        async with self.stage.operator() as operator:
            await self.stage.prepare(work)
            found = await creation.by_operator(self.stage, work, operator)
            self._complain(operator.complaints())
        times = f"posted {found.posted:.2f} s, all Ready {found.ready:.2f} s, everything written {found.settled:.2f} s"
        self.say(f"{work.size} Queues, operator: {times}; CPU {_listed(found)}")
        return found

    # -- one -----------------------------------------------------------------------------------------------------

    async def _changes_on_nothing(self, sample: Sample) -> None:
        works = self._work(self.plan.changes), self._work(self.plan.changes)
        async with self.stage.operator():
            for work in works:
                await self.stage.prepare(work)
            operator = await latency.by_operator(self.stage, works[0])
        await self.stage.clear(works[0])
        raw = await latency.by_raw(self.stage, sample, works[1])
        await self.stage.clear(works[1])
        self._changed("idle, 0 Queues in place", operator, raw, "40 ms")

    async def _changes_on(self, work: Workload, sample: Sample) -> None:
        """Single changes on the Broker that has everything in place: idle, then under resyncs, then raw."""
        idle = work.more(self.plan.changes)
        busy = idle.more(self.plan.changes)
        raw = busy.more(self.plan.changes)
        async with self.stage.operator():
            await self.stage.add_users(idle)
            operator = await latency.by_operator(self.stage, idle)
            for other in (busy, raw):
                await self.stage.add_users(other)
        async with self.stage.operator(resync_interval=self.plan.busy) as under:
            beside = await latency.by_operator(self.stage, busy)
            self._complain(under.complaints())
        limit = await latency.by_raw(self.stage, sample, raw)
        self._changed(f"idle, {work.size} Queues in place", operator, limit, "40 ms")
        self._changed(f"{work.size} in place, resyncs every {self.plan.busy}", beside, None, "")

    def _changed(self, condition: str, operator: latency.Latency, raw: latency.Latency | None, target: str) -> None:
        self.results.changes.append(Change(condition, operator, raw, target))
        limit = "" if raw is None else f", raw p50 {raw.p50:.0f} ms"
        self.say(f"one change, {condition}: p50 {operator.p50:.0f} ms, p99 {operator.p99:.0f} ms{limit}")

    async def _handovers(self) -> None:
        work = self._work(QUEUES_PER_PAIR * self.plan.handovers)  # two of each five are used
        async with self.stage.operator():
            await self.stage.prepare(work)
        for one in await handover.measure(self.stage, work, self.plan.handovers):
            self.results.handovers.append(one)
            self.say(f"{one.how}: the standby leads after {one.leads:.2f} s, a Queue is Ready after {one.served:.2f} s")
        await self.stage.clear(work)

    # -- none ----------------------------------------------------------------------------------------------------

    async def _with_all_in_place(self, work: Workload, sample: Sample, cases: Collection[str]) -> None:
        stage, results = self.stage, self.results
        results.in_place = work.size
        lab = stage.lab
        if {"restart", "steady"} & set(cases):
            async with CountingProxy(lab.rabbitmq, lab.ca, lab.state_dir / "proxy") as proxy:
                await settled.lead_through(stage, work, proxy)
                await settled.restart(stage, work, proxy)  # takes in the changed Broker: not counted
                for _ in range(self.plan.restarts if "restart" in cases else 0):
                    results.restarts.append(await settled.restart(stage, work, proxy))
                if "steady" in cases:
                    results.quiet = await settled.steady(stage, work, proxy, interval=self.plan.resync)
                await settled.lead_through(stage, work, None)
        if "latency" in cases:
            await self._changes_on(work, sample)

    def _complain(self, complaints: Sequence[object]) -> None:
        for complaint in complaints[:5]:
            self.say(f"  the operator says: {complaint}")


def _listed(found: Round) -> str:
    used = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in found.cpu.items())
    return f"{used}, everything else {found.others:.1f} s, idle {found.idle:.1f} s"


async def run(stage: Stage, plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure what the plan says; `say` is told of progress."""
    return await _Run(stage, plan, say).all()
