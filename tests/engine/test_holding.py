"""What an object keeps while it may not act: disabled, invalid, only observed, without consent; also over a restart."""

import json
from typing import Any

import pytest

from channel_operator.api.meta import RECONCILE
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World, world

READS = "^(?:billing\\.(?:invoices))$"
CHANNELS = [
    {"kind": "Queue", "namespace": "billing", "name": "invoices", "role": "Consumer", "queues": ["billing.invoices"]}
]


async def settled(w: World, **fields: Any) -> tuple[Key, Key]:
    """Return a user and a queue in a system that has come to rest."""
    w.make_broker()
    user = w.make_user("worker")
    queue = w.make_queue("invoices", consumers=[{"name": "worker"}], **fields)
    await w.start()
    await w.advance(10)
    assert w.ready(user, queue)
    return user, queue


def check_untouched(w: World, on_broker: int, secret: str) -> None:
    """Nothing was written to the broker, and clients find what they found before."""
    assert [str(change.id) for change in w.broker.writes[on_broker:]] == []
    assert w.permission("billing.worker").read == READS  # type: ignore[union-attr]
    assert w.kube.entries("billing", "worker-binding")["channels.json"] == secret
    assert json.loads(secret) == CHANNELS


@pytest.mark.parametrize(
    "edit",
    [
        {"retry": {"maxDeliveries": 0}, "consumers": []},
        {"brokerRef": {"name": "main", "namespace": "messaging"}, "limits": {"maxMessages": "many"}},
        {"ordering": "Strict"},
        {"consumers": [], "rabbitmq": {"type": "Classic"}},
        {"messageTTL": "soon", "deadLetter": {}},
    ],
    ids=["invalid", "unreadable", "unsupported", "unsupported-and-revoked", "invalid-and-more"],
)
async def test_an_edit_that_cannot_be_had_keeps_everything_as_it_was_also_over_a_restart(edit: dict[str, Any]) -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, **edit)
        await w.advance(10)
        assert w.kube.condition(queue)[0] == "False"  # type: ignore[index]
        assert w.kube.condition(queue, "Stalled") is not None
        check_untouched(w, on_broker, secret)
        await w.restart()
        await w.advance(700)
        check_untouched(w, on_broker, secret)
        assert w.ready(user)
        assert w.kube.status(queue)["address"]["name"] == "billing.invoices"
        assert w.kube.status(queue)["grants"][0]["state"] == "Granted"


async def test_an_invalid_object_takes_no_part_in_the_narrowing_of_others() -> None:
    async with world() as w:
        _, queue = await settled(w)
        other = w.make_queue("orders", consumers=[{"name": "worker"}])
        await w.settle()
        w.kube.edit(queue, messageTTL="soon")
        await w.settle()
        await w.restart()
        w.kube.edit(other, consumers=[])
        await w.settle()
        assert w.permission("billing.worker").read == READS  # type: ignore[union-attr]


async def test_a_disabled_object_keeps_its_hands_off_also_over_a_restart() -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.annotate(queue, reconcile="Disabled")
        w.kube.edit(queue, consumers=[], deadLetter={})
        await w.advance(10)
        assert w.kube.condition(queue) == ("True", "Disabled")
        check_untouched(w, on_broker, secret)
        await w.restart()
        await w.advance(700)
        check_untouched(w, on_broker, secret)
        assert w.ready(user)
        w.take(w.queue("billing.invoices").id)  # type: ignore[union-attr]
        await w.advance(400)
        assert w.queue("billing.invoices") is None, "hands off"
        w.kube.annotate(queue, reconcile=None)
        await w.advance(10)
        assert w.ready(queue)
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}
        assert w.permission("billing.worker").read == "^$"  # type: ignore[union-attr]


async def test_a_disabled_broker_leaves_its_objects_ready_and_is_not_written_to() -> None:
    async with world() as w:
        user, queue = await settled(w)
        on_broker = len(w.broker.writes)
        w.kube.annotate(MAIN, reconcile="Disabled")
        more = w.make_queue("more")
        await w.advance(700)
        assert w.ready(user, queue)
        assert w.kube.condition(more) == ("Unknown", "RefNotReady")
        assert len(w.broker.writes) == on_broker
        w.kube.annotate(MAIN, reconcile=None)
        await w.advance(10)
        assert w.ready(user, queue, more)


