"""Whose an object on the broker is: what is taken over, what is refused, what is never touched."""

from typing import Any

import pytest

from channel_operator.api.meta import OWNED
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Permission,
    Queue,
    User,
)
from channel_operator.core.model import Secret
from tests.engine.world import TAG, World, world

FITTING = Queue(
    "billing.invoices",
    "quorum",
    arguments=(("x-dead-letter-exchange", "billing.invoices_dlx"), ("x-queue-type", "quorum")),
)
OTHER = Queue("billing.invoices", "classic", arguments=(("x-max-length", 10),))


async def test_a_compatible_queue_is_taken_over_and_completed() -> None:
    async with world() as w:
        w.make_broker()
        w.put(FITTING)
        queue = w.make_queue("invoices")
        await w.start()
        assert w.ready(queue)
        assert w.kube.status(queue)["origin"] == "Adopted"
        assert w.kube.objects[queue]["metadata"]["annotations"][OWNED] == "adopted:fake-1"
        assert w.queue("billing.invoices") == FITTING
        assert w.names("Exchange") == {"billing.invoices_in"}
        assert w.kube.told(queue) == ["Adopted"]


async def test_an_incompatible_queue_is_left_alone_and_gives_nobody_a_right() -> None:
    async with world() as w:
        w.make_broker()
        w.put(OTHER)
        user = w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert "type classic → quorum" in w.kube.message(queue)
        assert w.queue("billing.invoices") == OTHER
        assert w.names("Exchange") == set()
        assert w.permission("billing.worker").read == "^$"
        assert w.kube.entries("billing", "worker-binding")["channels.json"] == "[]"
        assert w.ready(user)
        assert w.kube.objects[queue]["metadata"]["finalizers"] == []
        w.take(OTHER.id)
        await w.advance(400)
        assert w.ready(queue)
        assert w.kube.status(queue)["origin"] == "Created"
        assert "invoices" in w.permission("billing.worker").read


@pytest.mark.parametrize("by", ["object", "broker"])
async def test_never_takes_nothing_over_whoever_said_so(by: str) -> None:
    async with world() as w:
        default: dict[str, Any] = {"defaults": {"adoptionPolicy": "Never"}} if by == "broker" else {}
        stated: dict[str, Any] = {"adoptionPolicy": "Never"} if by == "object" else {}
        w.make_broker(**default)
        w.put(FITTING)
        queue = w.make_queue("invoices", **stated)
        await w.start()
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert w.names("Exchange") == set()
        w.kube.edit(queue, adoptionPolicy="IfCompatible")
        await w.advance(5)
        assert w.ready(queue)


async def test_a_queue_that_never_adopts_recognises_its_own_after_a_restart() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", adoptionPolicy="Never")
        await w.start()
        await w.restart()
        w.kube.edit(queue, deadLetter={})
        await w.advance(5)
        assert w.ready(queue)


async def test_a_queue_made_by_hand_just_before_is_seen_although_the_last_look_was_earlier() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        w.put(OTHER)
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.advance(5)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        w.kube.delete(queue)
        await w.advance(5)
        assert w.queue("billing.invoices") == OTHER


async def test_an_existing_user_is_not_taken_over() -> None:
    async with world() as w:
        w.make_broker()
        found = User("billing.worker", (), Secret("theirs"))
        w.put(found)
        w.put(Permission("billing.worker", ".*", ".*", ".*"))
        user = w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(400)
        assert w.kube.condition(user) == ("False", "AdoptionRefused")
        assert w.user("billing.worker") == found
        assert w.permission("billing.worker").read == ".*"
        assert w.kube.status(queue)["grants"][0]["state"] != "Granted"
        assert w.ready(queue)


async def test_an_administrator_is_not_taken_over_even_if_listed() -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"}, adoptableUsers=["root"])
        found = User("root", ("administrator",), Secret("theirs"))
        w.put(found)
        user = w.make_user("root", username="root")
        await w.start()
        assert w.kube.condition(user) == ("False", "AdoptionRefused")
        assert w.user("root") == found


async def test_the_operators_own_user_is_never_taken() -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"}, adoptableUsers=["operator"])
        w.put(User("operator", ("administrator",), Secret("theirs")))
        user = w.make_user("evil", username="operator")
        await w.start()
        await w.advance(5)
        assert w.kube.condition(user) == ("False", "NameNotAllowed")
        assert w.user("operator").password == Secret("theirs")


