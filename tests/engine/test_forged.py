"""What a user of one namespace gains by annotations and finalizers written by hand: nothing that is another's."""

from typing import Any

import pytest

from channel_operator.api.meta import FINALIZER, OWNED, RECONCILE, Kind
from channel_operator.brokers.rabbitmq.resources import Queue
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World, world

READS = "^(?:billing\\.(?:invoices))$"


def forge(w: World, key: Key, record: str | None) -> None:
    """Write or remove finalizer and record by hand."""
    meta = w.kube.objects[key]["metadata"]
    meta["finalizers"] = [FINALIZER] if record is not None else []
    w.kube.annotate(key, owned=record)


async def shared(w: World, **fields: Any) -> tuple[Key, Key]:
    """Return a user of `shop` that may read a queue of `billing`, in a system that has come to rest."""
    w.make_broker()
    user = w.make_user("reader", "shop")
    queue = w.make_queue("invoices", consumers=[{"name": "reader", "namespace": "shop"}], **fields)
    await w.start()
    await w.advance(10)
    assert w.permission("shop.reader").read == READS
    return user, queue


@pytest.mark.parametrize("admitted", [True, False])
async def test_a_forged_record_deletes_no_queue_of_another_namespace(admitted: bool) -> None:
    async with world() as w:
        w.make_broker(allowedNamespaces={"from": "All" if admitted else "Same"})
        w.put(Queue("billing.kept", "quorum", arguments=(("x-queue-type", "quorum"),)))
        await w.start()
        annotations = {OWNED: f"created:{w.broker.identity}"}
        thief = w.make_queue("thief", "shop", annotations, physicalName="billing.kept", deletionPolicy="Delete")
        forge(w, thief, annotations[OWNED])
        await w.advance(10)
        w.kube.delete(thief)
        await w.advance(10)
        assert thief not in w.kube.objects
        assert "billing.kept" in w.names("Queue")


async def test_a_disabled_object_with_the_name_of_another_holds_nothing_of_it() -> None:
    async with world() as w:
        _, queue = await shared(w)
        off = {RECONCILE: "Disabled"}
        w.make_queue("ice", "shop", off, physicalName="billing.invoices")
        w.make_user("ice", "sales", off, username="shop.reader")
        await w.settle()
        w.make_queue("more", consumers=[{"name": "reader", "namespace": "shop"}])
        w.kube.edit(queue, consumers=[])
        await w.advance(10)
        assert w.permission("shop.reader").read == "^(?:billing\\.(?:more))$"


@pytest.mark.parametrize(
    ("annotations", "fields"),
    [({"reconcile": "Disabled"}, {}), ({}, {"rotation": {"every": "1h", "overlap": "24h"}})],
    ids=["disabled", "invalid"],
)
@pytest.mark.parametrize("forged", [True, False])
async def test_a_user_on_hold_loses_what_a_channel_takes_back_and_gains_nothing(
    annotations: dict[str, str],
    fields: dict[str, Any],
    forged: bool,
) -> None:
    async with world() as w:
        user, queue = await shared(w)
        w.make_queue("other", consumers=[{"name": "reader", "namespace": "shop"}])
        await w.settle()
        w.kube.edit(user, **fields)
        w.kube.annotate(user, **annotations)
        await w.settle()
        if forged:
            forge(w, user, None)
            await w.settle()
        w.make_queue("more", consumers=[{"name": "reader", "namespace": "shop"}])
        w.kube.edit(queue, consumers=[])
        await w.advance(10)
        assert w.permission("shop.reader").read == "^(?:billing\\.(?:other))$"


@pytest.mark.parametrize("forged", [True, False])
async def test_a_disabled_user_goes_when_its_namespace_is_not_admitted_any_more(forged: bool) -> None:
    async with world() as w:
        user, _ = await shared(w)
        w.kube.annotate(user, reconcile="Disabled")
        await w.settle()
        if forged:
            forge(w, user, None)
            await w.settle()
        w.kube.edit(MAIN, allowedNamespaces={"from": "Same"})
        await w.advance(10)
        assert "shop.reader" not in w.names("User")
        assert "shop.reader" not in w.names("Permission")


async def test_a_broker_that_is_only_observed_loses_no_user_when_a_consent_ends() -> None:
    async with world() as w:
        await shared(w)
        w.kube.edit(MAIN, managementPolicy="Observe", allowedNamespaces={"from": "Same"})
        on_broker = len(w.broker.writes)
        await w.advance(400)
        assert [str(change.id) for change in w.broker.writes[on_broker:]] == []


async def test_a_user_on_hold_that_bears_the_name_of_a_queue_keeps_nobodys_right_to_it() -> None:
    async with world() as w:
        _, queue = await shared(w)
        w.make_user("invoices")
        await w.settle()
        w.kube.annotate(Key(Kind.BROKER_USER, "billing", "invoices"), reconcile="Disabled")
        await w.settle()
        w.kube.edit(queue, consumers=[])
        await w.advance(10)
        assert w.permission("shop.reader").read == "^$"
