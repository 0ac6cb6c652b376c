"""Facts of RabbitMQ that the driver relies on, proven on real brokers: where one changes, the driver must."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, Queue
from tests.contract.targets import RabbitMQTarget, Scene, foreign_queue
from tests.harness.waiting import wait_until
from tests.lab.management import ManagementError
from tests.lab.rabbitmq import RabbitMQ
from tests.unit.rabbitmq.samples import resolved_queue


def quorum(**arguments: Any) -> dict[str, Any]:
    stated = {name.replace("_", "-"): value for name, value in arguments.items()}
    return {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum", **stated}}


def status(action: Callable[[], object]) -> int:
    """Return the status of a refused call, 0 when it was not refused."""
    try:
        action()
    except ManagementError as error:
        return error.status
    return 0


def declare(place: RabbitMQTarget, name: str, **arguments: Any) -> int:
    return status(lambda: place.api("PUT", place.path("queues", name), quorum(**arguments)))


def reject(place: RabbitMQTarget, queue: str, times: int) -> int:
    """Take a message and give it back, at most so often; return how often it came."""
    seen = 0
    with place.client() as client:
        channel = client.connection.channel()
        deadline = time.monotonic() + 30
        while seen < times and time.monotonic() < deadline:
            method, _, _ = channel.basic_get(queue)
            if method is None:
                if seen:
                    break
                continue
            seen += 1
            channel.basic_reject(method.delivery_tag, requeue=True)
    return seen


async def settled(place: RabbitMQTarget, *objects: Any) -> Scene:
    scene = Scene(place, await place.session.probe())
    await scene.settle(*objects)
    return scene


async def test_a_delivery_limit_of_two_means_three_deliveries_then_the_dead_letter_queue(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q", retry={"maxDeliveries": 3}, deadLetter={}))
    await each.send("a.q", 1)
    assert reject(each, "a.q", 10) == 3
    with each.client() as client:
        assert client.receive("a.q_dead") == ["m0"]


async def test_without_retry_a_message_outlives_the_brokers_own_limit_of_twenty(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q"))
    await each.send("a.q", 1)
    assert reject(each, "a.q", 25) == 25


async def test_from_4_3_nack_with_requeue_does_not_count_as_a_delivery(each: RabbitMQTarget) -> None:
    scene = await settled(each, resolved_queue("a.q", retry={"maxDeliveries": 2}, deadLetter={}))
    await each.send("a.q", 1)
    seen = 0
    with each.client() as client:
        channel = client.connection.channel()

        def take() -> bool:
            method, _, _ = channel.basic_get("a.q")
            if method is not None:
                channel.basic_nack(method.delivery_tag, requeue=True)
            return method is not None

        for _ in range(6):
            if seen >= 2 and scene.capabilities.version_numbers < (4, 3):
                break
            seen += bool(wait_until(take, "the message comes back"))
        if scene.capabilities.version_numbers >= (4, 3):
            assert seen == 6
        else:
            assert client.receive("a.q_dead") == ["m0"]


async def test_a_dead_letter_exchange_that_does_not_exist_may_be_named_and_may_come_later(each: RabbitMQTarget) -> None:
    before, after = (
        resolved_queue("a.q", retry={"maxDeliveries": 1}),
        resolved_queue("a.q", retry={"maxDeliveries": 1}, deadLetter={}),
    )
    scene = await settled(each, before)
    await each.send("a.q", 1)
    assert reject(each, "a.q", 5) == 1
    await scene.settle(after)
    await each.send("a.q", 1)
    assert reject(each, "a.q", 5) == 1
    with each.client() as client:
        assert client.receive("a.q_dead") == ["m0"]


async def test_expired_messages_and_those_pushed_out_are_dead_letters_too(each: RabbitMQTarget) -> None:
    await settled(
        each,
        resolved_queue("a.ttl", messageTTL="10ms", deadLetter={}),
        resolved_queue("a.len", limits={"maxMessages": 1}, deadLetter={}),
    )
    await each.send("a.ttl", 1)
    await each.send("a.len", 2)
    with each.client() as client:
        assert client.receive("a.ttl_dead") == ["m0"]
        assert client.receive("a.len_dead") == ["m0"]


async def test_a_full_queue_that_rejects_tells_the_producer(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q", limits={"maxMessages": 1, "overflow": "RejectNew"}))
    with each.client() as client:
        answers = [client.try_publish("a.q_in") for _ in range(10)]
    assert "NACK" in answers


async def test_a_queue_declared_otherwise_is_a_conflict_that_names_the_argument(each: RabbitMQTarget) -> None:
    assert declare(each, "q", x_message_ttl=1) == 0
    with pytest.raises(ManagementError, match="inequivalent arg 'x-message-ttl'") as refused:
        each.api("PUT", each.path("queues", "q"), quorum(x_message_ttl=2))
    assert refused.value.status == 400


async def test_in_a_virtual_host_whose_name_is_not_ascii_conflicts_and_definitions_break_off(
    rabbitmq: RabbitMQ, operator_id: str
) -> None:
    place = RabbitMQTarget(rabbitmq, operator_id, vhost=f"contract-{operator_id}-ü")
    try:
        assert declare(place, "q", x_message_ttl=1) == 0
        assert declare(place, "q", x_message_ttl=2) == 500
        with pytest.raises((ManagementError, ValueError)):
            place.api("GET", place.path("definitions"))
    finally:
        await place.remove()


async def test_a_definitions_document_leaves_a_conflicting_queue_alone_and_says_nothing(each: RabbitMQTarget) -> None:
    await each.plant(foreign_queue("q", **{"x-message-ttl": 5}))
    document = {"queues": [{"name": "q", **quorum(x_message_ttl=7)}, {"name": "r", **quorum()}]}
    each.api("POST", each.path("definitions"), document)
    found = {queue["name"]: queue["arguments"] for queue in each.api("GET", each.path("queues"))}
    assert found["q"]["x-message-ttl"] == 5
    assert "r" in found


async def test_definitions_show_a_queue_with_its_type_and_leave_the_default_binding_out(each: RabbitMQTarget) -> None:
    await each.plant(foreign_queue("q"))
    found = each.api("GET", each.path("definitions"))
    assert [queue["arguments"]["x-queue-type"] for queue in found["queues"]] == ["quorum"]
    assert found["bindings"] == []


async def test_a_time_to_live_of_more_than_ten_years_is_refused(each: RabbitMQTarget) -> None:
    ten_years = 10 * 365 * 24 * 3600 * 1000
    assert declare(each, "q", x_message_ttl=ten_years) == 0
    assert declare(each, "r", x_message_ttl=ten_years + 1) == 400


async def test_management_counts_messages_that_a_consumer_holds_and_a_passive_declare_does_not(
    each: RabbitMQTarget,
) -> None:
    await settled(each, resolved_queue("a.q"))
    await each.send("a.q", 1)
    with each.client() as client:
        channel = client.connection.channel()
        method, _, _ = channel.basic_get("a.q")
        assert method is not None

        def held() -> bool:
            found = each.api("GET", each.path("queues", "a.q"))
            return (found.get("messages_unacknowledged"), found.get("messages_ready")) == (1, 0)

        wait_until(held, "the statistics have ticked")
        assert channel.queue_declare("a.q", passive=True).method.message_count == 0


async def test_a_stream_is_deleted_with_its_messages_even_if_told_only_when_empty(each: RabbitMQTarget) -> None:
    await each.plant(Queue("a.s", "stream", arguments=(("x-queue-type", "stream"),)))
    await each.plant(Exchange("a.s_in", "fanout"))
    await each.plant(Binding("a.s_in", "a.s"))
    await each.send("a.s", 3)
    each.api("DELETE", each.path("queues", "a.s") + "?if-empty=true")
    assert each.api("GET", each.path("queues")) == []


async def test_a_quorum_queue_refuses_the_brokers_own_conditional_deletion(each: RabbitMQTarget) -> None:
    await each.plant(foreign_queue("q"))
    assert status(lambda: each.api("DELETE", each.path("queues", "q") + "?if-empty=true")) == 400
