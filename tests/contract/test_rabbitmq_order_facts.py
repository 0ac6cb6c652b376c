"""Facts of RabbitMQ about the order of messages, proven on real brokers: one active consumer, shards by key."""

from collections import defaultdict
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Exchange, exchange_id
from channel_operator.brokers.rabbitmq.writes import Writer
from channel_operator.core.model import Removal, ResourceId
from channel_operator.errors import Unreachable
from tests.contract.delivery import arrived, consumed, send, settled
from tests.contract.targets import RabbitMQTarget
from tests.harness.waiting import wait_until
from tests.unit.rabbitmq.samples import resolved_queue

SHARDED: dict[str, Any] = {"ordering": "PerKey", "shards": 3}


async def test_of_two_consumers_of_a_strict_queue_one_gets_everything_in_order_and_then_the_other(
    each: RabbitMQTarget,
) -> None:
    await settled(each, resolved_queue("a.q", ordering="Strict"))
    with each.client() as first, each.client() as second, each.client() as sender:
        _, got = first.consume("a.q")
        _, waiting = second.consume("a.q")
        sender.publish("a.q_in", *(str(n) for n in range(10)))
        wait_until(arrived([first], lambda: len(got) == 10), "all ten arrive")
        second.pump()
        assert got == [str(n) for n in range(10)]
        assert waiting == []
        first.close()
        sender.publish("a.q_in", "10")
        wait_until(arrived([second], lambda: waiting == ["10"]), "the other one takes over")


async def test_a_queue_with_one_active_consumer_gives_nothing_to_those_that_poll(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q", ordering="Strict"))
    with each.client() as client:
        client.publish("a.q_in", "m")
        assert client.try_get("a.q") == "RESOURCE_LOCKED"


async def test_without_strict_order_both_consumers_get_messages(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q"))
    with each.client() as first, each.client() as second, each.client() as sender:
        _, one = first.consume("a.q")
        _, other = second.consume("a.q")
        sender.publish("a.q_in", *(str(n) for n in range(10)))
        wait_until(arrived([first, second], lambda: len(one + other) == 10), "all ten arrive")
        assert one
        assert other


@pytest.mark.parametrize("by_header", [False, True], ids=["by-routing-key", "by-header"])
async def test_messages_with_one_key_are_on_one_shard_in_order(each: RabbitMQTarget, *, by_header: bool) -> None:
    key: dict[str, Any] = {"orderingKey": {"header": "customer"}} if by_header else {}
    await settled(each, resolved_queue("a.q", **SHARDED, **key))
    keys = [f"customer-{n}" for n in range(20)]
    with each.client() as client:
        for number in range(3):
            for one in keys:
                if by_header:
                    # The routing key says something else each time and does not count.
                    send(client, "a.q_in", f"{one}-{number}", f"{one} {number}", headers={"customer": one})
                else:
                    send(client, "a.q_in", one, f"{one} {number}")
        shards = consumed(client, [f"a.q_{n}" for n in range(3)], 60)
    assert all(shards), "every shard has some keys"
    where: dict[str, set[int]] = defaultdict(set)
    for number, shard in enumerate(shards):
        for body in shard:
            where[body.split()[0]].add(number)
    assert {one: len(found) for one, found in where.items()} == dict.fromkeys(keys, 1)
    for shard in shards:
        for one in keys:
            mine = [body for body in shard if body.startswith(f"{one} ")]
            assert mine == sorted(mine)


async def test_another_hash_header_is_the_same_to_the_broker_and_not_to_us(each: RabbitMQTarget) -> None:
    await settled(each, resolved_queue("a.q", **SHARDED, orderingKey={"header": "customer"}))
    other = Exchange("a.q_in", "x-consistent-hash", arguments=(("hash-header", "order"),))
    await each.plant(other)  # the broker takes it and changes nothing
    found = (await each.session.observe([exchange_id("a.q_in")])).resources[exchange_id("a.q_in")]
    assert found == Exchange("a.q_in", "x-consistent-hash", arguments=(("hash-header", "customer"),))
    assert each.driver.diff(other, found) is not None


async def test_shards_with_a_message_in_one_of_them_all_stay_and_work_and_go_together_later(
    each: RabbitMQTarget,
) -> None:
    queue = resolved_queue("a.q", **SHARDED, removal=Removal.DELETE_IF_EMPTY)
    scene = await settled(each, queue)
    with each.client() as client:
        send(client, "a.q_in", "one key", "kept")
    gone = queue.subject
    subject = type(gone)(gone.key, gone.name, gone.since, gone.removal, queue.spec)
    before = await scene.picture()
    outcomes = await scene.settle(gone=[subject])
    assert any(outcome.kept for outcome in outcomes)
    assert await scene.picture() == before, "every shard and every binding is there"
    with each.client() as client:
        assert ["kept"] in consumed(client, [f"a.q_{n}" for n in range(3)], 1)

    def counted() -> bool:
        found = each.api("GET", each.path("queues"))
        return {(queue.get("messages"), queue.get("consumers")) for queue in found} == {(0, 0)}

    wait_until(counted, "the statistics have ticked")
    await scene.settle(gone=[subject])
    assert not [rid for rid in await scene.picture() if rid.path[0].startswith("a.q")]


async def test_shards_of_which_one_went_before_the_broker_did_take_nothing_in_and_go_later(
    each: RabbitMQTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = resolved_queue("a.q", **SHARDED, removal=Removal.DELETE_IF_EMPTY)
    scene = await settled(each, queue)
    gone = queue.subject
    subject = type(gone)(gone.key, gone.name, gone.since, gone.removal, queue.spec)
    remove, removed = Writer.remove, list[ResourceId]()

    async def remove_one(writer: Writer, rid: ResourceId) -> None:
        if removed:
            raise Unreachable("the broker has gone")
        removed.append(rid)
        await remove(writer, rid)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "remove", remove_one)
        outcomes = await each.session.apply(await scene.changes(gone=[subject]))
        assert any(isinstance(outcome.error, Unreachable) for outcome in outcomes)
    left = await scene.picture()
    assert removed[0] not in left
    assert len([rid for rid in left if rid.kind == "Queue"]) == 2
    assert not [rid for rid in left if rid.kind == "Binding" and rid.path[0] == "a.q_in"]
    await scene.settle(gone=[subject])
    assert not [rid for rid in await scene.picture() if rid.path[0].startswith("a.q")]
