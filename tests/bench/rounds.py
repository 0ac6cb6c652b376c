"""One round: something is asked for, and a watch sees when all of it is done; and rounds compared with the raw limit.

Decides how time, CPU and writes are taken, for the operator and for the raw limit alike.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from channel_operator.api.meta import Kind
from tests.bench.counting import READING, AuditLog, Books
from tests.bench.measured import MeasuredOperator, cpu_seconds, machine_seconds
from tests.bench.stage import Stage
from tests.bench.watching import Condition, Watch
from tests.bench.work import Workload, kind_of

__all__ = ["Comparison", "Goal", "Round", "goals", "measure"]


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds since the first request: last request answered, all channels done, all users told too.

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
    kube_writes: dict[str, int] = field(default_factory=dict)
    """The operator's, Events left out, by verb and resource."""
    broker_requests: dict[str, int] = field(default_factory=dict)
    """The operator's by method, where it went through the counting proxy."""


class Goal(NamedTuple):
    """What these objects of one kind shall come to."""

    kind: Kind
    names: Collection[str]
    condition: Condition


def goals(names: Collection[str], condition: Condition) -> list[Goal]:
    """Return the goals for objects of several kinds."""
    kinds = {kind_of(name) for name in names}
    return [Goal(kind, [name for name in names if kind_of(name) == kind], condition) for kind in sorted(kinds)]


async def measure(
    stage: Stage,
    work: Workload,
    run: Callable[[], Awaitable[None]],
    channels: Sequence[Goal],
    users: Sequence[Goal] = (),
    *,
    operator: MeasuredOperator | None = None,
    books: Books | None = None,
) -> Round:
    """Run it and wait until the channels and the users are what they shall be."""
    processes = {"API server": stage.lab.control_plane.pid, "RabbitMQ": stage.lab.rabbitmq.pid, "client": os.getpid()}
    if operator is not None:
        processes["operator"] = operator.pid
    async with AsyncExitStack() as stack:
        waits = []
        for goal in (*channels, *users):
            watch = await stack.enter_async_context(Watch(stage.kube, goal.kind, work.name))
            waits.append(asyncio.create_task(watch.until(goal.names, goal.condition)))
        await asyncio.sleep(0)  # all wait before anything can happen
        cpu = {name: cpu_seconds(pid) for name, pid in processes.items()}
        busy, idle = machine_seconds()
        if books is not None:
            books.begin()
        begin = time.perf_counter()
        await run()
        posted = time.perf_counter()
        moments = await asyncio.gather(*waits)
    busy_after, idle_after = machine_seconds()
    used = {name: cpu_seconds(pid) - cpu[name] for name, pid in processes.items()}
    return Round(
        posted=posted - begin,
        ready=max(moments[: len(channels)]) - begin,
        settled=max(moments) - begin,
        cpu=used,
        others=max(0.0, busy_after - busy - sum(used.values())),
        idle=idle_after - idle,
        kube_writes=AuditLog.written(await books.kube()) if books is not None else {},
        broker_requests=dict(books.broker_requests) if books is not None else {},
    )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rounds of one sort, alternating, so that drift of the machine hits operator and raw limit alike."""

    what: str
    operator: tuple[Round, ...]
    raw: tuple[Round, ...]
    objects: int = 0
    """How many channels are concerned."""
    broker_requests: dict[str, float] = field(default_factory=dict)
    """For each channel, by method, counted in a round of its own: the counting proxy takes time."""

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
        """The same until all channels are done."""
        return statistics.median(o.ready / r.ready for o, r in zip(self.operator, self.raw, strict=True))

    @property
    def kube_writes(self) -> float:
        """The operator's writes to the API server for each channel, those that tell users included."""
        return statistics.median(sum(o.kube_writes.values()) for o in self.operator) / self.objects

    @property
    def broker_writes(self) -> float:
        """The operator's requests to the broker for each channel that could have changed something."""
        return sum(count for method, count in self.broker_requests.items() if method not in READING)
