"""The probes over HTTP, as the kubelet and Prometheus see them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from channel_operator.engine.clock import FakeClock
from channel_operator.settings import Address
from channel_operator.telemetry.metrics import Metrics
from channel_operator.telemetry.probes import Health, LoopLag, ProbeServer

ANY = Address("127.0.0.1", 0)
Get = Callable[[Address, str], Awaitable[tuple[int, str]]]


@asynccontextmanager
async def served(health: Health) -> AsyncIterator[tuple[Address, Address, Get]]:
    server = ProbeServer(Metrics(), health)
    metrics_at, health_at = await server.start(ANY, ANY)
    async with aiohttp.ClientSession() as session:

        async def get(address: Address, path: str) -> tuple[int, str]:
            async with session.get(f"http://{address}{path}") as response:
                return response.status, await response.text()

        yield metrics_at, health_at, get
    await server.close()


async def test_each_probe_says_what_is_wrong_and_recovers() -> None:
    wrong: dict[str, str | None] = {"started": "no list yet", "ready": "no watch of queues", "alive": None}
    health = Health(
        started=(lambda: wrong["started"],),
        ready=(lambda: wrong["ready"], lambda: None),
        alive=(lambda: wrong["alive"],),
    )
    async with served(health) as (_, at, get):
        assert await get(at, "/startupz") == (503, "no list yet\n")
        assert await get(at, "/readyz") == (503, "no watch of queues\n")
        assert await get(at, "/healthz") == (200, "ok\n")
        wrong.update(started=None, ready=None, alive="the Lease is stale")
        assert await get(at, "/startupz") == (200, "ok\n")
        assert await get(at, "/readyz") == (200, "ok\n")
        assert await get(at, "/healthz") == (503, "the Lease is stale\n")


async def test_metrics_and_probes_are_on_their_own_ports() -> None:
    async with served(Health()) as (metrics_at, health_at, get):
        status, text = await get(metrics_at, "/metrics")
        assert status == 200
        assert "channel_operator_leader 0.0" in text
        assert (await get(health_at, "/metrics"))[0] == 404
        assert (await get(metrics_at, "/healthz"))[0] == 404


async def test_a_late_event_loop_is_noticed_and_forgiven() -> None:
    clock = FakeClock()
    lag = LoopLag(clock, limit=10)
    assert lag.check() is None
    clock._monotonic += 30  # as after half a minute of blocking work: nothing could run
    assert lag.check() == "the event loop is 30 s late"
