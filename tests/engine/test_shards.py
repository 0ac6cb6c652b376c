"""A Queue in shards: they keep their rights on hold, go together, and are taken over together."""

from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import queue_id
from tests.engine.world import world

SHARDED: dict[str, Any] = {"ordering": "PerKey", "shards": 3}
SHARDS = {"billing.orders_0", "billing.orders_1", "billing.orders_2"}


async def test_shards_on_hold_keep_their_rights_and_go_together_when_they_are_empty() -> None:
    async with world() as w:
        w.broker.features = frozenset({"x-consistent-hash"})
        w.make_broker()
        user = w.make_user("worker")
        queue = w.make_queue("orders", consumers=[{"name": "worker"}], deletionPolicy="DeleteIfEmpty", **SHARDED)
        await w.start()
        await w.advance(10)
        assert w.ready(user, queue)
        assert w.names("Queue") == SHARDS
        reads = r"^(?:billing\.(?:orders_0|orders_1|orders_2))$"
        assert w.permission("billing.worker").read == reads
        channels = w.kube.entries("billing", "worker-binding")["channels.json"]
        w.kube.edit(queue, messageTTL="soon", consumers=[])
        await w.restart()
        await w.advance(700)
        assert w.permission("billing.worker").read == reads
        assert w.kube.entries("billing", "worker-binding")["channels.json"] == channels
        w.kube.edit(queue, messageTTL=None)
        await w.advance(5)
        w.broker.messages[queue_id("billing.orders_1")] = 1
        w.kube.delete(queue)
        await w.advance(30)
        assert queue not in w.kube.objects
        assert w.names("Queue") == SHARDS, "one of them has a message, so all stay"


@pytest.mark.parametrize(("before", "after", "fits"), [(3, 3, True), (3, 2, False)])
async def test_shards_that_are_there_are_taken_over_only_all_together(before: int, after: int, *, fits: bool) -> None:
    async with world() as w:
        w.broker.features = frozenset({"x-consistent-hash"})
        w.make_broker()
        queue = w.make_queue("orders", ordering="PerKey", shards=before)
        await w.start()
        await w.advance(10)
        w.kube.delete(queue)
        await w.advance(10)
        assert w.names("Queue") == SHARDS, "retained"
        queue = w.make_queue("orders", ordering="PerKey", shards=after)
        await w.advance(10)
        assert w.ready(queue) is fits
        if not fits:
            assert w.kube.condition(queue) == ("False", "AdoptionRefused")
            assert "Binding billing.orders_in queue billing.orders_2 1, which this manifest" in w.kube.message(queue)