async def test_a_listed_user_is_taken_over_and_keeps_living_when_its_manifest_goes() -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"}, adoptableUsers=["legacy"])
        w.put(User("legacy", (), Secret("theirs")))
        user = w.make_user("legacy", username="legacy")
        w.make_queue("invoices", consumers=[{"name": "legacy"}])
        await w.start()
        await w.advance(10)
        assert w.ready(user)
        assert w.kube.status(user)["origin"] == "Adopted"
        assert "invoices" in w.permission("legacy").read
        w.kube.delete(user)
        await w.advance(10)
        assert user not in w.kube.objects
        assert "legacy" in w.names("User")
        assert "legacy" not in w.names("Permission")


async def foreign_things(w: World) -> list[object]:
    """Put things of others onto the broker, near by in name."""
    things: list[object] = [
        Queue("billing.other", "classic"),
        Queue("shop.orders", "quorum"),
        Exchange("billing.other_in", "topic"),
        Binding("billing.other_in", "billing.other", routing_key="#"),
        User("billing.human", ("monitoring",), Secret("a")),
        User("billing.neighbour", ("channel-operator-op-2",), Secret("b")),
        Permission("billing.neighbour", "^$", ".*", ".*"),
    ]
    for thing in things:
        w.put(thing)
    return things


async def test_what_is_not_ours_is_never_touched() -> None:
    async with world() as w:
        w.make_broker(defaults={"deletionPolicy": "Delete"})
        things = await foreign_things(w)
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(400)
        for key in (user, queue):
            w.kube.delete(key)
        await w.advance(400)
        assert set(w.broker.resources.values()) == set(things)


async def test_objects_within_our_prefixes_that_nobody_names_are_counted_and_left() -> None:
    async with world() as w:
        broker = w.make_broker()
        await foreign_things(w)
        w.make_queue("invoices")
        await w.start()
        await w.advance(310)
        orphans = w.kube.status(broker)["orphans"]
        assert "Queue billing.other" in orphans["names"]
        assert "Queue billing.invoices" not in orphans["names"]
        assert "Queue shop.orders" not in orphans["names"], "no namespace of that name is known"


async def test_users_with_our_mark_and_no_manifest_are_removed() -> None:
    async with world() as w:
        w.make_broker()
        w.put(User("billing.left", (TAG,), Secret("a")))
        w.put(Permission("billing.left", "^$", ".*", ".*"))
        w.put(User("billing.theirs", ("channel-operator-op-2",), Secret("b")))
        await w.start()
        assert w.names("User") == {"billing.theirs"}
        assert w.names("Permission") == set()


async def test_users_with_our_mark_stay_where_not_all_namespaces_are_seen() -> None:
    async with world(sees_everything=False) as w:
        w.make_broker()
        w.put(User("billing.left", (TAG,), Secret("a")))
        await w.start()
        await w.advance(400)
        assert w.names("User") == {"billing.left"}


async def test_a_user_whose_manifest_is_denied_or_waits_is_no_leftover() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        w.kube.annotate(user, reconcile="Disabled")
        await w.restart()
        await w.advance(400)
        assert w.names("User") == {"billing.worker"}


async def test_of_two_brokers_with_one_identity_the_younger_stands_back() -> None:
    async with world() as w:
        older = w.make_broker()
        await w.start()
        await w.advance(2)
        second = "https://second:15671"
        w.brokers[second] = w.broker
        younger = w.make_broker("second", second)
        queue = w.make_queue("late", brokerRef={"name": "second", "namespace": "messaging"})
        await w.advance(10)
        assert w.ready(older)
        assert w.kube.condition(younger) == ("False", "NameConflict")
        assert w.kube.condition(queue) == ("Unknown", "RefNotReady")
        assert "billing.late" not in w.names("Queue")
        w.kube.delete(older)
        await w.advance(90)
        assert older not in w.kube.objects
        assert w.ready(younger, queue)


async def test_dead_letters_that_somebody_else_keeps_beside_are_not_cleared_away() -> None:
    async with world() as w:
        w.make_broker()
        w.put(FITTING)
        w.put(Queue("billing.invoices_dead", "quorum", arguments=(("x-queue-type", "quorum"),)))
        w.put(Exchange("billing.invoices_dlx", "fanout"))
        w.put(Binding("billing.invoices_dlx", "billing.invoices_dead"))
        before = dict(w.broker.resources)
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert w.broker.resources == before
        w.kube.edit(queue, deadLetter={})
        await w.advance(10)
        assert w.ready(queue)
        assert before.items() <= w.broker.resources.items()