async def test_an_object_that_is_disabled_from_the_start_claims_nothing_and_says_nothing_false() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", annotations={RECONCILE: "Disabled"})
        await w.start()
        await w.advance(10)
        assert w.broker.resources == {}
        assert w.kube.condition(queue) == ("Unknown", "Disabled")
        assert w.kube.condition(queue, "Programmed") != ("True", "Programmed")
        assert w.kube.objects[queue]["metadata"]["finalizers"] == []


async def test_a_disabled_user_keeps_its_rights_also_over_a_restart() -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.annotate(user, reconcile="Disabled")
        await w.restart()
        await w.advance(400)
        check_untouched(w, on_broker, secret)
        assert w.ready(queue)


async def test_a_disabled_and_observed_object_keeps_its_grants_over_a_restart() -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.annotate(queue, reconcile="Disabled")
        w.kube.edit(queue, managementPolicy="Observe", consumers=[])
        await w.advance(10)
        check_untouched(w, on_broker, secret)
        await w.restart()
        await w.advance(400)
        check_untouched(w, on_broker, secret)
        assert w.ready(user)


async def test_deleting_a_disabled_object_leaves_its_queue() -> None:
    async with world() as w:
        _, queue = await settled(w, deletionPolicy="Delete")
        w.kube.annotate(queue, reconcile="Disabled")
        w.kube.delete(queue)
        await w.advance(10)
        assert queue not in w.kube.objects
        assert w.queue("billing.invoices") is not None


async def test_a_disabled_broker_is_left_alone_and_goes_on_when_enabled() -> None:
    async with world() as w:
        user, queue = await settled(w)
        on_broker = len(w.broker.writes)
        w.kube.annotate(MAIN, reconcile="Disabled")
        await w.advance(5)
        w.kube.edit(queue, consumers=[])
        await w.advance(400)
        assert [str(c.id) for c in w.broker.writes[on_broker:]] == []
        assert not w.ready(queue)
        w.kube.annotate(MAIN, reconcile=None)
        await w.advance(5)
        assert w.permission("billing.worker").read == "^$"  # type: ignore[union-attr]
        assert w.ready(user, queue)


async def test_an_observed_queue_shows_what_would_be_done_and_nothing_is() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", managementPolicy="Observe", retry={"maxDeliveries": 3})
        await w.start()
        await w.advance(10)
        assert w.broker.resources == {}
        assert w.kube.condition(queue) == ("False", "Observed")
        assert w.kube.condition(queue, "Drifted") == ("True", "Observed")
        plan = w.kube.status(queue)["plan"]
        assert plan["summary"] == "3 changes not made"
        assert "+ queue billing.invoices (quorum, delivery limit 2)" in plan["changes"]
        w.kube.edit(queue, managementPolicy="Full")
        await w.advance(10)
        assert w.ready(queue)
        assert "plan" not in w.kube.status(queue)
        w.kube.edit(queue, managementPolicy="Observe")
        await w.advance(10)
        assert w.kube.condition(queue) == ("True", "Observed")


async def test_observing_a_queue_keeps_the_grants_it_gave() -> None:
    async with world() as w:
        user, queue = await settled(w)
        secret = w.kube.entries("billing", "worker-binding")["channels.json"]
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, managementPolicy="Observe", consumers=[])
        await w.advance(10)
        await w.restart()
        await w.advance(400)
        check_untouched(w, on_broker, secret)
        assert w.ready(user)


async def test_an_observed_broker_is_never_written_to() -> None:
    async with world() as w:
        w.make_broker(managementPolicy="Observe")
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(400)
        assert w.broker.writes == []
        assert w.kube.condition(queue) == ("False", "Observed")
        assert w.kube.condition(user) == ("False", "Observed")
        for key in (user, queue):
            w.kube.delete(key)
        await w.settle()
        assert user not in w.kube.objects
        assert queue not in w.kube.objects


