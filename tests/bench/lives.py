"""Rounds over the whole life of a workload: its channels are created, changed and deleted, timed each.

Decides what belongs to one comparison, and that what the operator asks of the broker is counted in a round of its own.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from tests.bench import creation
from tests.bench.counting import CountingProxy
from tests.bench.rounds import Comparison, Round
from tests.bench.sample import Sample
from tests.bench.stage import Stage
from tests.bench.turnover import Turnover
from tests.bench.work import SUBSCRIPTIONS, Queues, Workload

__all__ = ["Lives", "Step"]

Step = str
"""create, policy, ttl, delete."""


@dataclass(slots=True)
class Lives:
    """Plays rounds and keeps them. `steps` are those that are played after the creation.

    `policies`: how many Queues get a time to live, each by a policy of its own: no more than the operator's own limit.
    """

    stage: Stage
    sample: Sample
    say: Callable[[str], None]
    steps: Collection[Step]
    policies: int
    _operator: dict[Step, list[Round]] = field(default_factory=dict)
    _raw: dict[Step, list[Round]] = field(default_factory=dict)
    _counted: dict[Step, tuple[int, Round]] = field(default_factory=dict)

    async def by_operator(self, work: Workload) -> None:
        """Play a round with the operator."""
        found = await self._play(work)
        for step, one in found.items():
            self._operator.setdefault(step, []).append(one)

    async def by_raw(self, work: Workload) -> None:
        """Play a round with the raw limit."""
        stage = self.stage
        async with stage.operator():
            await stage.prepare(work)
        found = {"create": await creation.by_raw(stage, self.sample, work)}
        self._tell("create", work, found["create"], "raw limit")
        found |= await self._after(work, Turnover(stage, self.sample, work), "raw limit")
        for step, one in found.items():
            self._raw.setdefault(step, []).append(one)

    async def count(self, work: Workload) -> None:
        """Play a round of the operator through the counting proxy."""
        lab = self.stage.lab
        async with CountingProxy(lab.rabbitmq, lab.ca, lab.state_dir / "proxy") as proxy:
            found = await self._play(work, proxy)
        self._counted = {step: (self._objects(step, work), one) for step, one in found.items()}

    async def _play(self, work: Workload, proxy: CountingProxy | None = None) -> Mapping[Step, Round]:
        stage, who = self.stage, "operator" if proxy is None else "operator, counted"
        books = stage.books(proxy)
        async with stage.operator() as operator:
            await stage.prepare(work, proxy.url if proxy is not None else None)
            found = {"create": await creation.by_operator(stage, work, operator, books=books)}
            self._tell("create", work, found["create"], who)
            turnover = Turnover(stage, self.sample, work, operator, books)
            found |= await self._after(work, turnover, who)
            for complaint in operator.complaints()[:5]:
                self.say(f"  the operator says: {complaint}")
        return found

    async def _after(self, work: Workload, turnover: Turnover, who: str) -> dict[Step, Round]:
        found: dict[Step, Round] = {}

        def done(step: Step, one: Round) -> None:
            found[step] = one
            self._tell(step, work, one, who)

        if self.steps and isinstance(work, Queues):
            # Without it the queues would be kept when they are deleted.
            policy = await turnover.deletion_policy()
            if "policy" in self.steps:
                done("policy", policy)
        if "ttl" in self.steps and isinstance(work, Queues):
            count = self._objects("ttl", work)
            done("ttl", await turnover.time_to_live(count))
            await turnover.no_time_to_live(count)
        if "delete" in self.steps:
            done("delete", await turnover.deletion())
        return found

    def _objects(self, step: Step, work: Workload) -> int:
        return min(self.policies, work.size) if step == "ttl" else len(work.names)

    def _tell(self, step: Step, work: Workload, one: Round, who: str) -> None:
        used = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in one.cpu.items())
        times = f"posted {one.posted:.2f} s, all done {one.ready:.2f} s, everything written {one.settled:.2f} s"
        cpu = f"CPU {used}, everything else {one.others:.1f} s, idle {one.idle:.1f} s"
        self.say(f"{self._called(step, work)}, {who}: {times}; {cpu}")

    def _called(self, step: Step, work: Workload) -> str:
        what = f"{work.size} Queues"
        if not isinstance(work, Queues):
            what = f"{work.size} Topics with {SUBSCRIPTIONS} Subscriptions each"
        return {
            "create": what,
            "policy": f"{what}, deletion policy changed",
            "ttl": f"{self._objects(step, work)} of {what}, time to live changed",
            "delete": f"{what}, deleted",
        }[step]

    def comparison(self, step: Step, work: Workload) -> Comparison:
        """Return the rounds of one step; `work`: one of those that were played."""
        requests = {}
        if step in self._counted:
            count, one = self._counted[step]
            requests = {method: number / count for method, number in sorted(one.broker_requests.items())}
        operator, raw = tuple(self._operator[step]), tuple(self._raw[step])
        return Comparison(self._called(step, work), operator, raw, self._objects(step, work), requests)
