"""Manifests, subjects and the little core that these tests need: parts in, changes out."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.manifest import parse
from channel_operator.api.meta import Kind
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import TopicSpec
from channel_operator.brokers.base import Driver
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.core.accepted import (
    Compiled,
    Grant,
    Login,
    ResolvedQueue,
    ResolvedSubscription,
    ResolvedTopic,
    ResolvedUser,
    Role,
    Subject,
)
from channel_operator.core.desired import Desired
from channel_operator.core.diff import plan
from channel_operator.core.model import (
    Capabilities,
    Change,
    Key,
    Part,
    Removal,
    Resource,
    ResourceId,
    Secret,
)

NEWEST = Capabilities("RabbitMQ", "4.3.6", "cluster-1//", "cluster-1", frozenset({"x-consistent-hash"}))
OLDER = replace(NEWEST, version="4.0.5", features=frozenset())


def broker_spec(**fields: Any) -> BrokerSpec:
    """Make a Broker on RabbitMQ; `rabbitmq` is merged into the block."""
    rabbitmq = {
        "managementUrls": ["https://rabbitmq.messaging.svc:15671"],
        "clients": {"addresses": ["rabbitmq.messaging.svc:5671"]},
        **fields.pop("rabbitmq", {}),
    }
    spec = parse(Kind.BROKER, {"rabbitmq": rabbitmq, "credentials": {"passwordSecretRef": {"name": "login"}}, **fields})
    assert isinstance(spec, BrokerSpec)
    return spec


def driver(**fields: Any) -> RabbitMQDriver:
    """Return the pure side for such a Broker; the operator's id is `op`."""
    return RabbitMQDriver(broker_spec(**fields), "op")


def queue_spec(**fields: Any) -> QueueSpec:
    spec = parse(Kind.QUEUE, {"brokerRef": {"name": "main"}, **fields})
    assert isinstance(spec, QueueSpec)
    return spec


def user_spec(**fields: Any) -> BrokerUserSpec:
    spec = parse(Kind.BROKER_USER, {"brokerRef": {"name": "main"}, **fields})
    assert isinstance(spec, BrokerUserSpec)
    return spec


def subject(
    name: str, kind: Kind = Kind.QUEUE, *, removal: Removal | None = Removal.DELETE, since: str = "2026-01-01"
) -> Subject:
    """Return an object whose native name is `name`."""
    namespace, _, short = name.partition(".")
    return Subject(Key(kind, namespace, short or namespace), name, (since, name), removal)


def grant(username: str, role: Role) -> Grant:
    return Grant(subject(username, Kind.BROKER_USER).key, (username,), role)


def resolved_queue(
    name: str,
    *grants: Grant,
    defaults: Mapping[str, Any] | None = None,
    removal: Removal | None = Removal.DELETE,
    **fields: Any,
) -> ResolvedQueue:
    """Return a Queue as resolved; `defaults` are fields that the Broker gives."""
    stated = queue_spec(**fields)
    effective = queue_spec(**{**(defaults or {}), **fields})
    return ResolvedQueue(subject(name, removal=removal), effective, stated, tuple(grants), _target(name, effective))


def _target(name: str, spec: Any) -> Subject | None:
    """Return the Queue that takes the dead letters: of the same namespace."""
    ref = spec.dead_letter.queue_ref if spec.dead_letter is not None else None
    return subject(f"{name.partition('.')[0]}.{ref.name}") if ref is not None else None


def topic_spec(**fields: Any) -> TopicSpec:
    spec = parse(Kind.TOPIC, {"brokerRef": {"name": "main"}, **fields})
    assert isinstance(spec, TopicSpec)
    return spec


def subscription_spec(**fields: Any) -> SubscriptionSpec:
    spec = parse(Kind.SUBSCRIPTION, {"topicRef": {"name": "orders"}, **fields})
    assert isinstance(spec, SubscriptionSpec)
    return spec


def resolved_topic(
    name: str,
    *grants: Grant,
    removal: Removal | None = Removal.DELETE,
    told: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ResolvedTopic:
    """Return a Topic as resolved; `told`: what its status told as effective."""
    stated = topic_spec(**fields)
    spec = topic_spec(**{"storage": "FanOut", **fields})
    one = replace(subject(name, Kind.TOPIC, removal=removal), spec=spec, told={"effective": dict(told or {})})
    return ResolvedTopic(one, spec, stated, tuple(grants))


def resolved_subscription(
    name: str,
    *grants: Grant,
    topic: ResolvedTopic | None = None,
    removal: Removal | None = Removal.DELETE,
    told: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ResolvedSubscription:
    """Return a Subscription as resolved, by default to the topic `shop.orders`; `told` is its status."""
    spec = subscription_spec(**fields)
    to = (topic or resolved_topic("shop.orders")).subject
    base = subject(name, Kind.SUBSCRIPTION, removal=removal)
    one = replace(
        base, spec=spec, topic=to, told=dict(told or {}), listed=frozenset(name for g in grants for name in g.usernames)
    )
    return ResolvedSubscription(one, spec, spec, to, tuple(grants))


def resolved_user(name: str, password: str | None = "secret", **fields: Any) -> ResolvedUser:
    secret = None if password is None else Secret(password)
    return ResolvedUser(subject(name, Kind.BROKER_USER), user_spec(**fields), (Login(name, secret),))


def resources(compiled: Compiled) -> dict[ResourceId, Resource]:
    """Return what a compiled object asserts to exist."""
    return {part.id: part.content for part in compiled.parts if hasattr(part.content, "id")}


def changes_for(
    pure: Driver,
    compiled: Iterable[tuple[Key, Compiled]],
    picture: Mapping[ResourceId, Resource],
    *,
    ids: Iterable[ResourceId] | None = None,
) -> list[Change]:
    """Run the core over these objects: assemble, compare, order. Nothing may be blocked."""
    desired = Desired(pure)
    for key, one in compiled:
        desired.put(key, one, held=False)
    desired.assemble(desired.ids(), picture)
    found = plan(
        list(ids) if ids is not None else list(desired.ids()),
        desired,
        picture,
        pure,
        may_write=lambda _: True,
        was_made_by_us=lambda _: True,
    )
    assert not found.blocked, found.blocked
    return list(found.changes)


def part_ids(parts: Iterable[Part]) -> list[str]:
    return [str(part.id) for part in parts]
