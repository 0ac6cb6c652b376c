"""What the contract suite runs against: the broker in memory and real brokers, seen alike.

A target gives sessions and can do by hand what somebody else would do. It decides nothing about expectations.
"""

import asyncio
import dataclasses
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import quote

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.manifest import parse
from channel_operator.api.meta import Kind
from channel_operator.brokers.base import Connection, Driver, Session
from channel_operator.brokers.fake import FakeBroker, FakeSession
from channel_operator.brokers.rabbitmq.declarations import body_of, object_path
from channel_operator.brokers.rabbitmq.http import path
from channel_operator.brokers.rabbitmq.resources import Queue, User, queue_id
from channel_operator.brokers.registry import create_driver, open_session
from channel_operator.core.accepted import (
    Compiled,
    Credential,
    Resolved,
    ResolvedUser,
    Subject,
)
from channel_operator.core.model import (
    Capabilities,
    Change,
    Outcome,
    Resource,
    ResourceId,
    Secret,
)
from tests.harness.amqp import Client
from tests.lab.rabbitmq import RabbitMQ
from tests.unit.rabbitmq.samples import changes_for, resolved_user

__all__ = ["Calls", "FakeTarget", "RabbitMQTarget", "Target", "connection_to"]


class Calls:
    """A recorder that keeps what a session reports."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def request(self, operation: str, outcome: str, seconds: float) -> None:
        """Keep the call."""
        assert seconds >= 0
        self.seen.append((operation, outcome))

    @property
    def writes(self) -> list[str]:
        """Operations that write."""
        return [operation for operation, _ in self.seen if operation.startswith(("put", "post", "delete", "close"))]

    def clear(self) -> None:
        """Forget them."""
        self.seen.clear()


class Target(Protocol):
    """One place to work in, empty at the start and alone with its names."""

    driver: Driver
    session: Session
    calls: Calls
    prefix: str

    async def plant(self, resource: Resource) -> None:
        """Make an object the way somebody else would."""

    async def uproot(self, rid: ResourceId) -> None:
        """Delete an object the way somebody else would."""

    async def send(self, queue: str, count: int) -> None:
        """Put messages into a queue through its entry exchange."""

    def away(self, *, is_away: bool) -> None:
        """Take the broker off the network, or put it back."""

    def login_refused(self) -> Session:
        """Open a session whose login the broker refuses."""

    async def remove(self) -> None:
        """Leave nothing behind."""


class Scene:
    """A target with the pure core around it: objects in, outcomes out."""

    def __init__(self, target: Target, capabilities: Capabilities) -> None:
        self.target = target
        self.driver = target.driver
        self.session = target.session
        self.capabilities = capabilities

    def name(self, short: str) -> str:
        """Return a native name that no other test uses."""
        return f"{self.target.prefix}.{short}"

    def compiled(self, *objects: Resolved) -> list[tuple[Any, Compiled]]:
        """Compile accepted objects."""
        found = [(one.subject.key, self.driver.compile(one, self.capabilities)) for one in objects]
        for _, one in found:
            assert not one.problems, one.problems
        return found

    async def picture(self) -> Mapping[ResourceId, Resource]:
        """Read everything."""
        observation = await self.session.observe(None)
        assert observation.complete
        return observation.resources

    async def changes(self, *objects: Resolved, gone: Iterable[Subject] = ()) -> list[Change]:
        """Return what would be written to have these objects, and to have the others gone."""
        withdrawn = [(subject.key, self.driver.withdraw(subject)) for subject in gone]
        return changes_for(self.driver, [*self.compiled(*objects), *withdrawn], await self.picture())

    async def settle(self, *objects: Resolved, gone: Iterable[Subject] = ()) -> list[Outcome]:
        """Write it; every change must succeed."""
        outcomes = await self.session.apply(await self.changes(*objects, gone=gone))
        assert [(str(o.change.id), str(o.error)) for o in outcomes if o.error is not None] == []
        return outcomes


class FakeTarget:
    """The broker in memory."""

    def __init__(self, operator_id: str) -> None:
        spec = parse(
            Kind.BROKER,
            {"rabbitmq": {"managementUrls": ["https://x:1"]}, "credentials": {"passwordSecretRef": {"name": "x"}}},
        )
        assert isinstance(spec, BrokerSpec)
        driver = create_driver(spec, operator_id)
        assert driver is not None
        self.driver: Driver = driver
        self.broker = FakeBroker()
        self.calls = Calls()
        self.session: Session = FakeSession(driver, self.broker, self.calls)
        self.prefix = "fake"

    async def plant(self, resource: Resource) -> None:
        """See Target."""
        self.broker.resources[resource.id] = resource

    async def uproot(self, rid: ResourceId) -> None:
        """See Target."""
        del self.broker.resources[rid]

    async def send(self, queue: str, count: int) -> None:
        """See Target."""
        self.broker.messages[queue_id(queue)] = count

    def away(self, *, is_away: bool) -> None:
        """See Target."""
        self.broker.unreachable = is_away

    def login_refused(self) -> Session:
        """See Target."""
        return FakeSession(self.driver, dataclasses.replace(self.broker, refuses_login=True))

    async def remove(self) -> None:
        """See Target."""
        await self.session.close()


def connection_to(rabbitmq: RabbitMQ, operator_id: str, *, vhost: str = "/", **changes: Any) -> Connection:
    """Return what a session to the lab's broker is opened with; `spec` in `changes` is merged into the Broker."""
    fields: dict[str, Any] = changes.pop("spec", {})
    block = {
        "managementUrls": [rabbitmq.management_url],
        "vhost": vhost,
        "clients": {"addresses": [f"{rabbitmq.host}:{rabbitmq.amqps_port}"]},
        **fields.pop("rabbitmq", {}),
    }
    body = {"rabbitmq": block, "credentials": {"passwordSecretRef": {"name": "login"}}, **fields}
    spec = parse(Kind.BROKER, body)
    assert isinstance(spec, BrokerSpec)
    stated = {
        "name": "messaging/main",
        "spec": spec,
        "username": rabbitmq.admin_user,
        "password": Secret(rabbitmq.admin_password),
        "operator_id": operator_id,
        "ca": rabbitmq.ca_pem,
        "allowed_hosts": frozenset({"127.0.0.1", "localhost", rabbitmq.host}),
        **changes,
    }
    return Connection(**stated)


