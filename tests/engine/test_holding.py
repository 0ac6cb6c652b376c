"""What an object keeps while it may not act: disabled, invalid, without consent; also over a restart."""

from typing import Any

import pytest

from channel_operator.api.meta import RECONCILE
from channel_operator.core.model import Secret
from tests.engine.held import READS, check_untouched, settled
from tests.engine.world import MAIN, world


@pytest.mark.parametrize(
    "edit",
    [
        {"retry": {"maxDeliveries": 0}, "consumers": []},
        {"brokerRef": {"name": "main", "namespace": "messaging"}, "limits": {"maxMessages": "many"}},
        {"kafka": {"partitions": 3}},
        {"consumers": [], "rabbitmq": {"maxPriority": 5}},
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
        assert (w.kube.condition(queue) or ())[:1] == ("False",)
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
        assert w.permission("billing.worker").read == READS


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
        w.take(w.queue("billing.invoices").id)
        await w.advance(400)
        assert "billing.invoices" not in w.names("Queue"), "hands off"
        w.kube.annotate(queue, reconcile=None)
        await w.advance(10)
        assert w.ready(queue)
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}
        assert w.permission("billing.worker").read == "^$"


async def test_hands_off_taken_back_in_an_outage_is_not_called_ready_and_its_edit_is_no_drift() -> None:
    async with world() as w:
        _, queue = await settled(w)
        w.kube.annotate(queue, reconcile="Disabled")
        w.kube.edit(queue, consumers=[], deadLetter={})
        await w.advance(10)
        w.broker.unreachable = True
        await w.advance(60)
        assert w.kube.condition(queue) == ("True", "Disabled")
        w.kube.annotate(queue, reconcile=None)
        await w.advance(10)
        assert w.kube.condition(queue) == ("Unknown", "BrokerUnreachable")
        w.broker.unreachable = False
        await w.advance(60)
        assert w.ready(queue)
        assert w.names("Queue") == {"billing.invoices", "billing.invoices_dead"}
        assert "DriftCorrected" not in w.kube.told(queue)


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
        assert "billing.invoices" in w.names("Queue")


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
        assert w.permission("billing.worker").read == "^$"
        assert w.ready(user, queue)


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
        assert "billing.worker" not in w.names("User")
        assert "billing.invoices" in w.names("Queue")
        assert w.permission("shop.reader").read == "^$"
        assert w.kube.condition(queue) == ("False", "RefNotPermitted")
        assert w.kube.condition(user) == ("False", "RefNotPermitted")
        assert w.ready(reader)
        w.kube.edit(MAIN, allowedNamespaces={"from": "All"})
        await w.advance(10)
        assert w.ready(user, queue, reader)
        assert w.permission("shop.reader").read == READS
        password = w.kube.entries("billing", "worker-binding")["password"]
        assert w.user("billing.worker").password == Secret(password)


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
