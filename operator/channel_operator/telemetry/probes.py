"""Serves /metrics, /startupz, /readyz and /healthz. Decides when the process counts as started, ready and alive.

Alive: the event loop turns in time, and a leader's Lease is fresh. Ready: the watches are up, leader or not. A broker's
outage is neither: restarting the operator would not bring it back.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from channel_operator.engine.clock import Clock
from channel_operator.settings import Address
from channel_operator.telemetry.metrics import Metrics

__all__ = ["Check", "Health", "LoopLag", "ProbeServer"]

_log = structlog.get_logger("channel_operator.probes")

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""


@dataclass(frozen=True, slots=True)
class Health:
    """The checks behind each probe; all of a probe's must find nothing wrong."""

    started: tuple[Check, ...] = ()
    ready: tuple[Check, ...] = ()
    alive: tuple[Check, ...] = ()


class LoopLag:
    """Measures how late the event loop is; `check` complains above `limit` seconds. Run `run()` as a task."""

    _BEAT = 0.5

    def __init__(self, clock: Clock, limit: float = 10.0) -> None:
        self._clock = clock
        self._limit = limit
        self._due = clock.monotonic() + self._BEAT
        self.worst = 0.0
        """The longest delay of the last beat, in seconds."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._due = self._clock.monotonic() + self._BEAT
            await self._clock.sleep(self._BEAT)
            self.worst = max(0.0, self._clock.monotonic() - self._due)

    def check(self) -> str | None:
        """Return what is wrong with the loop."""
        lag = max(self.worst, self._clock.monotonic() - self._due)
        return f"the event loop is {lag:.0f} s late" if lag > self._limit else None


class ProbeServer:
    """Listens on one or two addresses; `start`, then `close`."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics = metrics
        self._health = health
        self._runners: list[web.AppRunner] = []

    async def start(self, metrics: Address, health: Address) -> tuple[Address, Address]:
        """Listen; return the addresses in use, with real ports. Raises OSError when one is taken."""
        paths: list[web.RouteDef] = [
            web.get("/startupz", self._probe(self._health.started)),
            web.get("/readyz", self._probe(self._health.ready)),
            web.get("/healthz", self._probe(self._health.alive)),
        ]
        scrape = web.get("/metrics", self._scrape)
        if metrics == health and metrics.port:
            bound = await self._listen(metrics, [scrape, *paths])
            return bound, bound
        return await self._listen(metrics, [scrape]), await self._listen(health, paths)

    async def close(self) -> None:
        """Stop listening."""
        for runner in self._runners:
            with suppress(Exception):
                await runner.cleanup()

    async def _listen(self, address: Address, routes: Iterable[web.RouteDef]) -> Address:
        application = web.Application()
        application.add_routes(list(routes))
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, address.host, address.port).start()
        host, port, *_ = runner.addresses[0]
        _log.info("listening", address=str(Address(host, port)))
        return Address(host, port)

    def _probe(self, checks: Iterable[Check]) -> Callable[[web.Request], Any]:
        async def answer(_: web.Request) -> web.Response:
            wrong = [said for check in checks if (said := check())]
            return web.Response(status=503 if wrong else 200, text="\n".join(wrong or ["ok"]) + "\n")

        return answer

    async def _scrape(self, request: web.Request) -> web.Response:
        # Rendering holds the loop for milliseconds per thousand series, and there are few: no thread is needed.
        await asyncio.sleep(0)
        scrape = self._metrics.scrape(request.headers.get("Accept", ""))
        return web.Response(body=scrape.body, headers={"Content-Type": scrape.content_type})