class RabbitMQTarget:
    """A virtual host of its own on a real broker."""

    def __init__(self, rabbitmq: RabbitMQ, operator_id: str, *, vhost: str | None = None, **changes: Any) -> None:
        self.rabbitmq = rabbitmq
        self.operator_id = operator_id
        self.vhost = vhost if vhost is not None else f"contract/{secrets.token_hex(4)} %2F"
        self.prefix = f"p{secrets.token_hex(3)}"
        if self.vhost != "/":
            self.api("PUT", path("vhosts", self.vhost), {})
        self.connection = connection_to(rabbitmq, operator_id, vhost=self.vhost, **changes)
        driver = create_driver(self.connection.spec, operator_id)
        assert driver is not None
        self.driver: Driver = driver
        self.calls = Calls()
        self.session: Session = open_session(self.connection, self.calls)
        self._away: Session | None = None

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Act as the broker's administrator."""
        return self.rabbitmq.api(method, path, body)

    def path(self, *segments: str) -> str:
        """Return an address below this virtual host: `queues`, name → `/api/queues/<vhost>/<name>`."""
        kind, *rest = segments
        return path(kind, self.vhost, *rest)

    async def plant(self, resource: Resource) -> None:
        """See Target."""
        method = "POST" if resource.id.kind == "Binding" else "PUT"
        if isinstance(resource, User):
            resource = resource._replace(password=Secret("somebody else's"))
        await asyncio.to_thread(self.api, method, object_path(self.vhost, resource.id), body_of(resource))

    async def uproot(self, rid: ResourceId) -> None:
        """See Target."""
        await asyncio.to_thread(self.api, "DELETE", object_path(self.vhost, rid))

    async def send(self, queue: str, count: int) -> None:
        """See Target."""

        def publish() -> None:
            with self.client() as client:
                client.publish(f"{queue}_in", *(f"m{i}" for i in range(count)))

        await asyncio.to_thread(publish)

    def client(self, user: ResolvedUser | None = None) -> Client:
        """Connect as a BrokerUser, by default as the administrator."""
        who = user or resolved_user(self.rabbitmq.admin_user, self.rabbitmq.admin_password)
        login = who.logins[0]
        return Client(self.driver.binding(login.name, Credential(login.password), channels=[], ca=self.rabbitmq.ca_pem))

    def away(self, *, is_away: bool) -> None:
        """See Target: the broker itself is frozen, so that connections stay open and nothing answers."""
        if is_away:
            self.rabbitmq.pause()
        else:
            self.rabbitmq.resume()

    def login_refused(self) -> Session:
        """See Target."""
        return open_session(dataclasses.replace(self.connection, password=Secret("wrong")), Calls())

    async def remove(self) -> None:
        """See Target."""
        await self.session.close()

        def clean() -> None:
            for user in self.api("GET", "/api/users"):
                if user["name"].startswith(self.prefix):
                    self.api("DELETE", f"/api/users/{quote(user['name'], safe='')}")
            if self.vhost != "/":
                self.api("DELETE", path("vhosts", self.vhost))
                return
            for queue in self.api("GET", "/api/queues/%2F"):
                if queue["name"].startswith(self.prefix):
                    self.api("DELETE", self.path("queues", queue["name"]))
            for exchange in self.api("GET", "/api/exchanges/%2F"):
                if exchange["name"].startswith(self.prefix):
                    self.api("DELETE", self.path("exchanges", exchange["name"]))

        await asyncio.to_thread(clean)


def foreign_queue(name: str, **arguments: Any) -> Queue:
    """Return a queue as somebody else would declare it."""
    stated = {"x-queue-type": "quorum", **arguments}
    return Queue(name, str(stated["x-queue-type"]), arguments=tuple(sorted(stated.items())))
