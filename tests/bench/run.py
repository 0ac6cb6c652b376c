"""The order of a run: a sample, single changes on an empty broker, handovers, whole lives, then what is in place.

Decides what is measured after what, so that nothing runs beside a measurement that does not belong to it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tests.bench import creation, handover, latency, settled
from tests.bench.counting import CountingProxy
from tests.bench.figures import Change, Results
from tests.bench.lives import Lives, Step
from tests.bench.sample import Sample, take, take_policy
from tests.bench.stage import Stage
from tests.bench.work import GROUP, SUBSCRIPTIONS, Queues, Topics, Workload

__all__ = ["CASES", "Plan", "run"]

CASES = ("create", "topics", "change", "delete", "latency", "restart", "steady", "large", "handover")
_STEPS = {"change": ("policy", "ttl"), "delete": ("delete",)}
"""What follows a creation in these cases."""
_SHARE_OF_TOPICS = 0.32
"""Of the channels of a large restart, Topics and Subscriptions."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure. `resync`: interval of the steady state; `busy`: of the resyncs that single changes run under.

    `policies`: how many Queues get a policy of their own; `large`: channels in place at the large restart.
    """

    sizes: Sequence[int] = (200, 1000)
    cases: Collection[str] = CASES
    topics: int = 200
    policies: int = 100
    large: int = 5000
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

    def _name(self) -> str:
        self._rounds += 1
        return f"bench-r{self._rounds:02d}"

    def _queues(self, size: int) -> Queues:
        return Queues(self._name(), size)

    def _topics(self, size: int) -> Topics:
        return Topics(self._name(), size)

    async def all(self) -> Results:
        plan, cases = self.plan, set(self.plan.cases)
        if "handover" in cases:
            await self._handovers()
        sample = None
        if cases & {"create", "change", "delete", "latency"}:
            sample = await self._sample(self._queues(GROUP))
            if "latency" in cases:
                await self._changes_on_nothing(sample)
            for size in plan.sizes:
                await self._lives_of_queues(size, sample)
        if cases & {"restart", "steady", "latency"}:
            await self._with_all_in_place(sample)
        if cases & {"topics", "delete"}:
            await self._lives_of_topics()
        if "large" in cases:
            await self._large()
        return self.results

    async def _sample(self, work: Workload) -> Sample:
        self.say("taking a sample of what the operator writes")
        async with self.stage.operator() as operator:
            await self.stage.prepare(work)
            await creation.by_operator(self.stage, work, operator)
            sample = await take(self.stage, work)
            if isinstance(work, Queues):
                sample = await take_policy(self.stage, work, sample)
        await self.stage.clear(work)
        return sample

    # -- many ----------------------------------------------------------------------------------------------------

    async def _lives_of_queues(self, size: int, sample: Sample) -> None:
        """Create Queues; as many as there are at most are changed and deleted as well."""
        cases, results = self.plan.cases, self.results
        steps = self._steps() if size == max(self.plan.sizes) else ()
        if "create" not in cases and not steps:
            return
        lives = self._lives(sample, steps)
        work = await self._play(lives, lambda: self._queues(size))
        if steps:
            counted = self._queues(min(self.plan.sizes))
            await lives.count(counted)
            await self.stage.clear(counted)
        if "create" in cases:
            results.creations.append(lives.comparison("create", work))
        results.turnovers += [lives.comparison(step, work) for step in steps]

    async def _lives_of_topics(self) -> None:
        """Create and delete Topics with Subscriptions."""
        cases, results = self.plan.cases, self.results
        lives = self._lives(
            await self._sample(self._topics(GROUP)), [step for step in self._steps() if step == "delete"]
        )
        work = await self._play(lives, lambda: self._topics(self.plan.topics))
        counted = self._topics(self.plan.topics)
        await lives.count(counted)
        await self.stage.clear(counted)
        if "topics" in cases:
            results.creations.append(lives.comparison("create", work))
        results.turnovers += [lives.comparison(step, work) for step in lives.steps]

    def _steps(self) -> list[Step]:
        return [step for case, steps in _STEPS.items() if case in self.plan.cases for step in steps]

    def _lives(self, sample: Sample, steps: Collection[Step]) -> Lives:
        return Lives(self.stage, sample, self.say, steps, self.plan.policies)

    async def _play(self, lives: Lives, fresh: Callable[[], Workload]) -> Workload:
        """Let raw limit and operator take turns; return the last workload."""
        work = fresh()
        for turn in range(self.plan.pairs):
            for number, play in enumerate((lives.by_raw, lives.by_operator)):
                work = work if turn == number == 0 else fresh()
                await play(work)
                await self.stage.clear(work)
        return work

    # -- one -----------------------------------------------------------------------------------------------------

    async def _changes_on_nothing(self, sample: Sample) -> None:
        works = self._queues(self.plan.changes), self._queues(self.plan.changes)
        async with self.stage.operator():
            for work in works:
                await self.stage.prepare(work)
            operator = await latency.by_operator(self.stage, works[0])
        await self.stage.clear(works[0])
        raw = await latency.by_raw(self.stage, sample, works[1])
        await self.stage.clear(works[1])
        self._changed("idle, 0 Queues in place", operator, raw, "40 ms")

    async def _changes_on(self, work: Queues, sample: Sample) -> None:
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
        work = self._queues(GROUP * self.plan.handovers)  # two of each five are used
        async with self.stage.operator():
            await self.stage.prepare(work)
        for one in await handover.measure(self.stage, work, self.plan.handovers):
            self.results.handovers.append(one)
            self.say(f"{one.how}: the standby leads after {one.leads:.2f} s, a Queue is Ready after {one.served:.2f} s")
        await self.stage.clear(work)

    # -- none ----------------------------------------------------------------------------------------------------

    async def _with_all_in_place(self, sample: Sample | None) -> None:
        stage, cases = self.stage, self.plan.cases
        work = self._queues(max(self.plan.sizes))
        async with stage.operator() as operator:
            await stage.prepare(work)
            await creation.by_operator(stage, work, operator)
        if "restart" in cases or "steady" in cases:
            await self._settled(work, len(work.names), restarts="restart" in cases, steady="steady" in cases)
        if sample is not None and "latency" in cases:
            await self._changes_on(work, sample)
        await stage.clear(work)

    async def _large(self) -> None:
        """Put thousands of channels in place, without users, and restart."""
        stage, plan = self.stage, self.plan
        topics = GROUP * max(1, round(plan.large * _SHARE_OF_TOPICS / (1 + SUBSCRIPTIONS) / GROUP))
        queues = Queues(self._name(), plan.large - topics * (1 + SUBSCRIPTIONS), bare=True)
        others = Topics(queues.name, topics, bare=True)
        async with stage.operator() as operator:
            await stage.prepare(queues)
            for work in (queues, others):
                found = await creation.by_operator(stage, work, operator)
                self.say(f"{len(work.names)} channels without users: all Ready after {found.ready:.2f} s")
        await self._settled(queues, plan.large, restarts=True, steady=False)

    async def _settled(self, work: Workload, objects: int, *, restarts: bool, steady: bool) -> None:
        stage, results, lab = self.stage, self.results, self.stage.lab
        async with CountingProxy(lab.rabbitmq, lab.ca, lab.state_dir / "proxy") as proxy:
            await settled.lead_through(stage, work, proxy)
            await settled.restart(stage, work, proxy)  # takes in the changed Broker: not counted
            for _ in range(self.plan.restarts if restarts else 0):
                results.restarts.append(await settled.restart(stage, work, proxy, objects=objects))
                self.say(f"restart with {objects} in place: quiet after {results.restarts[-1].quiet:.2f} s")
            if steady:
                results.quiet = await settled.steady(stage, work, proxy, interval=self.plan.resync)
            await settled.lead_through(stage, work, None)

    def _complain(self, complaints: Sequence[object]) -> None:
        for complaint in complaints[:5]:
            self.say(f"  the operator says: {complaint}")


async def run(stage: Stage, plan: Plan, say: Callable[[str], None]) -> Results:
    """Measure what the plan says; `say` is told of progress."""
    return await _Run(stage, plan, say).all()
