"""Case: one change at a time on an otherwise idle system, from the POST of a Queue until a watch sees it Ready."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from channel_operator.api.meta import Kind
from tests.bench.raw import Raw
from tests.bench.sample import Sample
from tests.bench.servers import custom_path
from tests.bench.stage import Stage
from tests.bench.watching import Watch, grants, ready
from tests.bench.work import Queues

__all__ = ["Latency", "by_operator", "by_raw"]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, in the order they were measured."""

    samples: tuple[float, ...]

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        """The 99th percentile; with fewer than 100 samples the highest."""
        if len(self.samples) < 100:
            return max(self.samples)
        return statistics.quantiles(self.samples, n=100, method="inclusive")[98]


async def by_operator(stage: Stage, work: Queues) -> Latency:
    """POST one Queue after the other; the next only when the users' Secrets tell of the last."""
    collection = custom_path(Kind.QUEUE, work.name)
    samples = []
    async with (
        Watch(stage.kube, Kind.QUEUE, work.name) as queues,
        Watch(stage.kube, Kind.BROKER_USER, work.name) as users,
    ):
        for name in work.names:
            begin = time.perf_counter()
            await stage.kube.call("POST", collection, work.manifest(name))
            samples.append(1000 * (await queues.until([name], ready) - begin))
            group = work.group_of(name)
            granted = work.channels_of(group).index(name) + 1
            await users.until(work.users_of(group), grants(granted))
    await stage.verify(work)
    return Latency(tuple(samples))


async def by_raw(stage: Stage, sample: Sample, work: Queues) -> Latency:
    """Write one Queue and what follows from it after the other; no operator may run."""
    raw = Raw(stage, sample, work)
    await raw.prepare()
    samples = []
    async with Watch(stage.kube, Kind.QUEUE, work.name) as queues:
        for name in work.names:
            begin = time.perf_counter()
            writing = asyncio.create_task(raw.create_one(name))
            samples.append(1000 * (await queues.until([name], ready) - begin))
            await writing
    await stage.verify(work)
    return Latency(tuple(samples))
