"""Facts of RabbitMQ about how messages reach consumers, proven on real brokers: where one changes, the driver must."""

import asyncio
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Binding, Exchange, Queue, queue_id
from channel_operator.core.model import Removal
from tests.contract.delivery import arrived, drained, send, settled
from tests.contract.targets import RabbitMQTarget, foreign_queue
from tests.harness.amqp import Client
from tests.harness.waiting import wait_until
from tests.unit.rabbitmq.samples import resolved_queue

# -- tries and delays ----------------------------------------------------------------------------------------------


def returned(place: RabbitMQTarget, how: str, *, times: int) -> list[int]:
    """Give the message `m` back so often while `other` waits behind it; return when it came, in messages seen."""
    came: list[int] = []
    with place.client() as client:
        channel = client.connection.channel()
        seen = 0

        def look() -> bool:
            nonlocal seen
            method, _, body = channel.basic_get("a.q")
            if method is None:
                return False
            seen += 1
            if body == b"m":
                came.append(seen)
                getattr(channel, how)(method.delivery_tag, requeue=len(came) <= times)
            else:
                channel.basic_ack(method.delivery_tag)
            return len(came) > times

        wait_until(look, f"the message came {times + 1} times")
    return came


@pytest.mark.parametrize("how", ["basic_reject", "basic_nack"])
async def test_a_delayed_message_lets_those_behind_it_pass(place: RabbitMQTarget, how: str) -> None:
    retry = {"backoff": {"initial": "1s", "max": "2s"}}
    await settled(place, resolved_queue("a.q", retry=retry))
    with place.client() as client:
        client.publish("a.q_in", "m", "behind", "last")
    assert returned(place, how, times=2) == [1, 4, 5]


@pytest.mark.parametrize("how", ["basic_reject", "basic_nack"])
async def test_without_a_delay_it_comes_first_again(place: RabbitMQTarget, how: str) -> None:
    await settled(place, resolved_queue("a.q"))
    with place.client() as client:
        client.publish("a.q_in", "m", "behind", "last")
    assert returned(place, how, times=2) == [1, 2, 3]


async def test_a_delay_does_not_stop_the_count_to_the_dead_letter_queue(place: RabbitMQTarget) -> None:
    retry = {"maxDeliveries": 3, "backoff": {"initial": "100ms"}}
    await settled(place, resolved_queue("a.q", retry=retry, deadLetter={}))
    with place.client() as client:
        client.publish("a.q_in", "m")
        channel = client.connection.channel()
        seen = 0

        def dead() -> str | None:
            nonlocal seen
            method, _, _ = channel.basic_get("a.q")
            if method is not None:
                seen += 1
                channel.basic_reject(method.delivery_tag, requeue=True)
            return client.get("a.q_dead")

        assert wait_until(dead, "the dead letter is there") == "m"
        assert seen == 3


async def test_delays_that_an_older_broker_does_not_know_are_taken_without_a_word(
    brokers: Any, operator_id: str
) -> None:
    # The reason why an older version is refused by name: the broker itself would not say so.
    older = RabbitMQTarget(brokers.get("previous"), operator_id)
    try:
        delays = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000, "x-delayed-retry-max": 60_000}
        await older.plant(foreign_queue("a.q", **delays))
        await older.plant(Exchange("a.q_in", "fanout"))
        await older.plant(Binding("a.q_in", "a.q"))
        with older.client() as client:
            client.publish("a.q_in", "m")
        assert len(await asyncio.to_thread(returned, older, "basic_reject", times=2)) == 3
    finally:
        await older.remove()


# -- dead letters at least once ------------------------------------------------------------------------------------


async def test_at_least_once_keeps_the_message_while_the_target_is_away(each: RabbitMQTarget) -> None:
    retry, strategy = {"maxDeliveries": 1}, {"strategy": "AtLeastOnce"}
    await settled(each, resolved_queue("a.q", retry=retry, deadLetter=strategy))
    own = Binding("a.q_dlx", "a.q_dead")
    await asyncio.to_thread(unbind, each, own)
    with each.client() as client:
        client.publish("a.q_in", "m")
        channel = client.connection.channel()
        wait_until(lambda: rejected(channel), "the message is rejected")
        wait_until(
            lambda: each.api("GET", each.path("queues", "a.q")).get("messages") == 1,
            "the queue keeps what has no place to go",
        )


async def test_at_least_once_keeps_what_a_full_target_refuses_until_there_is_room(each: RabbitMQTarget) -> None:
    """RabbitMQ sends it again when its own time for confirmations is over: 1 s in the lab, 3 minutes by default."""
    dead = {"queueRef": {"name": "failed"}, "strategy": "AtLeastOnce"}
    full = {"maxMessages": 1, "overflow": "RejectNew"}
    await settled(
        each,
        resolved_queue("a.failed", limits=full),
        resolved_queue("a.q", retry={"maxDeliveries": 1}, deadLetter=dead),
    )
    with each.client() as client:
        client.publish("a.failed_in", "in the way")
        # A quorum queue refuses only after it has gone over its length.
        while client.try_publish("a.failed_in", body=b"in the way") is None:
            pass
        client.publish("a.q_in", "m")
        channel = client.connection.channel()
        wait_until(lambda: rejected(channel), "the message is rejected")
        held = each.path("queues", "a.q")
        wait_until(lambda: each.api("GET", held).get("messages") == 1, "the source keeps it")
        taken: list[str] = []

        def came() -> bool:
            taken.extend(drained(client, "a.failed"))
            return "m" in taken

        wait_until(came, "it comes as soon as there is room", describe=lambda: str(taken))
        assert set(taken) == {"in the way", "m"}
        assert taken.count("m") == 1


