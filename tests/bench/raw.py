"""The raw limit: the same writes as the operator's, made by one process that knows them beforehand.

It reads nothing back, compares nothing, retries nothing and writes each right and each Secret once. Towards the API
server 8 objects are being created and 8 written at a time, towards RabbitMQ 16; large batches go as documents.
"""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import NOTHING, render
from channel_operator.brokers.rabbitmq.bulk import BULK_FROM
from tests.bench.sample import Sample
from tests.bench.servers import MERGE_PATCH, METADATA_ONLY, custom_path, path
from tests.bench.stage import CONCURRENCY, Stage, each
from tests.bench.work import QUEUES_PER_PAIR, Workload

__all__ = ["Raw"]

_DOCUMENT = 100
"""Queues of one definitions document, at most."""
_BROKER_CONCURRENCY = 16


class Raw:
    """Writes one workload. Call `prepare` first; it is not part of what is measured."""

    def __init__(self, stage: Stage, sample: Sample, work: Workload) -> None:
        self._stage = stage
        self._sample = sample
        self._work = work
        self._claimed: list[int] = []
        self._wake = asyncio.Event()
        self._broker_gate = asyncio.Semaphore(_BROKER_CONCURRENCY)
        self._secrets: dict[str, dict[str, Any]] = {}
        self._statuses: dict[str, dict[str, Any]] = {}

    async def prepare(self) -> None:
        """Read the users' Secrets and statuses: what will be replaced."""
        kube, name = self._stage.kube, self._work.name
        secrets = await kube.list(path("api/v1", name, "secrets"))
        self._secrets = {s["metadata"]["name"]: s for s in secrets}
        users = await kube.list(custom_path(Kind.BROKER_USER, name))
        self._statuses = {u["metadata"]["name"]: u["status"] for u in users}

    # -- many ----------------------------------------------------------------------------------------------------

    async def create_all(self) -> None:
        """Write everything; return when the last write is done."""
        kube_gate = asyncio.Semaphore(CONCURRENCY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._make_claimed(group, kube_gate))
            group.create_task(each(self._work.numbers, self._claim))

    async def _claim(self, number: int) -> None:
        """Create the object, then set finalizer and owner record."""
        kube, work = self._stage.kube, self._work
        body = await kube.call("POST", custom_path(Kind.QUEUE, work.name), work.queue(number))
        meta = body["metadata"]
        patch = {
            "metadata": {
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
                **self._sample.claim(work, number),
            }
        }
        await self._patch(custom_path(Kind.QUEUE, work.name, meta["name"]), patch)
        self._claimed.append(number)
        self._wake.set()

    async def _make_claimed(self, group: asyncio.TaskGroup, kube_gate: asyncio.Semaphore) -> None:
        """Declare what is claimed as it comes; each pair of users gets its rights when its queues are there."""
        made: Counter[int] = Counter()
        while made.total() < self._work.size:
            self._wake.clear()
            if not self._claimed:
                await self._wake.wait()
            batch, self._claimed = self._claimed[:_DOCUMENT], self._claimed[_DOCUMENT:]
            await self._declare(batch)
            for number in batch:
                pair = number // QUEUES_PER_PAIR
                made[pair] += 1
                if made[pair] == QUEUES_PER_PAIR:
                    group.create_task(self._finish(pair, kube_gate))

    async def _declare(self, numbers: Sequence[int]) -> None:
        natives = [self._sample.native(self._work, number) for number in numbers]
        if sum(len(entries) for entries in natives[0].values()) * len(natives) < BULK_FROM:
            await asyncio.gather(*(self._declare_one(native) for native in natives))
            return
        document = {section: [entry for native in natives for entry in native[section]] for section in natives[0]}
        await self._stage.broker.call("POST", "definitions", self._work.name, body=document)

    async def _declare_one(self, native: dict[str, list[dict[str, Any]]], *rights: Sequence[str]) -> None:
        """Declare one queue in two rounds: a binding needs both its ends."""
        vhost = self._work.name
        await asyncio.gather(
            *(self._put(("exchanges", vhost, entry["name"]), entry) for entry in native["exchanges"]),
            *(self._put(("queues", vhost, entry["name"]), entry) for entry in native["queues"]),
            *(self._allow(user, names) for user, *names in rights),
        )
        for entry in native["bindings"]:
            segments = ("bindings", vhost, "e", entry["source"], "q", entry["destination"])
            async with self._broker_gate:
                await self._stage.broker.call("POST", *segments, body={"routing_key": "", "arguments": {}})

    async def _finish(self, pair: int, kube_gate: asyncio.Semaphore) -> None:
        """Write the rights of a pair, then the statuses and Secrets of all that are concerned."""
        queues = self._work.queues_of(pair)
        await asyncio.gather(*(self._allow(user, queues) for user in self._users(pair)))
        first = pair * QUEUES_PER_PAIR

        async def gated(work: Any) -> None:
            async with kube_gate:
                await work

        await asyncio.gather(
            *(gated(self._tell_queue(first + index)) for index in range(len(queues))),
            *(gated(self._tell_user(user, len(queues))) for user in self._users(pair)),
        )

    # -- one -----------------------------------------------------------------------------------------------------

    async def create_one(self, number: int) -> None:
        """Write one Queue and what follows from it, each step as soon as the one before allows."""
        await self._claim(number)
        self._claimed.clear()
        pair = number // QUEUES_PER_PAIR
        names = self._work.queues_of(pair)[: number % QUEUES_PER_PAIR + 1]
        users = self._users(pair)
        await self._declare_one(self._sample.native(self._work, number), *((user, *names) for user in users))
        await asyncio.gather(
            self._tell_queue(number),
            *(self._tell_user(user, len(names)) for user in users),
        )

    # -- single writes -------------------------------------------------------------------------------------------

    @staticmethod
    def _users(pair: int) -> tuple[str, str]:
        return f"p-{pair:04d}", f"c-{pair:04d}"

    async def _allow(self, user: str, queues: Sequence[str]) -> None:
        prefix = self._work.name
        produces = user.startswith("p")
        pattern = render(f"{prefix}.{queue}{'_in' if produces else ''}" for queue in queues)
        right = {
            "configure": NOTHING,
            "write": pattern if produces else NOTHING,
            "read": NOTHING if produces else pattern,
        }
        await self._put(("permissions", prefix, f"{prefix}.{user}"), right)

    async def _tell_queue(self, number: int) -> None:
        url_path = custom_path(Kind.QUEUE, self._work.name, f"q-{number:04d}", "status")
        await self._patch(url_path, {"status": self._sample.queue_status(self._work, number)})

    async def _tell_user(self, user: str, grants: int) -> None:
        """Replace the binding Secret, then tell in status."""
        work = self._work
        secret = self._secrets[f"{user}-binding"]
        channels = json.loads(self._sample.channels(work, user))[:grants]
        secret["data"]["channels.json"] = base64.b64encode(json.dumps(channels).encode()).decode()
        url_path = path("api/v1", work.name, "secrets", f"{user}-binding")
        self._secrets[f"{user}-binding"] = await self._stage.kube.call("PUT", url_path, secret)
        after = self._sample.user_status(work, user)
        after |= {"grants": after["grants"][:grants], "grantCount": grants}
        patch = {name: value for name, value in after.items() if self._statuses[user].get(name) != value}
        self._statuses[user] = after
        await self._patch(custom_path(Kind.BROKER_USER, work.name, user, "status"), {"status": patch})

    async def _patch(self, url_path: str, patch: dict[str, Any]) -> None:
        await self._stage.kube.call("PATCH", url_path, patch, content_type=MERGE_PATCH, accept=METADATA_ONLY)

    async def _put(self, segments: tuple[str, ...], body: dict[str, Any]) -> None:
        stated = {key: value for key, value in body.items() if key != "name"}
        async with self._broker_gate:
            await self._stage.broker.call("PUT", *segments, body=stated)
