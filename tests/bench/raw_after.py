"""The raw limit of changes and deletions: the same writes as the operator's, by one process that knows them beforehand.

It reads nothing from the broker, compares nothing and writes each right and each Secret once.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from tests.bench.raw_writes import RawWrites
from tests.bench.servers import MERGE_PATCH, custom_path
from tests.bench.stage import each
from tests.bench.work import kind_of

__all__ = ["RawAfter"]


class RawAfter(RawWrites):
    """Changes and deletes what is in place; no operator may run."""

    async def change(self, names: Collection[str], spec: dict[str, Any], *, policy: str = "") -> None:
        """Patch each spec, PUT or DELETE (as `policy` says) the policy that follows from it, and tell in status."""
        async with asyncio.TaskGroup() as tasks:

            async def change_one(name: str) -> None:
                url_path = custom_path(kind_of(name), self.work.name, name)
                body = await self.stage.kube.call("PATCH", url_path, {"spec": spec}, content_type=MERGE_PATCH)
                tasks.create_task(self._follow(name, body, policy))

            await each(names, change_one)

    async def _follow(self, name: str, body: dict[str, Any], policy: str) -> None:
        if policy:
            entry = self.sample.policy(self.work, name)
            segments = ("policies", self.work.name, entry["name"])
            await (self.put(segments, entry) if policy == "PUT" else self.ask("DELETE", *segments))
        told = {"observedGeneration": body["metadata"]["generation"]}
        conditions = [{**condition, **told} for condition in body["status"]["conditions"]]
        async with self.kube_gate:
            await self.patch(name, {"status": {**told, "conditions": conditions}}, subresource="status")

    async def delete_all(self) -> None:
        """Delete each manifest and what it is on the broker, then let it go; at last what its users may do."""
        work, left = self.work, Counter(map(self.work.group_of, self.work.names))
        async with asyncio.TaskGroup() as tasks:

            async def remove(name: str) -> None:
                await self._remove_native(name)
                async with self.kube_gate:
                    await self.patch(name, {"metadata": {"finalizers": None}})
                group = work.group_of(name)
                left[group] -= 1
                if not left[group]:
                    tasks.create_task(self._revoke(work.users_of(group)))

            async def delete(name: str) -> None:
                await self.stage.kube.call("DELETE", custom_path(kind_of(name), work.name, name))
                tasks.create_task(remove(name))

            await each(work.names[::-1], delete)

    async def _remove_native(self, name: str) -> None:
        """Delete queues and exchanges; the bindings go with them."""
        native = self.sample.native(self.work, name)
        entries = [(section, entry["name"]) for section in ("queues", "exchanges") for entry in native[section]]
        await asyncio.gather(*(self.ask("DELETE", section, self.work.name, found) for section, found in entries))

    async def _revoke(self, users: Sequence[str]) -> None:
        await asyncio.gather(*(self.allow(user, ()) for user in users))
        await asyncio.gather(*(self.tell_user(user, 0) for user in users))
