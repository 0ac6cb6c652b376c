"""A queue that is replaced on a real broker: only when it is empty and unused, and no message is lost by it."""

import asyncio
import threading
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.names import STAND_IN_SUFFIX
from channel_operator.brokers.rabbitmq.resources import Binding, Queue, queue_id
from channel_operator.core.model import Action, Change, Outcome
from tests.contract.targets import RabbitMQTarget, Scene, foreign_queue
from tests.harness.waiting import wait_until
from tests.unit.rabbitmq.samples import NEWEST, resolved_queue, resources

NAME = "a.q"
STAND_IN = NAME + STAND_IN_SUFFIX


def queue(place: RabbitMQTarget, length: int) -> Queue:
    found = resources(place.driver.compile(resolved_queue(NAME, limits={"maxMessages": length}), NEWEST))
    wanted = found[queue_id(NAME)]
    assert isinstance(wanted, Queue)
    return wanted


async def made(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    await scene.settle(resolved_queue(NAME, limits={"maxMessages": 1000}))

    def has_figures() -> bool:
        found = place.api("GET", place.path("queues", NAME))
        return all(key in found for key in ("messages", "messages_ready", "messages_unacknowledged", "consumers"))

    # No figure is not zero: a queue that the broker has not counted yet is not replaced.
    await asyncio.to_thread(wait_until, has_figures, "the broker has counted the queue")


async def replace(place: RabbitMQTarget) -> Outcome:
    change = Change(queue_id(NAME), Action.RECREATE, queue(place, 2000), queue(place, 1000), frozenset(), 0)
    (outcome,) = await place.session.apply([change])
    return outcome


async def length(place: RabbitMQTarget) -> Any:
    seen = (await place.session.observe(None)).resources
    assert queue_id(STAND_IN) not in seen
    assert Binding(f"{NAME}_in", NAME).id in seen
    found = seen[queue_id(NAME)]
    assert isinstance(found, Queue)
    return dict(found.arguments)["x-max-length"]


def drained(place: RabbitMQTarget) -> list[str]:
    """Take everything that is ready."""
    with place.client() as client:
        channel = client.connection.channel()
        return [body.decode() for _, _, body in iter(lambda: channel.basic_get(NAME, auto_ack=True), (None,) * 3)]


async def test_an_empty_queue_gives_way_to_a_new_one_and_no_message_of_that_time_is_lost(each: RabbitMQTarget) -> None:
    await made(each)
    sent: list[str] = []
    stop = threading.Event()

    def publish() -> None:
        with each.client() as client:
            while not stop.is_set():
                client.publish(f"{NAME}_in", f"m{len(sent)}")  # mandatory: raises when there is no way for it
                sent.append(f"m{len(sent)}")
                client.connection.sleep(0.1)

    def is_cut_off() -> bool:
        found = each.api("GET", each.path("exchanges", f"{NAME}_in", "bindings", "source"))
        return [one["destination"] for one in found] == [STAND_IN]

    work = asyncio.create_task(replace(each))
    await asyncio.to_thread(wait_until, is_cut_off, "the stand-in alone takes what comes in")
    publisher = asyncio.create_task(asyncio.to_thread(publish))
    outcome = await work
    stop.set()
    await publisher
    assert (outcome.error, outcome.kept) == (None, False)
    assert sent
    assert set(drained(each)) == set(sent)
    assert await length(each) == 2000


@pytest.mark.parametrize("why", ["messages", "consumer"])
async def test_a_queue_in_use_stays_as_it_is(each: RabbitMQTarget, why: str) -> None:
    await made(each)
    with each.client() as client:
        if why == "messages":
            await each.send(NAME, 2)
        else:
            client.connection.channel().basic_consume(NAME, lambda *_: None)
        key = "messages" if why == "messages" else "consumers"

        def counted() -> bool:
            return bool(each.api("GET", each.path("queues", NAME)).get(key))

        wait_until(counted, f"the broker counts {why}")
        outcome = await replace(each)
    assert (outcome.error, outcome.kept) == (None, True)
    assert await length(each) == 1000
    with each.client() as client:
        assert [client.get(NAME) for _ in range(2)] == (["m0", "m1"] if why == "messages" else [None, None])


@pytest.mark.parametrize(
    "crash", ["after the stand-in was bound", "after the queue was cut off", "after it was deleted"]
)
async def test_a_replacement_that_broke_off_is_finished_by_the_next_one(each: RabbitMQTarget, crash: str) -> None:
    await made(each)
    await each.plant(foreign_queue(STAND_IN, **{"x-delivery-limit": -1}))
    await each.plant(Binding(f"{NAME}_in", STAND_IN))
    if crash != "after the stand-in was bound":
        with each.client() as client:
            client.connection.channel().queue_unbind(NAME, f"{NAME}_in", routing_key="")
    if crash == "after it was deleted":
        await each.uproot(queue_id(NAME))
    await each.send(NAME, 3)
    outcome = await replace(each)
    assert outcome.error is None
    with each.client() as client:
        received = client.receive(NAME, 3)
    assert set(received) == {"m0", "m1", "m2"}
    # Where the queue had messages by then it stays, with all that the stand-in got.
    assert await length(each) == (1000 if outcome.kept else 2000)
    assert outcome.kept == (crash == "after the stand-in was bound")


async def test_without_a_way_to_keep_what_arrives_nothing_is_replaced(place: RabbitMQTarget) -> None:
    await made(place)
    other = RabbitMQTarget(
        place.rabbitmq, place.operator_id, vhost=place.vhost, spec={"rabbitmq": {"clients": {"addresses": []}}}
    )
    try:
        outcome = await replace(other)
        assert "spec.rabbitmq.clients.addresses" in str(outcome.error)
        assert await length(place) == 1000
    finally:
        await other.session.close()
