"""Topics that keep their messages: streams, their readers, consent, hold and deletion, in the engine as a whole."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Policy, Queue, queue_id
from channel_operator.core.model import Key
from tests.engine.world import World, world

ALL: Mapping[str, Any] = {"from": "All"}
READS = "^(?:shop\\.(?:orders))$"
STEPS = ("topic", "subscription", "producer", "consumer")


async def apply(w: World, step: str, **fields: Any) -> Key:
    match step:
        case "topic":
            lists = {"subscribers": ALL, "producers": [{"name": "checkout"}]}
            return w.make_topic("orders", storage="Log", **{**lists, **fields})
        case "subscription":
            return w.make_subscription("audit", **{"consumers": [{"name": "worker"}], **fields})
        case "producer":
            return w.make_user("checkout", "shop")
        case _:
            return w.make_user("worker")


async def make(w: World, **fields: Any) -> dict[str, Key]:
    w.make_broker()
    keys = {step: await apply(w, step, **(fields if step == "topic" else {})) for step in STEPS}
    await w.start()
    return keys


def rights(w: World, user: str) -> tuple[str, str]:
    found = w.permission(user)
    return found.write, found.read


@pytest.mark.parametrize("order", list(itertools.permutations(STEPS)))
async def test_any_order_ends_ready_with_two_writes_for_each_object(order: tuple[str, ...]) -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        before = len(w.kube.writes)
        keys = [await apply(w, step) for step in order]
        await w.settle()
        assert w.ready(*keys)
        for key in keys:
            verbs = [write.verb for write in w.kube.writes[before:] if write.key == key and write.verb != "secret"]
            assert sorted(verbs) == ["metadata", "status"]
        assert rights(w, "shop.checkout") == ("^(?:shop\\.(?:orders_in))$", "^$")
        assert rights(w, "billing.worker") == ("^$", READS)


async def test_a_log_is_a_stream_with_an_exchange_before_it() -> None:
    async with world() as w:
        keys = await make(w, retention={"time": "168h", "bytes": "20Gi"}, replicas=3)
        stream = w.queue("shop.orders")
        assert stream.type == "stream"
        assert dict(stream.arguments) == {
            "x-queue-type": "stream",
            "x-max-age": "604800s",
            "x-max-length-bytes": 20 * 2**30,
            "x-initial-cluster-size": 3,
            "x-stream-max-segment-size-bytes": 500_000_000,
        }
        assert w.bindings("shop.orders") == {("shop.orders_in", "")}
        assert w.kube.status(keys["topic"])["address"] == {
            "name": "shop.orders",
            "rabbitmq": {"vhost": "/", "exchange": "shop.orders_in", "queues": ["shop.orders"]},
        }
        subscription = w.kube.status(keys["subscription"])
        assert subscription["address"]["rabbitmq"]["queues"] == ["shop.orders"]
        assert subscription["effective"]["storage"] == "Log"
        assert w.names("Queue") == {"shop.orders"}


async def test_a_super_stream_is_bound_the_way_its_clients_look_for_it() -> None:
    async with world() as w:
        keys = await make(w, partitions=3, retention={"bytes": "300Mi"})
        assert w.names("Queue") == {"shop.orders_0", "shop.orders_1", "shop.orders_2"}
        found = sorted(rid.path for rid in w.broker.resources if rid.kind == "Binding")
        assert found == [
            ("shop.orders", "queue", f"shop.orders_{n}", str(n), f'[["x-stream-partition-order", {n}]]')
            for n in range(3)
        ]
        one = w.queue("shop.orders_1")
        assert dict(one.arguments)["x-max-length-bytes"] == 100 * 2**20
        assert w.kube.status(keys["topic"])["effective"]["retention"] == {"bytesPerPartition": 100 * 2**20}
        assert rights(w, "shop.checkout") == ("^(?:shop\\.(?:orders))$", "^$")
        assert rights(w, "billing.worker") == ("^$", "^(?:shop\\.(?:orders|orders_0|orders_1|orders_2))$")


async def test_stream_producers_are_an_opt_in_that_says_what_it_gives() -> None:
    async with world() as w:
        keys = await make(w)
        w.kube.edit(keys["topic"], rabbitmq={"streamProducers": True})
        await w.settle()
        assert rights(w, "shop.checkout")[0] == "^(?:shop\\.(?:orders|orders_in))$"
        notes = {e["field"]: e["note"] for e in w.kube.status(keys["topic"])["enforcement"]}
        assert "both rights" in notes["spec.rabbitmq.streamProducers"]
        w.kube.edit(keys["topic"], rabbitmq=None)
        await w.settle()
        assert rights(w, "shop.checkout")[0] == "^(?:shop\\.(?:orders_in))$"


@pytest.mark.parametrize(("before", "after"), [(None, 3), (3, 6)])
async def test_partitions_never_change_on_rabbitmq(before: int | None, after: int) -> None:
    async with world() as w:
        keys = await make(w, **({"partitions": before} if before else {}))
        names = w.names("Queue")
        w.kube.edit(keys["topic"], partitions=after, growFrom=before)
        await w.settle()
        assert w.kube.condition(keys["topic"]) == ("False", "ImmutableOnBroker")
        assert w.names("Queue") == names
        assert rights(w, "billing.worker")[1] != "^$"


async def test_a_stream_of_somebody_else_is_not_read_by_anybody() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.put(Queue("shop.orders", "quorum", arguments=(("x-queue-type", "quorum"),)))
        keys = {step: await apply(w, step) for step in STEPS}
        await w.settle()
        assert w.kube.condition(keys["topic"], "Programmed") == ("False", "AdoptionRefused")
        assert w.kube.condition(keys["subscription"], "ResolvedRefs") == ("Unknown", "RefNotReady")
        assert rights(w, "billing.worker") == ("^$", "^$")
        w.take(queue_id("shop.orders"))
        await w.advance(700, step=5.0)
        assert w.ready(*keys.values())
        assert rights(w, "billing.worker") == ("^$", READS)


async def test_a_topic_on_hold_keeps_its_producers_and_saves_no_reader_from_being_taken_off_a_list() -> None:
    async with world() as w:
        keys = await make(w)
        w.kube.annotate(keys["topic"], reconcile="Disabled")
        await w.settle()
        w.kube.edit(keys["subscription"], consumers=[])
        await w.settle()
        assert rights(w, "shop.checkout") == ("^(?:shop\\.(?:orders_in))$", "^$")
        assert rights(w, "billing.worker") == ("^$", "^$")


async def test_a_subscription_on_hold_keeps_its_readers_and_saves_nobody_elses() -> None:
    async with world() as w:
        keys = await make(w)
        other = w.make_subscription("copy", "mail", consumers=[{"name": "worker"}])
        w.make_user("worker", "mail")
        await w.settle()
        w.kube.edit(keys["subscription"], messageTTL="soon")
        await w.settle()
        await w.restart()
        w.kube.edit(other, consumers=[])
        await w.settle()
        assert rights(w, "billing.worker") == ("^$", READS)
        assert rights(w, "mail.worker") == ("^$", "^$")


async def test_consent_taken_back_ends_reading() -> None:
    async with world() as w:
        keys = await make(w)
        w.kube.edit(keys["topic"], subscribers={"from": "Same"})
        await w.settle()
        assert rights(w, "billing.worker") == ("^$", "^$")
        assert w.kube.condition(keys["subscription"]) == ("False", "RefNotPermitted")


@pytest.mark.parametrize("messages", [0, 2])
@pytest.mark.parametrize("policy", ["Retain", "Delete", "DeleteIfEmpty"])
async def test_a_deleted_topic_takes_its_stream_along_by_its_policy(policy: str, messages: int) -> None:
    async with world() as w:
        keys = await make(w, deletionPolicy=policy)
        w.broker.messages[queue_id("shop.orders")] = messages
        w.kube.delete(keys["topic"])
        await w.settle()
        assert (keys["topic"] in w.kube.objects) == (policy != "Retain")
        w.kube.delete(keys["subscription"])
        await w.advance(60)
        assert keys["topic"] not in w.kube.objects
        assert keys["subscription"] not in w.kube.objects
        stays = policy == "Retain" or (policy == "DeleteIfEmpty" and bool(messages))
        assert ("shop.orders" in w.names("Queue")) == stays
        assert ("shop.orders_in" in w.names("Exchange")) == stays
        assert rights(w, "billing.worker") == rights(w, "shop.checkout") == ("^$", "^$")


@pytest.mark.parametrize("at_once", [False, True])
async def test_retention_changes_live(*, at_once: bool) -> None:
    async with world() as w:
        keys = await make(w, retention={"time": "168h"})
        if at_once:
            await w.crash()
        w.kube.edit(keys["topic"], retention={"time": "24h", "bytes": "1Gi"})
        if at_once:
            await w.start()
        await w.settle()
        assert w.ready(keys["topic"])
        policies = [r for r in w.broker.resources.values() if isinstance(r, Policy)]
        assert [dict(policy.definition) for policy in policies] == [{"max-age": "86400s", "max-length-bytes": 2**30}]


async def test_a_quiet_log_writes_nothing() -> None:
    async with world() as w:
        await make(w, partitions=3, retention={"time": "24h"})
        await w.advance(10)
        kube, broker = len(w.kube.writes), len(w.broker.writes)
        await w.advance(1000, step=5.0)
        await w.restart()
        assert w.kube.writes[kube:] == []
        assert w.broker.writes[broker:] == []
