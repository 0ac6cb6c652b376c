"""No field of a Topic or a Subscription is ignored in silence: each does what the table says, on either storage."""

from typing import Any, Final

import pytest

from channel_operator.api.meta import Kind
from channel_operator.brokers.registry import field_table
from channel_operator.core.accepted import Compiled, Role
from tests.unit.rabbitmq.samples import NEWEST, driver, grant, resolved_subscription, resolved_topic

REFUSED: Final = "Refused"
LOG: Final[dict[str, Any]] = {"storage": "Log"}

TOPIC_VALUES: Final[dict[str, dict[str, Any]]] = {
    "requireBrokerEnforcement": {"requireBrokerEnforcement": True},
    "partitions": {"partitions": 3},
    "growFrom": {"partitions": 6, "growFrom": 3},
    "retention.time": {"retention": {"time": "24h"}},
    "retention.bytes": {"retention": {"bytes": "1Gi"}},
    "compaction": {"compaction": "KeepLatest"},
    "replicas": {"replicas": 3},
    "rabbitmq.streamProducers": {"rabbitmq": {"streamProducers": True}},
    "kafka.config": {"kafka": {"config": {"retention.ms": "1000"}}},
    "kafka.resetConfig": {"kafka": {"resetConfig": ["retention.ms"]}},
}
REFUSED_ON_FAN_OUT: Final = TOPIC_VALUES.keys() - {"requireBrokerEnforcement"}
REFUSED_ON_LOG: Final = {"growFrom", "compaction", "kafka.config", "kafka.resetConfig"}

SUBSCRIPTION_VALUES: Final[dict[str, dict[str, Any]]] = {
    "requireBrokerEnforcement": {"requireBrokerEnforcement": True},
    "ordering": {"ordering": "Strict"},
    "shards": {"ordering": "PerKey", "shards": 4},
    "orderingKey.header": {"ordering": "PerKey", "shards": 4, "orderingKey": {"header": "customer"}},
    "retry.maxDeliveries": {"retry": {"maxDeliveries": 3}},
    "retry.backoff.initial": {"retry": {"backoff": {"initial": "1s"}}},
    "retry.backoff.max": {"retry": {"backoff": {"initial": "1s", "max": "9s"}}},
    "deadLetter.strategy": {"deadLetter": {}},
    "messageTTL": {"messageTTL": "1h"},
    "limits.maxMessages": {"limits": {"maxMessages": 5}},
    "limits.maxBytes": {"limits": {"maxBytes": "1Mi"}},
    "limits.overflow": {"limits": {"maxMessages": 5, "overflow": "DropOldest"}},
    "ackTimeout": {"ackTimeout": "5m"},
    "replicas": {"replicas": 3},
    "rabbitmq.type": {"rabbitmq": {"type": "Classic"}},
    "rabbitmq.settings": {"limits": {"maxMessages": 5}, "rabbitmq": {"settings": "Policy"}},
    "rabbitmq.maxPriority": {"rabbitmq": {"type": "Classic", "maxPriority": 5}},
    "startFrom.position": {"startFrom": {"position": "Earliest"}},
    "startFrom.timestamp": {"startFrom": {"position": "Timestamp", "timestamp": "2030-01-31T12:00:00Z"}},
    "filter.routingKeys": {"filter": {"routingKeys": ["order.paid"]}},
    "kafka.groupProtocol": {"kafka": {"groupProtocol": "Share"}},
}
REFUSED_TO_READERS: Final = SUBSCRIPTION_VALUES.keys() - {
    "requireBrokerEnforcement",
    "ordering",
    "startFrom.position",
    "startFrom.timestamp",
}
# Looked up and applied before a driver sees the object, or tested with the references of Queues.
OF_CORE: Final = ("brokerRef", "topicRef", "physicalName", "managementPolicy", "adoptionPolicy", "deletionPolicy")
ELSEWHERE: Final = ("storage", "producers", "consumers", "subscribers", "deadLetter.consumers", "deadLetter.queueRef")


def rows(kind: Kind) -> list[str]:
    return [r.field for r in field_table() if r.kind == kind and not r.field.startswith((*OF_CORE, *ELSEWHERE))]


def value(kind: Kind, field: str) -> dict[str, Any]:
    name, values = (
        ("TOPIC_VALUES", TOPIC_VALUES) if kind is Kind.TOPIC else ("SUBSCRIPTION_VALUES", SUBSCRIPTION_VALUES)
    )
    assert field in values, (
        f"this test does not set {field} of a {kind}: say in {name} here what a value of it looks like"
    )
    return values[field]


def support(kind: Kind, field: str) -> str:
    return next(row.support["RabbitMQ"] for row in field_table() if (row.kind, row.field) == (kind, field))


def said(compiled: Compiled) -> tuple[Any, ...]:
    return compiled.parts, compiled.problems, compiled.enforcement


