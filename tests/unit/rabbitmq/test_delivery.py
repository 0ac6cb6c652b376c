"""How messages reach consumers: order, shards, backoff, timeouts, types of queue, as native objects and in words."""

from dataclasses import replace
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.names import ChannelNames, main_of
from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, Queue, exchange_id, permission_id, queue_id
from channel_operator.core.accepted import Role
from channel_operator.core.defaults import completed
from channel_operator.core.model import Mode
from tests.unit.core.samples import queue as manifest
from tests.unit.rabbitmq.samples import (
    NEWEST,
    OLDER,
    broker_spec,
    driver,
    grant,
    resolved_queue,
    resources,
    subject,
)

PER_KEY: dict[str, Any] = {"ordering": "PerKey", "shards": 3}


def arguments(**fields: Any) -> dict[str, Any]:
    queue = resources(driver().compile(resolved_queue("billing.q", **fields), NEWEST))[queue_id("billing.q")]
    assert isinstance(queue, Queue)
    return dict(queue.arguments)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ordering": "Strict"}, {"x-single-active-consumer": True}),
        ({"ackTimeout": "5m"}, {"x-consumer-timeout": 300_000}),
        (
            {"retry": {"backoff": {"initial": "1s", "max": "1m"}}},
            {"x-delayed-retry-type": "all", "x-delayed-retry-min": 1_000, "x-delayed-retry-max": 60_000},
        ),
        ({"retry": {"backoff": {"initial": "1s"}}}, {"x-delayed-retry-max": 315_360_000_000}),
        (
            {"deadLetter": {"strategy": "AtLeastOnce"}},
            {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"},
        ),
        ({"rabbitmq": {"type": "Classic", "maxPriority": 5}}, {"x-queue-type": "classic", "x-max-priority": 5}),
    ],
)
def test_each_setting_becomes_its_arguments(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    plain, found = arguments(), arguments(**fields)
    assert found.items() >= expected.items()
    assert set(plain).isdisjoint(set(expected) - {"x-queue-type"}), "without the field nothing is said"


def test_a_classic_queue_is_told_nothing_that_only_quorum_queues_know() -> None:
    defaults = {"retry": {"maxDeliveries": 5, "backoff": {"initial": "1s"}}, "replicas": 3}
    resolved = resolved_queue("billing.q", defaults=defaults, rabbitmq={"type": "Classic"}, deadLetter={})
    compiled = driver().compile(resolved, NEWEST)
    found = resources(compiled)
    assert found[queue_id("billing.q")] == Queue(
        "billing.q",
        "classic",
        arguments=(("x-dead-letter-exchange", "billing.q_dlx"), ("x-queue-type", "classic")),
    )
    dead = found[queue_id("billing.q_dead")]
    assert isinstance(dead, Queue)
    assert dead.type == "quorum", "dead letters are worth keeping"
    assert {(e.field, e.by) for e in compiled.enforcement} >= {("spec.retry", "Client"), ("spec.replicas", "Broker")}


def test_what_the_broker_defaults_leave_to_the_client_is_refused_where_the_broker_must_enforce() -> None:
    defaults = {"retry": {"maxDeliveries": 5}}
    fields: dict[str, Any] = {"rabbitmq": {"type": "Classic"}, "requireBrokerEnforcement": True}
    compiled = driver().compile(resolved_queue("billing.q", defaults=defaults, **fields), NEWEST)
    assert [problem.reason for problem in compiled.problems] == [Reason.CLIENT_ENFORCED]
    assert not driver().compile(resolved_queue("billing.q", **fields), NEWEST).problems


CLASSIC: dict[str, Any] = {"rabbitmq": {"type": "Classic"}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {**CLASSIC, "retry": {"maxDeliveries": 5}},
            (
                "spec.retry.maxDeliveries: a classic queue does not count deliveries; use rabbitmq.type: Quorum, "
                "or remove the field"
            ),
        ),
        (
            {**CLASSIC, "retry": {"backoff": {"initial": "1s"}}},
            (
                "spec.retry.backoff: a classic queue does not delay a retry; use rabbitmq.type: Quorum, or remove "
                "the field"
            ),
        ),
        (
            {**CLASSIC, "deadLetter": {"strategy": "AtLeastOnce"}},
            ("spec.deadLetter.strategy: AtLeastOnce is for quorum queues; use rabbitmq.type: Quorum, or AtMostOnce"),
        ),
        (
            {**CLASSIC, "replicas": 3},
            "spec.replicas: a classic queue is on one node; use rabbitmq.type: Quorum, or remove the field",
        ),
        (
            {**CLASSIC, "ackTimeout": "5m"},
            (
                "spec.ackTimeout: RabbitMQ 4.3.6 has no timeout for acknowledgements on classic queues any more; "
                "use rabbitmq.type: Quorum, or remove the field"
            ),
        ),
    ],
)
def test_what_a_classic_queue_cannot_do_is_refused_in_words(fields: dict[str, Any], message: str) -> None:
    compiled = driver().compile(resolved_queue("billing.q", **fields), NEWEST)
    assert [(problem.reason, problem.message) for problem in compiled.problems] == [
        (Reason.UNSUPPORTED_BY_BROKER, message)
    ]


