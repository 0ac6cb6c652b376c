"""Case: the leader ends, in order or by SIGKILL, and the standby takes over; a Queue posted at that moment waits.

The clock starts when the signal is sent. Two replicas on one machine, with the Lease's default times.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from channel_operator.api.meta import Kind
from tests.bench.measured import MeasuredOperator
from tests.bench.servers import custom_path
from tests.bench.stage import Stage
from tests.bench.watching import PATIENCE, Watch, ready
from tests.bench.work import Queues

__all__ = ["Handover", "How", "measure"]

How = Literal["SIGTERM", "SIGKILL"]
_WAYS: tuple[How, ...] = ("SIGTERM", "SIGKILL")
_POLL = 0.02  # seconds between two looks at the log, whose own time stamps are what counts


@dataclass(frozen=True, slots=True)
class Handover:
    """Seconds since the signal: `leads` until the standby led with full lists, `served` until the Queue was Ready."""

    how: How
    leads: float
    served: float


async def measure(stage: Stage, work: Queues, rounds: int) -> list[Handover]:
    """Let the leader end so many times in each way; no operator may run, and the work's users must be there."""
    found = []
    names = iter(work.names)
    async with AsyncExitStack() as stack, Watch(stage.kube, Kind.QUEUE, work.name) as queues:
        leader = await stack.enter_async_context(stage.operator())
        for how in rounds * _WAYS:
            standby = await stack.enter_async_context(stage.operator(leading=False))
            name = next(names)
            begun, begin = time.time(), time.perf_counter()
            ending = asyncio.create_task(asyncio.to_thread(leader.stop if how == "SIGTERM" else leader.kill))
            await stage.kube.call("POST", custom_path(Kind.QUEUE, work.name), work.manifest(name))
            served = await queues.until([name], ready) - begin
            await ending
            found.append(Handover(how, await _leading(standby) - begun, served))
            leader = standby
    return found


async def _leading(operator: MeasuredOperator) -> float:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await asyncio.to_thread(operator.leading_since)
            except LookupError:
                await asyncio.sleep(_POLL)
