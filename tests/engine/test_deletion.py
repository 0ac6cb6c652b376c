"""How objects leave: by policy, in any order, with a broker that is away, by force."""

import itertools
from typing import Any

import pytest

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.resources import queue_id
from channel_operator.core.model import Secret
from tests.engine.held import settled
from tests.engine.world import MAIN, world


@pytest.mark.parametrize("stated", [None, "Retain"])
async def test_retain_keeps_the_queue_and_takes_the_access(stated: str | None) -> None:
    async with world() as w:
        user, queue = await settled(w, **({"deletionPolicy": stated} if stated else {}))
        w.kube.delete(queue)
        await w.settle()
        assert queue not in w.kube.objects
        assert "billing.invoices" in w.names("Queue")
        assert w.names("Exchange") == {"billing.invoices_in"}
        assert w.permission("billing.worker").read == "^$"
        assert w.kube.told(queue)[-1] == "Retained"
        assert w.ready(user)
        assert w.kube.entries("billing", "worker-binding")["channels.json"] == "[]"


@pytest.mark.parametrize("by", ["object", "namespace", "broker"])
async def test_delete_removes_all_parts_whoever_said_so(by: str) -> None:
    async with world() as w:
        stated: dict[str, Any] = {"defaults": {"deletionPolicy": "Delete"}} if by == "broker" else {}
        w.make_broker(**stated)
        if by == "namespace":
            w.kube.namespace("billing", deletion_policy="Delete")
        user = w.make_user("worker")
        fields: dict[str, Any] = {"deletionPolicy": "Delete"} if by == "object" else {}
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}], deadLetter={}, **fields)
        await w.start()
        await w.advance(10)
        w.kube.delete(queue)
        await w.settle()
        assert queue not in w.kube.objects
        assert w.names("Queue") == w.names("Exchange") == w.names("Binding") == set()
        assert w.permission("billing.worker").read == "^$"
        assert w.kube.told(queue)[-1] == "Deleted"
        assert w.ready(user)


async def test_a_typing_error_in_the_namespace_annotation_loses_nothing() -> None:
    async with world() as w:
        w.kube.namespace("billing", deletion_policy="delete")
        _, queue = await settled(w)
        w.kube.delete(queue)
        await w.settle()
        assert "billing.invoices" in w.names("Queue")


async def test_delete_if_empty_removes_an_empty_queue() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="DeleteIfEmpty", deadLetter={})
        w.kube.delete(queue)
        await w.advance(5)
        assert queue not in w.kube.objects
        assert w.names("Queue") == w.names("Exchange") == set()
        assert w.kube.told(queue)[-1] == "Deleted"


async def test_delete_if_empty_keeps_a_queue_with_messages_and_all_that_belongs_to_it() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="DeleteIfEmpty", deadLetter={})
        w.broker.messages[queue_id("billing.invoices")] = 3
        w.kube.delete(queue)
        await w.advance(30)
        assert queue not in w.kube.objects, "it never blocks"
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}
        assert w.names("Exchange") == {"billing.invoices_in", "billing.invoices_dlx"}
        assert w.permission("billing.worker").read == "^$"
        assert w.kube.told(queue)[-1] == "Retained"
        assert w.kube.told(queue).count("Retained") == 1
        on_broker = len(w.broker.writes)
        w.broker.messages.clear()
        await w.advance(700)
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}, "nobody owns it any more"
        assert w.broker.writes[on_broker:] == []


async def test_a_dead_letter_queue_with_messages_is_kept_alone() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="DeleteIfEmpty", deadLetter={})
        w.broker.messages[queue_id("billing.invoices_dead")] = 1
        w.kube.delete(queue)
        await w.advance(30)
        assert queue not in w.kube.objects
        assert w.names("Queue") == {"billing.invoices_dead"}
        assert w.kube.told(queue)[-1] == "Retained"


async def test_access_is_withdrawn_before_a_queue_is_looked_at_for_emptiness() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="DeleteIfEmpty")
        on_broker = len(w.broker.writes)
        w.kube.delete(queue)
        await w.advance(5)
        order = [str(change.id) for change in w.broker.writes[on_broker:]]
        assert order.index("Permission billing.worker") < order.index("Queue billing.invoices")


async def test_a_broker_away_while_a_queue_is_looked_at_is_no_busy_loop() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="DeleteIfEmpty")
        w.kube.edit(queue, consumers=[])
        await w.settle()
        w.broker.writes_left = 0
        w.kube.delete(queue)
        await w.settle()
        await w.advance(20)
        assert queue in w.kube.objects
        w.broker.unreachable, w.broker.writes_left = False, None
        await w.advance(60)
        assert queue not in w.kube.objects
        assert w.names("Queue") == set()


@pytest.mark.parametrize("order", list(itertools.permutations(["broker", "user", "queue"])))
async def test_any_order_of_deletion_ends_with_nothing_left(order: tuple[str, ...]) -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        keys = {"broker": MAIN, "user": user, "queue": queue}
        for step in order:
            w.kube.delete(keys[step])
            await w.settle()
        await w.advance(10)
        assert w.kube.objects == {}
        assert w.broker.resources == {}


async def test_everything_deleted_at_once_with_the_secrets_ends_with_nothing_left() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        w.kube.secrets.clear()
        for key in (MAIN, user, queue):
            w.kube.delete(key)
        await w.advance(10)
        assert w.kube.objects == {}
        assert w.broker.resources == {}


async def test_a_broker_with_dependants_stays_and_says_who() -> None:
    async with world() as w:
        user, queue = await settled(w)
        w.kube.delete(MAIN)
        await w.advance(10)
        assert w.kube.condition(MAIN) == ("Unknown", "Deleting")
        assert "BrokerUser billing/worker, Queue billing/invoices" in w.kube.message(MAIN)
        assert w.ready(user, queue)
        late = w.make_queue("late")
        await w.advance(5)
        assert w.kube.condition(late) == ("Unknown", "RefNotReady")
        assert "billing.late" not in w.names("Queue")
        for key in (user, queue, late):
            w.kube.delete(key)
        await w.advance(10)
        assert w.kube.objects == {}


async def test_a_deleted_user_goes_with_its_rights_and_its_secret_and_the_queue_says_missing() -> None:
    async with world() as w:
        user, queue = await settled(w)
        w.kube.delete(user)
        await w.settle()
        assert user not in w.kube.objects
        assert "billing.worker" not in w.names("User")
        assert "billing.worker" not in w.names("Permission")
        assert ("billing", "worker-binding") not in w.kube.secrets
        assert w.ready(queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "Missing"


async def test_a_user_deleted_and_made_anew_has_a_new_password_and_its_grants() -> None:
    async with world() as w:
        user, queue = await settled(w)
        old = w.kube.entries("billing", "worker-binding")["password"]
        w.kube.delete(user)
        await w.settle()
        w.make_user("worker")
        await w.settle()
        assert w.ready(user, queue)
        new = w.kube.entries("billing", "worker-binding")["password"]
        assert new != old
        assert w.user("billing.worker").password == Secret(new)
        assert "invoices" in w.permission("billing.worker").read


async def test_an_object_that_names_no_broker_goes_at_once() -> None:
    async with world() as w:
        await w.start()
        key = w.kube.apply(Kind.SUBSCRIPTION, "billing", "audit", {"topicRef": {"name": "events"}})
        await w.settle()
        w.kube.delete(key)
        await w.settle()
        assert key not in w.kube.objects
