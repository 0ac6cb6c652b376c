"""One operator in a small world: the Kubernetes stand-in, brokers in memory, a clock moved by hand.

The engine under test is the whole of it (store, manager, loops), wired as `app` wires it, with RabbitMQ's pure driver.
A world can be crashed at any moment and started again with nothing but what Kubernetes and the broker hold.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from structlog.testing import capture_logs

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.brokers.base import Connection, Driver, Recorder, Session
from channel_operator.brokers.fake import FakeBroker
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.graph import attached
from channel_operator.brokers.rabbitmq.resources import Permission, Queue, User, permission_id, queue_id, user_id
from channel_operator.core.model import (
    Key,
    ResourceId,
)
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.context import Options
from channel_operator.engine.life import Drivers
from channel_operator.engine.manager import Manager
from channel_operator.engine.ports import Body, BrokerFigures, Telemetry
from channel_operator.engine.store import Store
from channel_operator.errors import OperatorError
from tests.engine.kubestub import KubeStub, Spec
from tests.engine.standins import ChoosySession, Counts, FlawedDriver

OPERATOR = "op-1"
TAG = f"channel-operator-{OPERATOR}"
MAIN = Key(Kind.BROKER, "messaging", "main")
CANARY = "s3cret-canary"
"""In every secret that a user of the tests makes; nothing but a Secret may ever show it."""


def _tell_news(store: Store, event_type: str | None, body: Body) -> None:
    """Hand an event on as the edge does: without what the store says it knows."""
    if event_type == "DELETED" or not store.knows(body["kind"], body["metadata"]["resourceVersion"]):
        store.event(event_type, body)


class World:
    """Kubernetes, brokers, and an operator that can be started, crashed and started again."""

    def __init__(self, *, seed: int = 0, telemetry: Telemetry | None = None, **options: Any) -> None:
        self.clock = FakeClock(seed=seed)
        self.kube = KubeStub(self.clock)
        self.brokers: dict[str, FakeBroker] = {}
        self.options = replace(Options(operator_id=OPERATOR), **options)
        self.counts = Counts()
        self._telemetry = telemetry or self.counts
        self.leads = True
        self.expects_bugs = False
        self.refuses: dict[ResourceId, OperatorError] = {}
        """Native objects that the broker does not let us write, and what it says."""
        self.compile_fails_for: str | None = None
        """A native name for which the driver has a bug."""
        self.store = Store()
        self.manager: Manager | None = None
        self._task: asyncio.Task[None] | None = None

    # -- the operator --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start an operator that knows nothing: list, watch, lead."""
        self.store = Store()
        known = self.store.snapshot()
        self.kube.watch(partial(_tell_news, self.store))
        self.store.replace(await self.kube.list_all(), known)
        self.manager = Manager(
            self.store,
            self.kube,
            self.kube,
            self.clock,
            self._telemetry,
            Drivers(self._driver, self._session),
            self.options,
            leads=lambda: self.leads,
        )
        self._task = asyncio.create_task(self.manager.run())
        await self.settle()

    async def crash(self) -> None:
        """End it wherever it is; what it had in mind is lost."""
        self.kube.unwatch()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def restart(self) -> None:
        """Crash, and start again."""
        await self.crash()
        self.kube.away = self.broker.unreachable = False
        self.kube.answers_left = self.broker.writes_left = None
        await self.start()

    async def settle(self) -> None:
        """Let everything happen that needs no time to pass."""
        quiet = 0
        before: tuple[int, ...] = ()
        while quiet < 2:
            await self.clock.settle()
            now = (len(self.kube.writes), len(self.kube.events), self.kube.secret_reads, self._activity())
            quiet = quiet + 1 if now == before else 0
            before = now
            assert self._task is None or not self._task.done(), "the operator ended"

    async def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, in steps short enough for everything to happen in its turn."""
        while seconds > 0:
            await self.clock.advance(min(step, seconds))
            seconds -= step
        await self.settle()

    def _activity(self) -> int:
        return sum(len(b.writes) + b.reads for b in self.brokers.values())

    def _driver(self, spec: BrokerSpec, operator_id: str) -> Driver | None:
        return FlawedDriver(spec, operator_id, lambda: self.compile_fails_for) if spec.rabbitmq is not None else None

    def _session(self, connection: Connection, recorder: Recorder) -> Session:
        driver = RabbitMQDriver(connection.spec, connection.operator_id)
        return ChoosySession(driver, self._at(connection), recorder, self.refuses)

    def _at(self, connection: Connection) -> FakeBroker:
        assert connection.spec.rabbitmq is not None
        return self.brokers.setdefault(connection.spec.rabbitmq.management_urls[0], FakeBroker())

    @property
    def figures(self) -> BrokerFigures:
        """What the gauges of the Broker `main` show."""
        return self.gauges("messaging/main")

    def gauges(self, broker: str) -> BrokerFigures:
        """Return what the gauges of one Broker show, with nothing known if it is not told of."""
        assert self.manager is not None
        return next((one for one in self.manager.figures() if one.broker == broker), BrokerFigures(broker))

    # -- brokers -------------------------------------------------------------------------------------------------

    @property
    def broker(self) -> FakeBroker:
        """The broker that most tests use."""
        return self.brokers.setdefault("https://rabbitmq:15671", FakeBroker())

    def queue(self, name: str) -> Queue:
        """Return a queue as the broker has it."""
        found = self.broker.resources.get(queue_id(name))
        assert isinstance(found, Queue), f"no Queue {name}: there are {sorted(self.names('Queue'))}"
        return found

    def user(self, name: str) -> User:
        """Return a user as the broker has it."""
        found = self.broker.resources.get(user_id(name))
        assert isinstance(found, User), f"no User {name}: there are {sorted(self.names('User'))}"
        return found

    def permission(self, user: str) -> Permission:
        """Return a user's permission as the broker has it."""
        found = self.broker.resources.get(permission_id(user))
        assert isinstance(found, Permission), f"no Permission {user}: there are {sorted(self.names('Permission'))}"
        return found

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind on the broker."""
        return {rid.path[0] for rid in self.broker.resources if rid.kind == kind}

    def put(self, resource: Any) -> None:
        """Make something on the broker by hand."""
        self.broker.resources[resource.id] = resource

    def take(self, rid: ResourceId) -> None:
        """Take something off the broker by hand; what cannot be without it goes with it, as the broker does it."""
        for gone in (*attached(rid, self.broker.resources), rid):
            del self.broker.resources[gone]

    # -- manifests -----------------------------------------------------------------------------------------------

    def make_broker(self, name: str = "main", url: str = "https://rabbitmq:15671", **fields: Any) -> Key:
        """Apply a Broker with its credentials."""
        self.kube.secret("messaging", "rabbitmq-login", username="operator", password=CANARY)
        spec: dict[str, Any] = {
            "rabbitmq": {"managementUrls": [url], "clients": {"addresses": ["rabbitmq:5671"]}},
            "credentials": {"passwordSecretRef": {"name": "rabbitmq-login"}},
            "allowedNamespaces": {"from": "All"},
            **fields,
        }
        return self.kube.apply(Kind.BROKER, "messaging", name, spec)

    def make_user(self, name: str, namespace: str = "billing", annotations: Spec | None = None, **fields: Any) -> Key:
        """Apply a BrokerUser."""
        return self.kube.apply(Kind.BROKER_USER, namespace, name, {**REF, **fields}, annotations)

    def make_queue(self, name: str, namespace: str = "billing", annotations: Spec | None = None, **fields: Any) -> Key:
        """Apply a Queue."""
        return self.kube.apply(Kind.QUEUE, namespace, name, {**REF, **fields}, annotations)

    def make_topic(self, name: str, namespace: str = "shop", annotations: Spec | None = None, **fields: Any) -> Key:
        """Apply a Topic."""
        return self.kube.apply(Kind.TOPIC, namespace, name, {**REF, **fields}, annotations)

    def make_subscription(
        self,
        name: str,
        namespace: str = "billing",
        topic: tuple[str, str] = ("shop", "orders"),
        annotations: Spec | None = None,
        **fields: Any,
    ) -> Key:
        """Apply a Subscription to a Topic, given as namespace and name."""
        spec = {"topicRef": {"namespace": topic[0], "name": topic[1]}, **fields}
        return self.kube.apply(Kind.SUBSCRIPTION, namespace, name, spec, annotations)

    def bindings(self, queue: str) -> set[tuple[str, str]]:
        """Return what feeds a queue: source exchange and routing key."""
        found = [rid.path for rid in self.broker.resources if rid.kind == "Binding"]
        return {(path[0], path[3]) for path in found if path[1:3] == ("queue", queue)}

    def ready(self, *keys: Key) -> bool:
        """Whether all of these say Ready for their present generation."""
        return all(
            (self.kube.condition(key, "Ready") or ("", ""))[0] == "True"
            and self.kube.status(key)["observedGeneration"] == self.kube.objects[key]["metadata"]["generation"]
            for key in keys
        )


REF: Mapping[str, Any] = {"brokerRef": {"name": "main", "namespace": "messaging"}}


@asynccontextmanager
async def world(**options: Any) -> AsyncIterator[World]:
    """Make a world without an operator yet; it is searched for leaked secrets at the end."""
    made = World(**options)
    with capture_logs() as logs:
        try:
            yield made
            check_no_secret(made, logs)
            # An exception that the engine survives is a bug all the same; so is one that this stand-in raised in it.
            assert made.expects_bugs or [entry for entry in logs if entry["event"] == "bug"] == []
        finally:
            await made.crash()


def check_no_secret(made: World, logs: Sequence[Mapping[str, Any]]) -> None:
    """Nothing that people can read shows a password."""
    passwords = {CANARY} | {
        secret.data["password"].reveal()
        for (_, name), secret in made.kube.secrets.items()
        if name.endswith("-binding") and "password" in secret.data
    }
    shown = repr((made.kube.objects, made.kube.events, [b.writes for b in made.brokers.values()], logs))
    for password in passwords:
        assert password not in shown
