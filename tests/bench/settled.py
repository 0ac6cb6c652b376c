"""Cases: a restart with everything in place, and the steady state over some resyncs.

Both must cost nothing: writes are counted by a proxy before the broker and by the API server's audit log.
"""

import asyncio
from dataclasses import dataclass, field

from channel_operator.api.meta import Kind
from tests.bench.counting import AuditLog, CountingProxy
from tests.bench.measured import PREFIX, MeasuredOperator
from tests.bench.servers import MERGE_PATCH, custom_path
from tests.bench.stage import Stage
from tests.bench.watching import PATIENCE
from tests.bench.work import Workload

__all__ = ["Quiet", "Restart", "lead_through", "observed", "restart", "steady"]

_POLL = 0.25  # seconds between two looks at the metrics
_OBSERVED = f"{PREFIX}broker_observed_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Restart:
    """`quiet`: seconds from the store being filled and leading until the whole broker was compared.

    `start`: seconds of the whole start, from the process on. Writes are those up to the end of the first comparison.
    """

    objects: int
    """Channels in place."""
    quiet: float
    start: float
    broker_writes: int
    kube_writes: int
    broker_requests: int
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Quiet:
    """The steady state. Per resync where it says so; memory in MB."""

    objects: int
    resyncs: int
    seconds: float
    broker_writes: int
    kube_writes: int
    broker_requests: float
    broker_kilobytes: float
    kube_requests: float
    cpu: float
    memory: float
    memory_peak: float
    requests: dict[str, int] = field(default_factory=dict)


async def lead_through(stage: Stage, work: Workload, proxy: CountingProxy | None) -> None:
    """Have the Broker reached through the proxy, or directly again."""
    url = proxy.url if proxy is not None else stage.lab.rabbitmq.management_url
    patch = {"spec": {"rabbitmq": {"managementUrls": [url]}}}
    await stage.kube.call("PATCH", custom_path(Kind.BROKER, work.name, "broker"), patch, content_type=MERGE_PATCH)


async def observed(operator: MeasuredOperator, work: Workload, later_than: float = 0.0) -> float:
    """Wait for the next look at the whole broker and return when it ended, in seconds since the epoch."""
    async with asyncio.timeout(PATIENCE):
        while True:
            metrics = await asyncio.to_thread(operator.metrics)
            seen = metrics.total(_OBSERVED, broker=f"{work.name}/broker")
            if seen > later_than:
                return seen
            await asyncio.sleep(_POLL)


async def restart(stage: Stage, work: Workload, proxy: CountingProxy, *, objects: int = 0) -> Restart:
    """Start the operator with everything in place and wait until it has compared the whole broker.

    `objects`: how many channels there are, where they are more than the workload's.
    """
    books = stage.books(proxy)
    books.begin()
    async with stage.operator() as operator:
        seen = await observed(operator, work)
        cpu, memory = operator.cpu_seconds, operator.memory()["now"]
        metrics = await asyncio.to_thread(operator.metrics)
        # What it was about to write has been written when nothing is in flight or waits any more.
        depth = metrics.total(f"{PREFIX}workqueue_depth")
        if depth:
            raise AssertionError(f"{depth:.0f} keys wait after the restart")
        leading, launched = operator.leading_since(), operator.launched_at
    kube = await books.kube()
    return Restart(
        objects=objects or len(work.names),
        quiet=seen - leading,
        start=seen - launched,
        broker_writes=books.broker_writes,
        kube_writes=AuditLog.writes(kube),
        broker_requests=books.broker_requests.total(),
        cpu=cpu,
        memory=memory,
    )


async def steady(stage: Stage, work: Workload, proxy: CountingProxy, *, interval: str, resyncs: int = 3) -> Quiet:
    """Run the operator with a short resync interval and count over so many resyncs."""
    books = stage.books(proxy)
    async with stage.operator(resync_interval=interval) as operator:
        begun = seen = await observed(operator, work)
        books.begin()
        cpu = operator.cpu_seconds
        for _ in range(resyncs):
            seen = await observed(operator, work, later_than=seen)
        cpu = operator.cpu_seconds - cpu
        kube = await books.kube()
        memory = operator.memory()
        lists = sum(n for (verb, resource), n in kube.items() if verb == "list")
    return Quiet(
        objects=len(work.names),
        resyncs=resyncs,
        seconds=seen - begun,
        broker_writes=books.broker_writes,
        kube_writes=AuditLog.writes(kube),
        broker_requests=books.broker_requests.total() / resyncs,
        broker_kilobytes=books.broker_bytes / resyncs / 1000,
        kube_requests=lists / resyncs,
        cpu=cpu / resyncs,
        memory=memory["now"],
        memory_peak=memory["peak"],
        requests={f"{verb} {resource}": count for (verb, resource), count in sorted(kube.items())},
    )
