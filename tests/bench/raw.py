"""The raw limit of a creation: the same writes as the operator's, made by one process that knows them beforehand.

It reads nothing back, compares nothing, retries nothing and writes each right and each Secret once. Queues go to
RabbitMQ one by one, many exchanges and many bindings as documents, which is the fastest way (decision 16).
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from channel_operator.brokers.rabbitmq.bulk import BULK_FROM
from tests.bench.raw_writes import RawWrites
from tests.bench.sample import Sample
from tests.bench.servers import custom_path
from tests.bench.stage import Stage, each
from tests.bench.work import Workload, kind_of

__all__ = ["Raw"]

_DOCUMENT = 100
"""Channels of one definitions document, at most."""


class Raw(RawWrites):
    """Creates one workload."""

    def __init__(self, stage: Stage, sample: Sample, work: Workload) -> None:
        super().__init__(stage, sample, work)
        self._claimed: list[str] = []
        self._there: set[str | None] = {None}
        self._wake = asyncio.Event()

    async def create_all(self) -> None:
        """Write everything; return when the last write is done."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._make_claimed(group))
            group.create_task(each(self.work.names, self._claim))

    async def create_one(self, name: str) -> None:
        """Write one channel and what follows from it, each step as soon as the one before allows."""
        work = self.work
        await self._claim(name)
        self._claimed.clear()
        users = [user for user in work.users_of(work.group_of(name)) if name in work.granted(user)]
        granted = {user: work.granted(user)[: work.granted(user).index(name) + 1] for user in users}
        rights = (self.allow(user, names) for user, names in granted.items())
        await asyncio.gather(self._declare([name]), *rights)
        await asyncio.gather(self.tell(name), *(self.tell_user(user, len(names)) for user, names in granted.items()))

    async def _claim(self, name: str) -> None:
        """Create the object, then set finalizer and owner record."""
        collection = custom_path(kind_of(name), self.work.name)
        meta = (await self.stage.kube.call("POST", collection, self.work.manifest(name)))["metadata"]
        version = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        await self.patch(name, {"metadata": {**version, **self.sample.claim(self.work, name)}})
        self._claimed.append(name)
        self._wake.set()

    async def _make_claimed(self, tasks: asyncio.TaskGroup) -> None:
        """Declare what is claimed as it comes; each group's users get their rights when its channels are there."""
        work, made, rest = self.work, Counter[int](), len(self.work.names)
        while rest:
            self._wake.clear()
            batch = [name for name in self._claimed if work.needs(name) in self._there][:_DOCUMENT]
            if not batch:
                await self._wake.wait()
                continue
            taken = set(batch)
            self._claimed = [name for name in self._claimed if name not in taken]
            rest -= len(batch)
            await self._declare(batch)
            self._there |= taken
            for name in batch:
                group = work.group_of(name)
                made[group] += 1
                if made[group] == len(work.channels_of(group)):
                    tasks.create_task(self._finish(group))

    async def _declare(self, names: Sequence[str]) -> None:
        """Declare exchanges and queues, then the bindings, which need both their ends."""
        natives = [self.sample.native(self.work, name) for name in names]
        exchanges, queues, bindings = (
            [entry for native in natives for entry in native[section]]
            for section in ("exchanges", "queues", "bindings")
        )
        singly = sum(map(len, (exchanges, queues, bindings))) < BULK_FROM
        made = [self._declare_one("queues", entry) for entry in queues]
        if singly:
            made += [self._declare_one("exchanges", entry) for entry in exchanges]
        elif exchanges:
            made.append(self._import("exchanges", exchanges))
        await asyncio.gather(*made)
        if singly:
            await asyncio.gather(*map(self._bind, bindings))
        elif bindings:
            await self._import("bindings", bindings)

    async def _import(self, section: str, entries: list[dict[str, Any]]) -> None:
        await self.ask("POST", "definitions", self.work.name, body={section: entries})

    async def _declare_one(self, section: str, entry: dict[str, Any]) -> None:
        await self.put((section, self.work.name, entry["name"]), entry)

    async def _bind(self, entry: dict[str, Any]) -> None:
        segments = ("bindings", self.work.name, "e", entry["source"], "q", entry["destination"])
        await self.ask("POST", *segments, body={"routing_key": entry["routing_key"], "arguments": entry["arguments"]})

    async def _finish(self, group: int) -> None:
        """Write the rights of a group, then the statuses and Secrets of all that are concerned."""
        work = self.work
        users = [] if work.bare else work.users_of(group)
        await asyncio.gather(*(self.allow(user, work.granted(user)) for user in users))
        await asyncio.gather(
            *(self.tell(name) for name in work.channels_of(group)),
            *(self.tell_user(user, len(work.granted(user))) for user in users),
        )
