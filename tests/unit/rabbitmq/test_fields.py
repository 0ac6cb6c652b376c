"""No field is ignored in silence: each one, set by itself, does what the field table says."""

from dataclasses import replace
from typing import Any, Final

import pytest

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.fields import RABBITMQ
from channel_operator.brokers.registry import create_driver, field_table
from channel_operator.core.accepted import Compiled, Role
from hack import generate, pages
from tests.unit.rabbitmq.samples import NEWEST, broker_spec, driver, grant, resolved_queue

QUEUE_VALUES: Final[dict[str, dict[str, Any]]] = {
    "requireBrokerEnforcement": {"requireBrokerEnforcement": True},
    "ordering": {"ordering": "Strict"},
    "shards": {"ordering": "PerKey", "shards": 4},
    "orderingKey.header": {"ordering": "PerKey", "shards": 4, "orderingKey": {"header": "customer"}},
    "retry.maxDeliveries": {"retry": {"maxDeliveries": 3}},
    "retry.backoff.initial": {"retry": {"backoff": {"initial": "1s"}}},
    "retry.backoff.max": {"retry": {"backoff": {"initial": "1s", "max": "9s"}}},
    "deadLetter.queueRef.name": {"deadLetter": {"queueRef": {"name": "other"}}},
    "deadLetter.strategy": {"deadLetter": {"strategy": "AtLeastOnce"}},
    "messageTTL": {"messageTTL": "1h"},
    "limits.maxMessages": {"limits": {"maxMessages": 5}},
    "limits.maxBytes": {"limits": {"maxBytes": "1Mi"}},
    "limits.overflow": {"limits": {"overflow": "RejectNew"}},
    "ackTimeout": {"ackTimeout": "5m"},
    "replicas": {"replicas": 3},
    "rabbitmq.type": {"rabbitmq": {"type": "Classic"}},
    "rabbitmq.settings": {"rabbitmq": {"settings": "Policy"}},
    "rabbitmq.maxPriority": {"rabbitmq": {"type": "Classic", "maxPriority": 5}},
    "kafka.groupProtocol": {"kafka": {"groupProtocol": "Share"}},
    "kafka.partitions": {"kafka": {"partitions": 3}},
    "kafka.growFrom": {"kafka": {"partitions": 6, "growFrom": 3}},
    "kafka.config": {"kafka": {"config": {"retention.ms": "1000"}}},
    "kafka.resetConfig": {"kafka": {"resetConfig": ["retention.ms"]}},
}
# Looked up and applied before a driver sees the object: names, policies and references.
QUEUE_OF_CORE: Final = frozenset(
    {"brokerRef.name", "brokerRef.namespace", "managementPolicy", "adoptionPolicy", "deletionPolicy", "physicalName"}
)
GRANTS: Final = {
    "producers": Role.PRODUCER,
    "consumers": Role.CONSUMER,
    "deadLetter.consumers": Role.DEAD_LETTER_CONSUMER,
}

TABLE: Final = "operator/channel_operator/brokers/rabbitmq/fields.py"
QUEUE_FIELDS: Final = [row.field for row in field_table() if row.kind == Kind.QUEUE]


def said(compiled: Compiled) -> tuple[Any, ...]:
    return compiled.parts, compiled.problems, compiled.enforcement


def support(kind: Kind, field: str) -> str:
    return next(row.support["RabbitMQ"] for row in field_table() if (row.kind, row.field) == (kind, field))


def test_the_table_names_every_field_of_the_kinds_that_rabbitmq_serves() -> None:
    rows = {(row.kind, row.field) for row in field_table()}
    for kind, fields in RABBITMQ.items():
        gone = sorted(fields.keys() - {field for k, field in rows if k == kind})
        assert not gone, f"{kind} has no such fields (any more): take {gone} out of the table in {TABLE}"
        missing = sorted({f for k, f in rows if k == kind and not f.startswith("kafka.")} - fields.keys())
        assert not missing, f"say who honours {missing} of {kind}, in the table in {TABLE}"


@pytest.mark.parametrize("field", [f for f in QUEUE_FIELDS if f not in QUEUE_OF_CORE])
def test_each_field_of_a_queue_does_what_the_table_says(field: str) -> None:
    pure = driver()
    plain = pure.compile(resolved_queue("billing.q"), NEWEST)
    parent = field.rpartition(".")[0]
    if parent in GRANTS:
        changed = pure.compile(resolved_queue("billing.q", grant("shop.u", GRANTS[parent])), NEWEST)
        assert said(changed) != said(plain)
        return
    assert field in QUEUE_VALUES, f"this test does not set {field}: give QUEUE_VALUES here a value of it"
    changed = pure.compile(resolved_queue("billing.q", **QUEUE_VALUES[field]), NEWEST)
    assert said(changed) != said(plain), f"{field} is ignored in silence"
    if support(Kind.QUEUE, field).startswith("Refused"):
        root = field.split(".", maxsplit=1)[0]
        named = {problem.field for problem in changed.problems if problem.field}
        assert any(name.startswith((f"spec.{root}", "spec.ordering")) for name in named), named
    elif ":" not in support(Kind.QUEUE, field):
        assert not changed.problems


def test_a_kafka_broker_has_no_driver_yet() -> None:
    spec = replace(broker_spec(), rabbitmq=None)
    assert create_driver(spec, "op") is None
    assert all(row.support.keys() == {"RabbitMQ"} for row in field_table())
    assert "There is no driver for Kafka yet" in (pages.field_table() or "")


def test_a_field_that_nobody_speaks_for_fails_the_generation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(RABBITMQ["Queue"], "messageTTL")
    assert generate.main(["--check"]) == 1
    assert capsys.readouterr().err == (
        "Queue messageTTL: nothing says who honours this field on RabbitMQ. Add a line for it to the table of Queue in "
        "operator/channel_operator/brokers/rabbitmq/fields.py.\n"
    )
