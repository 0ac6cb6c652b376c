"""Calls wait in order: one that comes among many busy workers has its turn after those that were there before it.

The connection pool of aiohttp alone does not do that, and a Lease that is never renewed costs the lead.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.manifest import parse
from channel_operator.api.meta import Kind
from channel_operator.api.reasons import EventReason
from channel_operator.brokers.base import Connection, NoRecorder
from channel_operator.brokers.rabbitmq.http import ManagementClient, path
from channel_operator.core.model import Key, Secret
from channel_operator.engine.clock import FakeClock
from channel_operator.kube.client import KubeClient
from channel_operator.kube.events import EventPoster
from channel_operator.kube.login import Credentials

WORKERS = 40
"""More than there are connections."""


class Served:
    """A server that answers everything, a turn of the event loop later, and counts."""

    def __init__(self) -> None:
        self.url = ""
        self.answered = 0
        self.busy = asyncio.Event()

    async def answer(self, _request: web.Request) -> web.Response:
        await asyncio.sleep(0.001)
        self.answered += 1
        if self.answered == 10 * WORKERS:
            self.busy.set()
        return web.json_response({})


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    server = Served()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    yield server
    await runner.cleanup()


async def others_served_meanwhile(served: Served, call: Callable[[], Awaitable[object]]) -> int:
    """Let workers call without a pause; return how many calls were answered while one more had to wait."""

    async def work() -> None:
        while True:
            await call()

    workers = [asyncio.create_task(work()) for _ in range(WORKERS)]
    try:
        await served.busy.wait()
        before = served.answered
        async with asyncio.timeout(30):
            await call()
        return served.answered - before
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def test_no_call_to_the_api_server_is_passed_over(served: Served) -> None:
    def session(*, connections: int) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    client = KubeClient(cast("Credentials", SimpleNamespace(server=served.url, session=session)))
    try:
        meanwhile = await others_served_meanwhile(served, lambda: client.call("get", "/api/v1/namespaces/a"))
    finally:
        await client.close()
    assert meanwhile <= 2 * WORKERS


class Busy:
    """A client whose calls have to wait, or not; it counts what it is asked."""

    def __init__(self) -> None:
        self.is_busy = True
        self.calls = 0

    async def call(self, *_: object, **__: object) -> dict[str, Any]:
        self.calls += 1
        return {"metadata": {"name": "event"}}


@pytest.mark.parametrize("relieved", [True, False])
async def test_an_event_gives_way_to_other_calls_but_not_for_ever(relieved: bool) -> None:
    client, clock = Busy(), FakeClock()
    poster = EventPoster(cast("KubeClient", client), clock, instance="a")
    task = asyncio.create_task(poster.run())
    key = Key(Kind.QUEUE, "shop", "orders")
    poster.post(key, "uid", reason=EventReason.CREATED, message="Created.", warning=False)
    await clock.advance(1)
    assert client.calls == 0
    client.is_busy = not relieved
    await clock.advance(0.1)
    assert client.calls == (1 if relieved else 0)
    await clock.advance(5)
    assert client.calls == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_no_call_to_a_broker_is_passed_over(served: Served) -> None:
    spec: dict[str, Any] = {
        "rabbitmq": {"managementUrls": [served.url]},
        "credentials": {"passwordSecretRef": {"name": "login"}},
        "tls": {"mode": "Disabled"},
    }
    parsed = parse(Kind.BROKER, spec)
    assert isinstance(parsed, BrokerSpec)
    connection = Connection("a/b", parsed, "u", Secret("p"), "id", allowed_hosts=frozenset({"127.0.0.1"}))
    client = ManagementClient(connection, NoRecorder())
    try:
        meanwhile = await others_served_meanwhile(served, lambda: client.get("overview", path("overview")))
    finally:
        await client.close()
    assert meanwhile <= 2 * WORKERS
