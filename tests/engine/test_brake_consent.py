"""The brake on one broker: a consent withdrawn by mistake waits for a person, as far as it would take many rights."""

import pytest

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from tests.engine.braked import FEW, reads, release, token
from tests.engine.world import MAIN, World, world


async def shared(w: World, users: int) -> list[Key]:
    """Return users of `shop` that a queue of `billing` admits, by the label of their namespace."""
    w.make_broker(brake=FEW, allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"channels": "yes"}}})
    w.kube.namespace("shop", {"channels": "yes"})
    w.kube.namespace("billing", {"channels": "yes"})
    made = [w.make_user(f"u{n}", "shop") for n in range(users)]
    w.make_queue("invoices", consumers=[{"name": key.name, "namespace": "shop"} for key in made])
    await w.start()
    await w.advance(10)
    assert w.ready(*made)
    return made


MISTYPED = {"from": "Selector", "selector": {"matchLabels": {"chanels": "yes"}}}
RIGHT = {"from": "Selector", "selector": {"matchLabels": {"channels": "yes"}}}


@pytest.mark.parametrize("by", ["selector", "label"])
async def test_a_consent_that_would_take_many_rights_waits(by: str) -> None:
    async with world() as w:
        made = await shared(w, 3)
        on_broker = dict(w.broker.resources)
        if by == "selector":
            w.kube.edit(MAIN, allowedNamespaces=MISTYPED)
        else:
            w.kube.namespace("shop", {})
        await w.advance(400)
        assert w.broker.resources == on_broker
        assert w.kube.condition(MAIN) == ("False", "BrakeEngaged")
        assert w.kube.status(MAIN)["brake"]["revocations"] == 3
        for key in made:
            assert w.kube.condition(key) == ("False", "BrakeEngaged")
            assert "invoices" in w.kube.entries("shop", f"{key.name}-binding")["channels.json"]
        if by == "selector":
            w.kube.edit(MAIN, allowedNamespaces=RIGHT)
        else:
            w.kube.namespace("shop", {"channels": "yes"})
        await w.advance(10)
        assert w.ready(MAIN, *made)
        assert token(w) is None
        assert w.broker.resources == on_broker
        assert w.kube.told(MAIN)[-1] == "BrakeReleased"


async def test_the_token_lets_the_withdrawal_go_on_and_not_the_next_one() -> None:
    async with world() as w:
        made = await shared(w, 3)
        w.kube.edit(MAIN, allowedNamespaces=MISTYPED)
        await w.advance(10)
        used = token(w)
        release(w, used)
        await w.advance(10)
        assert all(f"shop.{key.name}" not in w.names("User") for key in made)
        assert w.ready(MAIN)
        w.kube.edit(MAIN, allowedNamespaces=RIGHT)
        await w.advance(60)
        assert w.ready(*made)
        w.kube.edit(MAIN, allowedNamespaces=MISTYPED)
        await w.advance(60)
        assert all(f"shop.{key.name}" in w.names("User") for key in made)
        assert token(w) not in {None, used}


async def test_few_rights_are_withdrawn_at_once() -> None:
    async with world() as w:
        made = await shared(w, 2)
        w.kube.namespace("shop", {})
        await w.advance(10)
        assert all(f"shop.{key.name}" not in w.names("User") for key in made)
        assert token(w) is None


async def test_users_taken_off_a_list_go_at_once_also_while_it_is_engaged() -> None:
    async with world() as w:
        made = await shared(w, 4)
        w.kube.namespace("shop", {})
        await w.advance(10)
        assert token(w) is not None
        queue = Key(Kind.QUEUE, "billing", "invoices")
        w.kube.edit(queue, consumers=[{"name": "u0", "namespace": "shop"}])
        await w.advance(10)
        assert [len(reads(w, f"shop.{key.name}")) for key in made] == [1, 0, 0, 0]


async def test_a_namespace_whose_consent_is_held_back_gains_nothing_new() -> None:
    async with world() as w:
        made = await shared(w, 3)
        w.kube.namespace("shop", {})
        await w.advance(10)
        listed = [{"name": key.name, "namespace": "shop"} for key in made]
        w.make_queue("more", consumers=listed)
        late = w.make_user("late", "shop")
        await w.advance(10)
        assert [reads(w, f"shop.{key.name}") for key in made] == [{"billing.invoices"}] * 3
        assert "shop.late" not in w.names("User")
        assert w.kube.condition(late, "ResolvedRefs") == ("Unknown", "RefNotPermitted")


async def test_a_channel_whose_consent_is_held_back_keeps_serving_whom_it_lists() -> None:
    async with world() as w:
        await shared(w, 3)
        queue = Key(Kind.QUEUE, "billing", "invoices")
        on_broker = dict(w.broker.resources)
        w.kube.namespace("billing", {})
        await w.advance(400)
        assert w.broker.resources == on_broker
        assert w.kube.condition(queue) == ("False", "BrakeEngaged")
        await w.restart()
        await w.advance(10)
        assert w.broker.resources == on_broker
        w.kube.edit(queue, consumers=[{"name": "u0", "namespace": "shop"}, {"name": "u1", "namespace": "shop"}])
        await w.advance(10)
        assert [len(reads(w, f"shop.u{n}")) for n in range(3)] == [1, 1, 0]
        release(w, token(w))
        await w.advance(10)
        assert [len(reads(w, f"shop.u{n}")) for n in range(3)] == [0, 0, 0]
        assert "billing.invoices" in w.names("Queue")


async def test_a_topic_that_admits_fewer_namespaces_waits_too_and_its_subscriptions_go_on_receiving() -> None:
    async with world() as w:
        w.make_broker(brake=FEW)
        topic = w.make_topic("orders", subscribers={"from": "All"})
        worker = w.make_user("worker")
        reader = [{"name": "worker"}]
        made = [w.make_subscription(f"s{n}", consumers=reader if n else []) for n in range(3)]
        await w.start()
        await w.advance(10)
        assert w.ready(worker, *made)
        on_broker = dict(w.broker.resources)
        w.kube.edit(topic, subscribers={"from": "Same"})
        await w.advance(400)
        assert w.broker.resources == on_broker
        assert w.kube.status(MAIN)["brake"]["revocations"] == 3
        assert [w.kube.condition(key) for key in made] == [("False", "BrakeEngaged")] * 3
        release(w, token(w))
        await w.advance(10)
        assert [w.bindings(f"billing.s{n}") for n in range(3)] == [set()] * 3
        assert reads(w, "billing.worker") == set()
        assert "billing.s1" in w.names("Queue")