def check(kind: Kind, field: str, plain: Compiled, changed: Compiled, *, refused: bool) -> None:
    assert said(changed) != said(plain), f"{field} is ignored in silence"
    named = {problem.field or "" for problem in changed.problems}
    assert bool(named) == refused, named
    root = field.split(".", maxsplit=1)[0]
    assert all(name.startswith((f"spec.{root}", "spec.ordering", "spec.partitions")) for name in named), named
    if refused:
        assert REFUSED in support(kind, field)


@pytest.mark.parametrize("field", rows(Kind.TOPIC))
def test_each_field_of_a_fan_out_topic(field: str) -> None:
    plain = driver().compile(resolved_topic("shop.orders"), NEWEST)
    changed = driver().compile(resolved_topic("shop.orders", **value(Kind.TOPIC, field)), NEWEST)
    check(Kind.TOPIC, field, plain, changed, refused=field in REFUSED_ON_FAN_OUT)


@pytest.mark.parametrize("field", rows(Kind.TOPIC))
def test_each_field_of_a_log(field: str) -> None:
    producer = grant("shop.app", Role.PRODUCER)
    plain = driver().compile(resolved_topic("shop.orders", producer, **LOG), NEWEST)
    changed = driver().compile(resolved_topic("shop.orders", producer, **LOG, **value(Kind.TOPIC, field)), NEWEST)
    check(Kind.TOPIC, field, plain, changed, refused=field in REFUSED_ON_LOG)


@pytest.mark.parametrize("field", rows(Kind.SUBSCRIPTION))
def test_each_field_of_a_subscription_to_a_fan_out_topic(field: str) -> None:
    plain = driver().compile(resolved_subscription("billing.s"), NEWEST)
    # The default overflow stated is the default itself.
    if field == "limits.overflow":
        plain = driver().compile(resolved_subscription("billing.s", limits={"maxMessages": 4}), NEWEST)
    changed = driver().compile(resolved_subscription("billing.s", **value(Kind.SUBSCRIPTION, field)), NEWEST)
    refused = field.startswith(("startFrom", "kafka"))
    check(Kind.SUBSCRIPTION, field, plain, changed, refused=refused)


@pytest.mark.parametrize("field", rows(Kind.SUBSCRIPTION))
def test_each_field_of_a_subscription_to_a_log(field: str) -> None:
    topic = resolved_topic("shop.orders", **LOG)
    plain = driver().compile(resolved_subscription("billing.s", topic=topic), NEWEST)
    changed = driver().compile(
        resolved_subscription("billing.s", topic=topic, **value(Kind.SUBSCRIPTION, field)), NEWEST
    )
    assert said(changed) != said(plain), f"{field} is ignored in silence"
    assert bool(changed.problems) == (field in REFUSED_TO_READERS), changed.problems
    if changed.problems:
        assert REFUSED in support(Kind.SUBSCRIPTION, field)


@pytest.mark.parametrize("storage", ["FanOut", "Log"])
def test_each_list_grants(storage: str) -> None:
    pure, topic = driver(), resolved_topic("shop.orders", storage=storage)
    user = grant("shop.app", Role.PRODUCER)
    assert said(pure.compile(resolved_topic("shop.orders", user, storage=storage), NEWEST)) != said(
        pure.compile(topic, NEWEST)
    )
    reader = grant("billing.app", Role.CONSUMER)
    assert said(pure.compile(resolved_subscription("billing.s", reader, topic=topic), NEWEST)) != said(
        pure.compile(resolved_subscription("billing.s", topic=topic), NEWEST)
    )


def test_a_demand_for_enforcement_by_the_broker_refuses_a_start_that_only_the_client_can_choose() -> None:
    topic = resolved_topic("shop.orders", **LOG)
    fields: dict[str, Any] = {"requireBrokerEnforcement": True, "startFrom": {"position": "Earliest"}}
    found = driver().compile(resolved_subscription("billing.s", topic=topic, **fields), NEWEST).problems
    assert [(p.reason, p.field) for p in found] == [("ClientEnforced", "spec.startFrom")]
    assert not driver().compile(resolved_topic("shop.orders", requireBrokerEnforcement=True), NEWEST).problems


@pytest.mark.parametrize(
    ("topic", "fields", "message"),
    [
        ({}, {"ordering": "PerKey"}, "spec.shards: PerKey needs the number of shards on RabbitMQ; state it"),
        (
            {"storage": "Log", "partitions": 3},
            {"ordering": "Strict"},
            "spec.ordering: Strict needs a topic with one partition, and this one has 3; use None",
        ),
        (
            {},
            {"filter": {"routingKeys": ["€" * 86]}},
            f"spec.filter.routingKeys: {'€' * 20}… is longer than 255 bytes; shorten it",
        ),
    ],
)
def test_what_cannot_be_had_is_said_with_what_to_do(
    topic: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    to = resolved_topic("shop.orders", **topic)
    found = driver().compile(resolved_subscription("billing.s", topic=to, **fields), NEWEST).problems
    assert [problem.message for problem in found] == [message]