async def test_a_namespace_without_consent_gets_nothing_and_waits_before_it_complains() -> None:
    async with world() as w:
        w.make_broker(allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}})
        w.kube.namespace("billing", {"team": "red"})
        await w.start()
        user, queue = w.make_user("worker"), w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(30)
        for key in (user, queue):
            assert w.kube.condition(key) == ("Unknown", "RefNotPermitted")
        await w.advance(40)
        for key in (user, queue):
            assert w.kube.condition(key) == ("False", "RefNotPermitted")
        assert w.broker.writes == []
        assert ("billing", "worker-binding") not in w.kube.secrets
        w.kube.namespace("billing", {"team": "blue"})
        await w.advance(5)
        assert w.ready(user, queue)


async def test_consent_that_comes_in_the_same_commit_costs_no_complaint() -> None:
    async with world() as w:
        w.make_broker(allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}})
        await w.start()
        queue = w.make_queue("invoices")
        await w.advance(20)
        w.kube.namespace("billing", {"team": "blue"})
        await w.settle()
        assert w.ready(queue)


async def test_consent_withdrawn_takes_the_access_and_leaves_the_messages() -> None:
    async with world() as w:
        user, queue = await settled(w, deletionPolicy="Delete")
        w.kube.namespace("shop")
        reader = w.make_user("reader", "shop")
        w.kube.edit(queue, consumers=[{"name": "worker"}, {"name": "reader", "namespace": "shop"}])
        await w.settle()
        w.kube.namespace("shop", {"team": "blue"})
        w.kube.edit(MAIN, allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}})
        await w.advance(10)
        assert w.user("billing.worker") is None
        assert w.queue("billing.invoices") is not None
        assert w.permission("shop.reader").read == "^$"  # type: ignore[union-attr]
        assert w.kube.condition(queue) == ("False", "RefNotPermitted")
        assert w.kube.condition(user) == ("False", "RefNotPermitted")
        assert w.ready(reader)
        w.kube.edit(MAIN, allowedNamespaces={"from": "All"})
        await w.advance(10)
        assert w.ready(user, queue, reader)
        assert w.permission("shop.reader").read == READS  # type: ignore[union-attr]
        password = w.user("billing.worker").password  # type: ignore[union-attr]
        assert password is not None
        assert password.reveal() == w.kube.entries("billing", "worker-binding")["password"]


async def test_a_user_of_a_namespace_without_consent_is_granted_nothing() -> None:
    async with world() as w:
        w.make_broker(allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"team": "blue"}}})
        w.kube.namespace("billing", {"team": "blue"})
        w.kube.namespace("shop", {"team": "red"})
        w.make_user("reader", "shop")
        queue = w.make_queue("invoices", consumers=[{"name": "reader", "namespace": "shop"}])
        await w.start()
        await w.advance(10)
        assert w.ready(queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "NotPermitted"
        assert w.kube.told(queue).count("GrantRefused") == 1
        assert w.names("User") == set()


async def test_what_an_observed_queue_would_lose_stands_in_its_plan() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", deadLetter={})
        await w.start()
        await w.advance(10)
        assert w.ready(queue)
        on_broker = len(w.broker.writes)
        w.kube.edit(queue, managementPolicy="Observe", deadLetter=None)
        await w.advance(10)
        plan = w.kube.status(queue)["plan"]["changes"]
        assert any(line.startswith("-") and "billing.invoices_dlx" in line for line in plan), plan
        assert w.kube.condition(queue) == ("False", "Observed")
        assert len(w.broker.writes) == on_broker


async def test_a_deletion_under_an_observed_broker_does_not_claim_that_access_went() -> None:
    async with world() as w:
        _, queue = await settled(w)
        w.kube.edit(MAIN, managementPolicy="Observe")
        await w.advance(10)
        on_broker = len(w.broker.writes)
        w.kube.delete(queue)
        await w.advance(10)
        assert queue not in w.kube.objects
        assert len(w.broker.writes) == on_broker
        text = "billing.invoices and all rights were left as they are: messaging/main is only observed."
        assert text in [event.message for event in w.kube.events]