def test_an_older_broker_has_a_timeout_on_classic_queues_too() -> None:
    assert not driver().compile(resolved_queue("billing.q", **CLASSIC, ackTimeout="5m"), OLDER).problems


def test_dead_letters_at_least_once_contradict_a_default_that_drops_the_oldest() -> None:
    stated = resolved_queue("billing.q", deadLetter={"strategy": "AtLeastOnce"})
    limits = resolved_queue("billing.q", limits={"maxMessages": 5, "overflow": "DropOldest"}).spec.limits
    resolved = replace(stated, spec=replace(stated.spec, limits=limits))
    problems = driver().compile(resolved, NEWEST).problems
    assert [problem.field for problem in problems] == ["spec.deadLetter.strategy"]
    assert "spec.defaults.limits" in problems[0].message
    assert not driver().compile(stated, NEWEST).problems


def test_shards_are_queues_behind_an_exchange_that_keeps_a_key_on_one_of_them() -> None:
    compiled = driver().compile(
        resolved_queue(
            "billing.q", grant("shop.p", Role.PRODUCER), grant("shop.c", Role.CONSUMER), deadLetter={}, **PER_KEY
        ),
        NEWEST,
    )
    found = resources(compiled)
    assert found[exchange_id("billing.q_in")] == Exchange("billing.q_in", "x-consistent-hash")
    shards = [found[queue_id(f"billing.q_{n}")] for n in range(3)]
    assert all(dict(s.arguments)["x-single-active-consumer"] for s in shards if isinstance(s, Queue))
    assert all(dict(s.arguments)["x-dead-letter-exchange"] == "billing.q_dlx" for s in shards if isinstance(s, Queue))
    assert {str(rid) for rid in found if rid.kind == "Binding"} == {
        *(f"Binding billing.q_in queue billing.q_{n} 1 " for n in range(3)),
        "Binding billing.q_dlx queue billing.q_dead  ",
    }
    assert queue_id("billing.q") not in found
    granted = {part.id: part.content for part in compiled.parts if part.id.kind == "Permission"}
    assert granted[permission_id("shop.c")].read == {"billing.q_0", "billing.q_1", "billing.q_2"}
    assert granted[permission_id("shop.p")].write == {"billing.q_in"}
    assert compiled.coordinates[Role.CONSUMER] == {"queues": ["billing.q_0", "billing.q_1", "billing.q_2"]}
    assert compiled.address["rabbitmq"]["queues"] == ["billing.q_0", "billing.q_1", "billing.q_2", "billing.q_dead"]


def test_a_header_as_the_key_is_an_argument_that_cannot_change() -> None:
    fields = {**PER_KEY, "orderingKey": {"header": "customer"}}
    found = resources(driver().compile(resolved_queue("billing.q", **fields), NEWEST))
    entry = found[exchange_id("billing.q_in")]
    assert entry == Exchange("billing.q_in", "x-consistent-hash", arguments=(("hash-header", "customer"),))
    other = Exchange("billing.q_in", "x-consistent-hash", arguments=(("hash-header", "order"),))
    difference = diff(entry, other)
    assert difference is not None
    assert (difference.blocked, difference.fields) == (True, ("hash-header order → customer",))


def test_a_hold_and_a_deletion_speak_of_every_shard() -> None:
    sharded = replace(subject("billing.q"), spec=resolved_queue("billing.q", **PER_KEY).spec)
    held, gone = driver().hold(sharded), driver().withdraw(sharded)
    for compiled, mode in ((held, Mode.HOLD), (gone, Mode.WITHDRAW)):
        said = {part.id for part in compiled.parts if part.mode is mode}
        assert {queue_id(f"billing.q_{n}") for n in range(3)} <= said
        assert {Binding("billing.q_in", f"billing.q_{n}", routing_key="1").id for n in range(3)} <= said
    assert held.coordinates[Role.CONSUMER] == {"queues": ["billing.q_0", "billing.q_1", "billing.q_2"]}


def test_every_native_name_of_a_channel_leads_to_its_main_name() -> None:
    names = ChannelNames.of("billing.q_x-1")
    assert {main_of(name) for name in (*names, *names.queues(256))} == {"billing.q_x-1"}
    assert main_of("billing.q_1000") == "billing.q_1000"


def typed(defaults: dict[str, Any], status: dict[str, Any] | None = None, **fields: Any) -> str | None:
    """Return the type that a queue comes to: `status` is that of one that was made before."""
    annotations = {"channel-operator.dev/owned": "created:id"} if status is not None else {}
    made = manifest("q", annotations=annotations, status=status or {}, **fields)
    found = completed(made, broker_spec(defaults=defaults))
    block = getattr(found, "rabbitmq", None)
    return str(block.type) if block is not None else None


def test_a_default_type_counts_at_creation_and_never_after() -> None:
    assert typed({}) == "Quorum"
    assert typed({"queueType": "Classic"}) == "Classic"
    assert typed({"queueType": "Classic"}, rabbitmq={"type": "Quorum"}) == "Quorum"
    before = {"effective": {"rabbitmq": {"type": "Quorum"}}}
    assert typed({"queueType": "Classic"}, before) == "Quorum"
