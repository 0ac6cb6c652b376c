"""One open watch on a kind in a namespace: what the API server last said of each object, without polling.

Decides when all of a set of objects satisfy a condition, and keeps the moment at which they did.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from typing import Any, Self

import aiohttp
from yarl import URL

from channel_operator.api.meta import Kind
from channel_operator.core.report import is_ready
from tests.bench.servers import Kube, custom_path

__all__ = ["PATIENCE", "Condition", "Watch", "gone", "grants", "ready", "ready_at"]

PATIENCE = 600.0
"""Seconds until a wait counts as failed."""

Body = dict[str, Any]
Condition = Callable[[Body], bool]
"""Of an object as last seen; an empty one is not there."""


def gone(body: Body) -> bool:
    """Whether an object is not there."""
    return not body


def ready(body: Body) -> bool:
    """Whether an object says Ready for its present generation."""
    return bool(body) and is_ready(body.get("status") or {}, body["metadata"]["generation"])


def ready_at(generation: int) -> Condition:
    """Return the condition that an object says Ready for this generation or a later one."""

    def condition(body: Body) -> bool:
        return ready(body) and body["metadata"]["generation"] >= generation

    return condition


def grants(count: int) -> Condition:
    """Return the condition that a BrokerUser is Ready and its binding Secret tells of so many channels."""

    def condition(body: Body) -> bool:
        return ready(body) and body["status"].get("grantCount") == count

    return condition


class _Waiter:
    """A set of names that still lack something."""

    def __init__(self, pending: dict[str, Condition]) -> None:
        self.pending = pending
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def see(self, name: str, body: Body) -> None:
        """Take in an event."""
        condition = self.pending.get(name)
        if condition is not None and condition(body):
            del self.pending[name]
            self.settle()

    def settle(self) -> None:
        """Tell when nothing is pending any more."""
        if not self.pending and not self.done.done():
            self.done.set_result(time.perf_counter())


class Watch:
    """Use it as an asynchronous context; the list is read before the body runs."""

    def __init__(self, kube: Kube, kind: Kind, namespace: str) -> None:
        self.objects: dict[str, Body] = {}
        self._kube = kube
        self._kind = kind
        self._path = custom_path(kind, namespace)
        self._waiters: set[_Waiter] = set()
        self._task: asyncio.Task[None] | None = None
        self._version = ""

    async def __aenter__(self) -> Self:
        listed = await self._kube.call("GET", self._path)
        self._version = listed["metadata"]["resourceVersion"]
        self.objects = {body["metadata"]["name"]: body for body in listed["items"]}
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def until(self, names: Collection[str], condition: Condition) -> float:
        """Wait until each named object satisfies the condition; return the moment (`perf_counter`) of the last.

        Raises TimeoutError after PATIENCE with the state of one that does not.
        """
        waiter = _Waiter({name: condition for name in names if not condition(self.objects.get(name, {}))})
        waiter.settle()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(PATIENCE):
                return await waiter.done
        except TimeoutError:
            name = next(iter(waiter.pending))
            status = json.dumps((self.objects.get(name) or {}).get("status"), indent=1)
            raise TimeoutError(
                f"{len(waiter.pending)} of {len(names)} {self._kind} not done; {name}: {status}"
            ) from None
        finally:
            self._waiters.discard(waiter)

    async def _run(self) -> None:
        while True:
            async for line in self._lines():
                event = json.loads(line)
                body = event["object"]
                if event["type"] == "ERROR":
                    raise RuntimeError(f"watch of {self._path}: {body.get('message')}")
                self._version = body["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._see(event["type"], body)

    def _see(self, event: str, body: Body) -> None:
        name = body["metadata"]["name"]
        if event == "DELETED":
            self.objects.pop(name, None)
            body = {}
        else:
            self.objects[name] = body
        for waiter in list(self._waiters):
            waiter.see(name, body)

    async def _lines(self) -> AsyncIterator[bytes]:
        query = {"watch": "true", "resourceVersion": self._version, "allowWatchBookmarks": "true"}
        url = URL(self._kube.server + self._path).with_query(query)
        rest = b""
        async with self._kube.session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as response:
            response.raise_for_status()
            async for piece in response.content.iter_any():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line