def rejected(channel: Any) -> bool:
    method, _, _ = channel.basic_get("a.q")
    if method is not None:
        channel.basic_reject(method.delivery_tag, requeue=True)
    return method is not None


def unbind(place: RabbitMQTarget, binding: Binding) -> None:
    place.api("DELETE", place.path("bindings", "e", binding.source, "q", binding.destination, "~"))


async def test_at_most_once_loses_the_message_while_the_target_is_away(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q", retry={"maxDeliveries": 1}, deadLetter={}))
    own = Binding("a.q_dlx", "a.q_dead")
    await asyncio.to_thread(unbind, each, own)
    with each.client() as client:
        client.publish("a.q_in", "m")
        channel = client.connection.channel()
        wait_until(lambda: rejected(channel), "the message is rejected")
        await each.plant(own)
        client.publish("a.q_in", "n")
        wait_until(lambda: rejected(channel), "the next one is rejected")
        assert client.receive("a.q_dead") == ["n"]
        assert drained(client, "a.q_dead") == []


# -- timeouts ------------------------------------------------------------------------------------------------------


async def test_a_consumer_that_does_not_acknowledge_is_cancelled_and_that_is_no_delivery(place: RabbitMQTarget) -> None:
    await settled(place, resolved_queue("a.q", ackTimeout="1s", retry={"maxDeliveries": 1}, deadLetter={}))
    with place.client() as client, place.client() as other:
        client.publish("a.q_in", "m")
        assert [until_cancelled(client) for _ in range(2)] == [["got", "cancelled"]] * 2
        assert other.receive("a.q") == ["m"], "with one delivery allowed, it would be dead by now if these counted"


def until_cancelled(client: Client) -> list[str]:
    """Take a message and keep it until the broker says something; return what happened."""
    told: list[str] = []
    channel = client.connection.channel()
    channel.add_on_cancel_callback(lambda _: told.append("cancelled"))
    channel.basic_consume("a.q", lambda *_: told.append("got"))
    wait_until(arrived([client], lambda: "cancelled" in told), "the consumer is cancelled")
    return told


async def test_an_older_broker_closes_the_channel_of_such_a_consumer_on_both_types_of_queue(
    brokers: Any, operator_id: str
) -> None:
    older = RabbitMQTarget(brokers.get("previous"), operator_id)
    try:
        await settled(
            older,
            resolved_queue("a.q", ackTimeout="1s"),
            resolved_queue("a.c", ackTimeout="1s", rabbitmq={"type": "Classic"}),
        )
        with older.client() as quorum, older.client() as classic:
            channels = []
            for client, queue in ((quorum, "a.q"), (classic, "a.c")):
                client.publish(f"{queue}_in", "m")
                channel = client.connection.channel()
                channel.basic_consume(queue, lambda *_: None)
                channels.append(channel)

            def closed() -> bool:
                quorum.pump()
                classic.pump()
                return not any(channel.is_open for channel in channels)

            wait_until(closed, "the broker, which looks once a minute, closes them", timeout=150)
            assert quorum.receive("a.q") == ["m"]
            assert classic.receive("a.c") == ["m"]
    finally:
        await older.remove()


async def test_a_classic_queue_of_the_newest_version_refuses_a_timeout(place: RabbitMQTarget) -> None:
    with pytest.raises(Exception, match="invalid arg 'x-consumer-timeout'"):
        await place.plant(
            Queue("c", "classic", arguments=(("x-consumer-timeout", 60_000), ("x-queue-type", "classic")))
        )


# -- classic queues ------------------------------------------------------------------------------------------------


async def test_a_classic_queue_delivers_higher_priorities_first(each: RabbitMQTarget) -> None:
    scene = await settled(each, resolved_queue("a.q", rabbitmq={"type": "Classic", "maxPriority": 5}))
    found = (await scene.picture())[queue_id("a.q")]
    assert isinstance(found, Queue)
    assert found.type == "classic"
    with each.client() as client:
        for number, priority in enumerate((0, 5, 3, 5)):
            send(client, "a.q_in", "", f"{priority}-{number}", priority=priority)
        assert drained(client, "a.q") == ["5-1", "5-3", "3-2", "0-0"]


async def test_a_classic_queue_goes_when_it_is_empty_and_its_dead_letters_are_in_a_quorum_queue(
    each: RabbitMQTarget,
) -> None:
    queue = resolved_queue(
        "a.q", rabbitmq={"type": "Classic"}, messageTTL="10ms", deadLetter={}, removal=Removal.DELETE_IF_EMPTY
    )
    scene = await settled(each, queue)
    await each.send("a.q", 1)
    with each.client() as client:
        assert client.receive("a.q_dead") == ["m0"]
    await scene.settle(gone=[queue.subject])
    assert not [rid for rid in await scene.picture() if rid.path[0].startswith("a.q")]
