"""The lab with the chart's CRDs and rights installed, and what a round is played on: a namespace and a virtual host.

Decides how a round begins (users there and Ready) and how it is cleared away, so that every round starts alike.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import NOTHING
from tests.bench.counting import AuditLog, Books, CountingProxy
from tests.bench.measured import MeasuredOperator
from tests.bench.servers import MERGE_PATCH, METADATA_ONLY, Broker, Kube, RefusedError, custom_path, path
from tests.bench.watching import Watch, grants, ready
from tests.bench.work import Workload
from tests.harness.install import RELEASE, Installation, install
from tests.lab.setup import Lab

__all__ = ["CONCURRENCY", "RELEASE", "Stage", "each"]

CONCURRENCY = 8
"""Requests in flight towards the API server: more gain nothing."""
_KINDS = (Kind.SUBSCRIPTION, Kind.TOPIC, Kind.QUEUE, Kind.BROKER_USER, Kind.BROKER)
"""In the order in which they are cleared away."""
_Item = TypeVar("_Item")


async def each(
    items: Iterable[_Item], work: Callable[[_Item], Awaitable[object]], concurrency: int = CONCURRENCY
) -> None:
    """Do the work for every item, so many at a time."""
    rest = iter(items)

    async def worker() -> None:
        for item in rest:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(worker())


class Stage:
    """A started lab; `kube` and `broker` are the administrator's clients."""

    def __init__(self, lab: Lab, kube: Kube, broker: Broker, installation: Installation) -> None:
        self.lab = lab
        self.kube = kube
        self.broker = broker
        self._installation = installation
        self.profile = False
        self._operators = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, lab: Lab) -> AsyncIterator["Stage"]:
        """Install what the operator needs and open the clients."""
        installation = await asyncio.to_thread(install, lab.control_plane)
        async with await Kube.open(lab.control_plane.kubeconfig) as kube, Broker(lab.rabbitmq) as broker:
            yield cls(lab, kube, broker, installation)

    @property
    def broker_address(self) -> str:
        """Where clients reach RabbitMQ."""
        return f"{self.lab.rabbitmq.host}:{self.lab.rabbitmq.amqps_port}"

    @asynccontextmanager
    async def operator(self, *, leading: bool = True, **settings: str) -> AsyncIterator[MeasuredOperator]:
        """Run the operator with the chart's ServiceAccount; `settings` by their names (`resync_interval="5s"`).

        With `leading` False it is only waited for until it is ready.
        """
        self._operators += 1
        folder = self.lab.state_dir / f"operator-{self._operators}"
        if self.profile:
            # A profiled process is too slow to keep a Lease.
            settings["leader_election"] = "false"
        operator = await asyncio.to_thread(
            lambda: MeasuredOperator(folder, self._installation, settings=settings, profile=self.profile)
        )
        await asyncio.to_thread(operator.start, leading=leading)
        try:
            yield operator
        finally:
            if operator.running:
                await asyncio.to_thread(operator.stop)

    def books(self, proxy: CountingProxy | None = None) -> Books:
        """Return the counts of what the operator asks of the API server, and of RabbitMQ through the proxy."""
        user = f"system:serviceaccount:{RELEASE}:{RELEASE}"
        return Books(AuditLog(self.lab.control_plane.audit_log, user), proxy)

    # -- rounds --------------------------------------------------------------------------------------------------

    async def prepare(self, work: Workload, url: str | None = None) -> None:
        """Make namespace, virtual host, Broker and users; an operator must run, and all are Ready afterwards.

        `url`: where the operator reaches RabbitMQ, in place of RabbitMQ's own.
        """
        rabbitmq = self.lab.rabbitmq
        await self.broker.call("PUT", "vhosts", work.name, body={})
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await self.broker.call("PUT", "permissions", work.name, rabbitmq.admin_user, body=everything)
        await self.kube.call("POST", path("api/v1", None, "namespaces"), {"metadata": {"name": work.name}})
        login = {"username": rabbitmq.admin_user, "password": rabbitmq.admin_password}
        for plural, body in (
            ("secrets", {"metadata": {"name": "broker-login"}, "stringData": login}),
            ("configmaps", {"metadata": {"name": "broker-ca"}, "data": {"ca.crt": rabbitmq.ca_pem}}),
        ):
            await self.kube.call("POST", path("api/v1", work.name, plural), body)
        manifest = work.broker(url or rabbitmq.management_url, self.broker_address)
        await self.kube.call("POST", custom_path(Kind.BROKER, work.name), manifest)
        async with Watch(self.kube, Kind.BROKER, work.name) as brokers:
            await brokers.until(["broker"], ready)
        await self.add_users(work)

    async def add_users(self, work: Workload) -> None:
        """Make the users and wait until their binding Secrets are there."""
        collection = custom_path(Kind.BROKER_USER, work.name)
        async with Watch(self.kube, Kind.BROKER_USER, work.name) as users:
            await each(work.users, lambda name: self.kube.call("POST", collection, work.user(name)))
            await users.until(work.users, grants(0))

    async def clear(self, work: Workload) -> None:
        """Remove everything of a round, objects first; no operator may run."""
        for kind in _KINDS:
            collection = custom_path(kind, work.name)
            bodies = [b for b in await self.kube.list(collection) if b["metadata"].get("finalizers")]
            await each([custom_path(kind, work.name, b["metadata"]["name"]) for b in bodies], self._release)
        await self._remove_namespace(work.name)
        await self.broker.call("DELETE", "vhosts", work.name)
        mine = [u["name"] for u in await self.broker.call("GET", "users") if u["name"].startswith(f"{work.name}.")]
        await each(mine, lambda name: self.broker.call("DELETE", "users", name))

    async def _remove_namespace(self, name: str) -> None:
        """Delete what is in it, at once; that the empty namespace takes seconds to go disturbs nobody."""
        collections = [custom_path(kind, name) for kind in _KINDS]
        collections += [path("api/v1", name, plural) for plural in ("secrets", "events")]
        for collection in collections:
            await self.kube.call("DELETE", collection)
        await self.kube.call("DELETE", path("api/v1", None, "namespaces", name))

    async def _release(self, url_path: str) -> None:
        patch = {"metadata": {"finalizers": None}}
        with suppress(RefusedError):
            await self.kube.call("PATCH", url_path, patch, content_type=MERGE_PATCH, accept=METADATA_ONLY)

    async def verify(self, work: Workload) -> None:
        """Check at the broker that all queues and Topics are there and that every user has its rights."""
        definitions = await self.broker.definitions(work.name)
        found = {entry["name"] for section in ("queues", "exchanges") for entry in definitions[section]}
        missing = {f"{work.name}.{name}" for name in work.names} - found
        if missing:
            raise AssertionError(f"{len(missing)} are missing at the broker, for instance {min(missing)}")
        rights = {p["user"]: p for p in await self.broker.permissions(work.name)}
        for user in work.users:
            right = rights[f"{work.name}.{user}"]["write" if user[0] == "p" else "read"]
            for channel in work.granted(user):
                if channel not in right:
                    raise AssertionError(f"{channel} is not granted to {user}: {right}")

    async def verify_nothing(self, work: Workload) -> None:
        """Check at the broker that no channel is left and that no user may do anything."""
        definitions = await self.broker.definitions(work.name)
        left = [entry["name"] for section in ("queues", "exchanges") for entry in definitions[section]]
        if left:
            raise AssertionError(f"{len(left)} are left at the broker, for instance {left[0]}")
        for right in await self.broker.permissions(work.name):
            allowed = {right["configure"], right["write"], right["read"]} - {NOTHING}
            if allowed and right["user"] != self.lab.rabbitmq.admin_user:
                raise AssertionError(f"{right['user']} still has {allowed}")
