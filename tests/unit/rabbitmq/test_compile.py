"""What a Queue and a BrokerUser are on RabbitMQ, and what their deletion or a hold says."""

from typing import Any

import pytest

from channel_operator.api.meta import Kind
from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Queue,
    User,
    exchange_id,
    permission_id,
    queue_id,
    user_id,
)
from channel_operator.core.accepted import Role
from channel_operator.core.model import Mode, Removal, Secret
from tests.unit.rabbitmq.samples import (
    NEWEST,
    OLDER,
    driver,
    grant,
    part_ids,
    resolved_queue,
    resolved_user,
    resources,
    subject,
)


def arguments(name: str = "billing.invoices", **fields: Any) -> dict[str, Any]:
    queue = resources(driver().compile(resolved_queue(name, **fields), NEWEST))[queue_id(name)]
    assert isinstance(queue, Queue)
    return dict(queue.arguments)


def test_a_queue_is_a_quorum_queue_behind_an_exchange_of_its_own() -> None:
    found = resources(driver().compile(resolved_queue("billing.invoices"), NEWEST))
    assert set(map(str, found)) == {
        "Queue billing.invoices",
        "Exchange billing.invoices_in",
        "Binding billing.invoices_in queue billing.invoices  ",
    }
    assert found[exchange_id("billing.invoices_in")] == Exchange("billing.invoices_in", "fanout")
    assert arguments() == {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "billing.invoices_dlx",
        "x-delivery-limit": -1,
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"retry": {"maxDeliveries": 5}}, {"x-delivery-limit": 4}),
        ({"retry": {"maxDeliveries": 1}}, {"x-delivery-limit": 0}),
        ({"messageTTL": "1h30m"}, {"x-message-ttl": 5_400_000}),
        ({"messageTTL": "250ms"}, {"x-message-ttl": 250}),
        ({"limits": {"maxMessages": 10}}, {"x-max-length": 10}),
        ({"limits": {"maxBytes": "512Mi"}}, {"x-max-length-bytes": 536_870_912}),
        ({"limits": {"maxMessages": 1, "overflow": "RejectNew"}}, {"x-overflow": "reject-publish"}),
        ({"limits": {"maxMessages": 1, "overflow": "DropOldest"}}, {"x-max-length": 1}),
        ({"replicas": 3}, {"x-quorum-initial-group-size": 3}),
    ],
)
def test_each_setting_becomes_its_argument(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert arguments(**fields).items() >= expected.items()
    assert ("x-overflow" in arguments(**fields)) == ("x-overflow" in expected)


def test_what_comes_from_a_default_is_flexible_and_what_is_stated_is_not() -> None:
    resolved = resolved_queue(
        "billing.invoices", defaults={"retry": {"maxDeliveries": 5}, "replicas": 3}, messageTTL="1h"
    )
    compiled = driver().compile(resolved, NEWEST)
    queue = resources(compiled)[queue_id("billing.invoices")]
    assert isinstance(queue, Queue)
    assert queue.flexible == {"x-delivery-limit", "x-quorum-initial-group-size", "x-dead-letter-exchange"}
    assert compiled.effective == {
        "rabbitmq": {"type": "Quorum", "settings": "Arguments"},
        "retry": {"maxDeliveries": 5},
        "replicas": 3,
    }


def test_a_dead_letter_queue_of_its_own_keeps_everything() -> None:
    found = resources(driver().compile(resolved_queue("billing.invoices", deadLetter={}), NEWEST))
    assert found[queue_id("billing.invoices_dead")] == Queue(
        "billing.invoices_dead", "quorum", arguments=(("x-delivery-limit", -1), ("x-queue-type", "quorum"))
    )
    assert found[exchange_id("billing.invoices_dlx")] == Exchange("billing.invoices_dlx", "fanout")
    binding = Binding("billing.invoices_dlx", "billing.invoices_dead")
    assert found[binding.id] == binding


@pytest.mark.parametrize("removal", [Removal.DELETE, Removal.DELETE_IF_EMPTY])
def test_without_dead_letters_their_objects_are_withdrawn_and_no_message_with_them(removal: Removal) -> None:
    compiled = driver().compile(resolved_queue("billing.invoices", removal=removal), NEWEST)
    withdrawn = {str(part.id): part.content for part in compiled.parts if part.mode is Mode.WITHDRAW}
    assert withdrawn == {
        "Queue billing.invoices_dead": Removal.DELETE_IF_EMPTY,
        "Exchange billing.invoices_dlx": None,
        "Binding billing.invoices_dlx queue billing.invoices_dead  ": None,
    }


def test_with_retain_a_dead_letter_queue_that_is_no_longer_wanted_is_just_let_go() -> None:
    compiled = driver().compile(resolved_queue("billing.invoices", removal=None), NEWEST)
    assert queue_id("billing.invoices_dead") not in {part.id for part in compiled.parts}


def test_grants_give_write_on_the_entry_and_read_on_the_queues_and_nothing_else() -> None:
    resolved = resolved_queue(
        "billing.invoices",
        grant("shop.checkout", Role.PRODUCER),
        grant("billing.worker", Role.CONSUMER),
        grant("billing.worker", Role.DEAD_LETTER_CONSUMER),
        deadLetter={},
    )
    compiled = driver().compile(resolved, NEWEST)
    granted = {part.id: part.content for part in compiled.parts if part.id.kind == "Permission"}
    producer, consumer = granted[permission_id("shop.checkout")], granted[permission_id("billing.worker")]
    assert (producer.write, producer.read) == ({"billing.invoices_in"}, set())
    assert (consumer.write, consumer.read) == (set(), {"billing.invoices", "billing.invoices_dead"})
    assert compiled.coordinates == {
        Role.PRODUCER: {"exchange": "billing.invoices_in"},
        Role.CONSUMER: {"queues": ["billing.invoices"]},
        Role.DEAD_LETTER_CONSUMER: {"queues": ["billing.invoices_dead"]},
    }


def test_the_address_is_what_clients_need() -> None:
    compiled = driver(rabbitmq={"vhost": "a b/%ü"}).compile(resolved_queue("billing.invoices"), NEWEST)
    assert compiled.address == {
        "name": "billing.invoices",
        "rabbitmq": {"vhost": "a b/%ü", "exchange": "billing.invoices_in", "queues": ["billing.invoices"]},
    }
    assert compiled.names == {"billing.invoices"}


@pytest.mark.parametrize(
    ("fields", "capabilities", "reason", "message"),
    [
        (
            {"ordering": "PerKey", "shards": 4},
            OLDER,
            Reason.PLUGIN_MISSING,
            (
                "spec.ordering: PerKey needs the plugin rabbitmq_consistent_hash_exchange, which "
                "this RabbitMQ 4.0.5 has "
                "not enabled; have it enabled, or remove the field"
            ),
        ),
        (
            {"retry": {"maxDeliveries": 3, "backoff": {"initial": "1s"}}},
            OLDER,
            Reason.BROKER_VERSION_TOO_OLD,
            (
                "spec.retry.backoff: RabbitMQ 4.0.5 cannot delay a retry, which came with 4.3; upgrade the broker, or "
                "remove the field"
            ),
        ),
        (
            {"messageTTL": "99999h"},
            NEWEST,
            Reason.UNSUPPORTED_BY_BROKER,
            (
                "spec.messageTTL: RabbitMQ 4.3.6 takes at most 87600h (ten years); state less, or "
                "remove the field to keep "
                "messages for ever"
            ),
        ),
        (
            {"rabbitmq": {"maxPriority": 5}},
            NEWEST,
            Reason.UNSUPPORTED_BY_BROKER,
            "spec.rabbitmq.maxPriority: quorum queues have built-in priorities and take no maximum; remove it",
        ),
        (
            {"kafka": {"partitions": 3}},
            NEWEST,
            Reason.UNSUPPORTED_BY_BROKER,
            "spec.kafka: the Broker is RabbitMQ 4.3.6, which knows none of these settings; remove it",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_in_words(
    fields: dict[str, Any], capabilities: Any, reason: Reason, message: str
) -> None:
    compiled = driver().compile(resolved_queue("billing.invoices", **fields), capabilities)
    assert [(problem.reason, problem.message) for problem in compiled.problems] == [(reason, message)]
    assert {part.mode for part in compiled.parts} == {Mode.HOLD}, "what it has stays as it is"


def test_a_refusal_names_the_default_it_comes_from() -> None:
    resolved = resolved_queue("billing.invoices", defaults={"retry": {"backoff": {"initial": "1s"}}})
    assert [problem.message for problem in driver().compile(resolved, OLDER).problems] == [
        (
            "spec.retry.backoff (the Broker's spec.defaults.retry): RabbitMQ 4.0.5 cannot delay a retry, which came "
            "with 4.3; upgrade the broker, or remove the field"
        )
    ]


def test_enforcement_tells_what_a_retry_means_on_this_version() -> None:
    def notes(capabilities: Any, **fields: Any) -> dict[str, str]:
        compiled = driver().compile(resolved_queue("billing.invoices", **fields), capabilities)
        assert {entry.by for entry in compiled.enforcement} == {"Broker"}
        return {entry.field: entry.note for entry in compiled.enforcement}

    assert notes(OLDER, retry={"maxDeliveries": 3}) == {"spec.retry.maxDeliveries": "dropped after 3 deliveries"}
    assert notes(OLDER, retry={"maxDeliveries": 1}, deadLetter={})["spec.retry.maxDeliveries"] == (
        "moved to the dead-letter queue after 1 delivery"
    )
    assert (
        "basic.nack with requeue does not count"
        in notes(NEWEST, retry={"maxDeliveries": 3})["spec.retry.maxDeliveries"]
    )
    assert notes(NEWEST) == {"spec.retry": "not set: a failed message is delivered again without end"}


def test_a_user_carries_the_operators_mark_and_its_password() -> None:
    compiled = driver().compile(resolved_user("shop.checkout", "pw"), NEWEST)
    assert resources(compiled)[user_id("shop.checkout")] == User(
        "shop.checkout", ("channel-operator-op",), Secret("pw")
    )
    assert part_ids(compiled.parts) == ["User shop.checkout", "Permission shop.checkout"]


def test_a_user_whose_password_is_not_read_yet_is_not_created() -> None:
    pure = driver()
    compiled = pure.compile(resolved_user("shop.checkout", None), NEWEST)
    rid = user_id("shop.checkout")
    parts = [part for part in compiled.parts if part.id == rid]
    assert pure.assemble(rid, parts, {}, ()).held
    there = User("shop.checkout", ("channel-operator-op",), None, Secret("whatever"), "")
    wanted = pure.assemble(rid, parts, {rid: there}, ()).resource
    assert wanted is not None
    assert pure.diff(wanted, there) is None


def test_what_users_alternate_between_is_withdrawn_and_held_as_a_family() -> None:
    gone = subject("shop.checkout", Kind.BROKER_USER)
    names = {"shop.checkout", "shop.checkout_a", "shop.checkout_b"}
    assert {part.id.path[0] for part in driver().withdraw(gone).parts} == names
    assert {part.id.path[0] for part in driver().hold(gone).parts} == names


def test_a_hold_covers_everything_a_queue_may_have() -> None:
    held = driver().hold(subject("billing.invoices"))
    everything = driver().compile(resolved_queue("billing.invoices", deadLetter={}), NEWEST)
    assert set(part_ids(held.parts)) == set(part_ids(everything.parts))
    assert {part.mode for part in held.parts} == {Mode.HOLD}


def test_a_retained_queue_keeps_its_whole_channel() -> None:
    assert driver().withdraw(subject("billing.invoices", removal=None)).parts == ()


def test_a_deleted_queue_goes_with_all_it_may_have() -> None:
    withdrawn = driver().withdraw(subject("billing.invoices", removal=Removal.DELETE_IF_EMPTY))
    assert {part.mode for part in withdrawn.parts} == {Mode.WITHDRAW}
    assert {part.id.path[0]: part.content for part in withdrawn.parts if part.content} == {
        "billing.invoices": Removal.DELETE_IF_EMPTY,
        "billing.invoices_dead": Removal.DELETE_IF_EMPTY,
    }
    assert len(withdrawn.parts) == 7


def test_a_deleted_user_goes_unless_it_was_adopted() -> None:
    pure = driver()
    rid = user_id("shop.checkout")
    parts = [p for p in pure.withdraw(subject("shop.checkout", Kind.BROKER_USER)).parts if p.id == rid]
    ours, adopted = User("shop.checkout", ("channel-operator-op",)), User("shop.checkout")
    assert pure.assemble(rid, parts, {rid: ours}, ()).resource is None
    assert not pure.assemble(rid, parts, {rid: ours}, ()).held
    assert pure.assemble(rid, parts, {rid: adopted}, ()).held


def test_an_exchange_that_is_not_of_our_making_is_not_withdrawn() -> None:
    pure = driver()
    rid = exchange_id("billing.invoices_dlx")
    parts = [p for p in pure.withdraw(subject("billing.invoices")).parts if p.id == rid]
    assert pure.assemble(rid, parts, {rid: Exchange("billing.invoices_dlx", "topic")}, ()).held
