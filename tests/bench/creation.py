"""Case: all Queues of a workload, from the first POST until all are Ready and every user's Secret tells of them."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from channel_operator.api.meta import Kind
from tests.bench.measured import MeasuredOperator, cpu_seconds, machine_seconds
from tests.bench.raw import Raw
from tests.bench.sample import Sample
from tests.bench.servers import custom_path
from tests.bench.stage import Stage, each
from tests.bench.watching import Watch, grants, ready
from tests.bench.work import QUEUES_PER_PAIR, Workload

__all__ = ["Creation", "Round", "by_operator", "by_raw"]


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds since the first POST: last POST answered, all Queues Ready, all users told too.

    `cpu`: CPU seconds that each process used meanwhile; on a machine that does other things they say more than times.
    """

    posted: float
    ready: float
    settled: float
    cpu: dict[str, float]
    others: float
    """CPU seconds that everything else on the machine used: with more than a few the times mean little."""
    idle: float
    """CPU seconds that no process wanted."""


@dataclass(frozen=True, slots=True)
class Creation:
    """Rounds of one size, alternating, so that drift of the machine hits both alike."""

    size: int
    operator: tuple[Round, ...]
    raw: tuple[Round, ...]

    @property
    def ratio(self) -> float:
        """The median over the pairs of rounds of operator time to raw time, each until everything is written."""
        return statistics.median(o.settled / r.settled for o, r in zip(self.operator, self.raw, strict=True))

    @property
    def disturbance(self) -> float:
        """The largest share of the machine's working CPU time that anything else took in any round, 0 to 1."""
        rounds = (*self.operator, *self.raw)
        return max(one.others / (one.others + sum(one.cpu.values())) for one in rounds)

    @property
    def cpu_ratio(self) -> float:
        """The same of the CPU time of all processes."""
        pairs = zip(self.operator, self.raw, strict=True)
        return statistics.median(sum(o.cpu.values()) / sum(r.cpu.values()) for o, r in pairs)

    @property
    def ready_ratio(self) -> float:
        """The same until all Queues are Ready."""
        return statistics.median(o.ready / r.ready for o, r in zip(self.operator, self.raw, strict=True))


async def by_operator(stage: Stage, work: Workload, operator: MeasuredOperator) -> Round:
    """POST the Queues and let the operator do the rest."""
    collection = custom_path(Kind.QUEUE, work.name)

    async def post() -> None:
        await each(work.numbers, lambda number: stage.kube.call("POST", collection, work.queue(number)))

    return await _measure(stage, work, post, operator)


async def by_raw(stage: Stage, sample: Sample, work: Workload) -> Round:
    """Do everything here; no operator may run."""
    raw = Raw(stage, sample, work)
    await raw.prepare()
    return await _measure(stage, work, raw.create_all)


async def _measure(
    stage: Stage, work: Workload, run: Callable[[], Awaitable[None]], operator: MeasuredOperator | None = None
) -> Round:
    processes = {"API server": stage.lab.control_plane.pid, "RabbitMQ": stage.lab.rabbitmq.pid, "client": os.getpid()}
    if operator is not None:
        processes["operator"] = operator.pid
    async with (
        Watch(stage.kube, Kind.QUEUE, work.name) as queues,
        Watch(stage.kube, Kind.BROKER_USER, work.name) as users,
    ):
        all_ready = asyncio.create_task(queues.until(work.queues, ready))
        all_told = asyncio.create_task(users.until(work.users, grants(QUEUES_PER_PAIR)))
        await asyncio.sleep(0)  # both wait before anything can happen
        cpu = {name: cpu_seconds(pid) for name, pid in processes.items()}
        busy, idle = machine_seconds()
        begin = time.perf_counter()
        await run()
        posted = time.perf_counter()
        last_ready, last_told = await all_ready, await all_told
    busy_after, idle_after = machine_seconds()
    used = {name: cpu_seconds(pid) - cpu[name] for name, pid in processes.items()}
    await stage.verify(work)
    return Round(
        posted=posted - begin,
        ready=last_ready - begin,
        settled=max(last_ready, last_told) - begin,
        cpu=used,
        others=max(0.0, busy_after - busy - sum(used.values())),
        idle=idle_after - idle,
    )
