"""The single writes that the raw limit is made of, each as large as the operator's. Never decides their order.

Towards the API server 8 objects are being made and 8 written at a time, towards RabbitMQ 16.
"""

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import NOTHING, render
from tests.bench.sample import Sample
from tests.bench.servers import MERGE_PATCH, METADATA_ONLY, custom_path, path
from tests.bench.stage import CONCURRENCY, Stage
from tests.bench.work import Workload, kind_of

__all__ = ["RawWrites"]

_BROKER_CONCURRENCY = 16


class RawWrites:
    """Writes for one workload. Call `prepare` first; it is not part of what is measured."""

    def __init__(self, stage: Stage, sample: Sample, work: Workload) -> None:
        self.stage = stage
        self.sample = sample
        self.work = work
        self.kube_gate = asyncio.Semaphore(CONCURRENCY)
        self._broker_gate = asyncio.Semaphore(_BROKER_CONCURRENCY)
        self._secrets: dict[str, dict[str, Any]] = {}
        self._statuses: dict[str, dict[str, Any]] = {}

    async def prepare(self) -> None:
        """Read the users' Secrets and statuses: what will be replaced."""
        kube, name = self.stage.kube, self.work.name
        secrets = await kube.list(path("api/v1", name, "secrets"))
        self._secrets = {s["metadata"]["name"]: s for s in secrets}
        users = await kube.list(custom_path(Kind.BROKER_USER, name))
        self._statuses = {u["metadata"]["name"]: u["status"] for u in users}

    # -- towards the broker --------------------------------------------------------------------------------------

    async def ask(self, method: str, *segments: str, body: Any = None) -> None:
        """Send one request when it is its turn."""
        async with self._broker_gate:
            await self.stage.broker.call(method, *segments, body=body)

    async def put(self, segments: tuple[str, ...], entry: dict[str, Any]) -> None:
        """Declare one entry of a definitions document."""
        await self.ask("PUT", *segments, body={key: value for key, value in entry.items() if key != "name"})

    async def allow(self, user: str, channels: Sequence[str]) -> None:
        """Write what a user may do; with no channels, nothing."""
        prefix = self.work.name
        names = [self.work.native(user, channel) for channel in channels]
        pattern = render(names) if names else NOTHING
        right = {"configure": NOTHING, "write": NOTHING, "read": NOTHING}
        right["write" if user[0] == "p" else "read"] = pattern
        await self.put(("permissions", prefix, f"{prefix}.{user}"), right)

    # -- towards the API server ----------------------------------------------------------------------------------

    async def patch(self, name: str, patch: dict[str, Any], *, subresource: str = "") -> None:
        """Change an object or its status; only its metadata comes back."""
        segments = (name, subresource) if subresource else (name,)
        url_path = custom_path(kind_of(name), self.work.name, *segments)
        await self.stage.kube.call("PATCH", url_path, patch, content_type=MERGE_PATCH, accept=METADATA_ONLY)

    async def tell(self, name: str) -> None:
        """Write the status of a Ready channel."""
        async with self.kube_gate:
            await self.patch(name, {"status": self.sample.status(self.work, name)}, subresource="status")

    async def tell_user(self, user: str, grants: int) -> None:
        """Replace the binding Secret, so that it tells of so many channels, then tell in status."""
        async with self.kube_gate:
            work = self.work
            secret = self._secrets[f"{user}-binding"]
            channels = json.loads(self.sample.channels(work, user))[:grants]
            secret["data"]["channels.json"] = base64.b64encode(json.dumps(channels).encode()).decode()
            url_path = path("api/v1", work.name, "secrets", f"{user}-binding")
            self._secrets[f"{user}-binding"] = await self.stage.kube.call("PUT", url_path, secret)
            after = self.sample.status(work, user)
            after |= {"grants": after["grants"][:grants], "grantCount": grants}
            patch = {name: value for name, value in after.items() if self._statuses[user].get(name) != value}
            self._statuses[user] = after
            await self.patch(user, {"status": patch}, subresource="status")
