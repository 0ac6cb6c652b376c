"""Settings of a living queue: what changes at once, what needs a new queue, and what stands in the way."""

from typing import Any

from channel_operator.brokers.rabbitmq.resources import Policy, Queue, policy_id, queue_id
from channel_operator.core.model import Key
from tests.engine.world import World, world

NAME = "billing.invoices"
POLICY = policy_id(f"{NAME}_policy")


def policy(w: World, name: str = NAME) -> dict[str, Any] | None:
    """Return what the policy of a queue states, None where there is none."""
    found = w.broker.resources.get(policy_id(f"{name}_policy"))
    assert found is None or isinstance(found, Policy)
    return None if found is None else dict(found.definition)


def arguments(w: World) -> dict[str, Any]:
    queue = w.queue(NAME)
    return dict(queue.arguments)


def annotate(w: World, key: Key, value: str | None) -> None:
    w.kube.annotate(key, recreate=value)


async def test_a_setting_first_stated_or_lowered_later_comes_by_a_policy_and_goes_again() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", limits={"maxMessages": 100})
        await w.start()
        await w.advance(5)
        assert policy(w) is None
        w.kube.edit(queue, limits={"maxMessages": 50}, messageTTL="1h")
        await w.advance(5)
        assert w.ready(queue)
        assert policy(w) == {"max-length": 50, "message-ttl": 3_600_000}
        assert arguments(w)["x-max-length"] == 100
        w.kube.edit(queue, limits={"maxMessages": 80}, messageTTL=None)
        await w.advance(5)
        assert policy(w) == {"max-length": 80}
        w.kube.edit(queue, limits={"maxMessages": 100})
        await w.advance(5)
        assert w.ready(queue)
        assert policy(w) is None


async def test_settings_by_policy_are_raised_and_removed_live_and_stay_so_when_the_default_changes() -> None:
    async with world() as w:
        broker = w.make_broker()
        w.kube.edit(broker, rabbitmq={**w.kube.objects[broker]["spec"]["rabbitmq"], "settings": "Policy"})
        queue = w.make_queue("invoices", limits={"maxMessages": 100})
        await w.start()
        await w.advance(5)
        assert w.kube.status(queue)["effective"]["rabbitmq"]["settings"] == "Policy"
        w.kube.edit(queue, limits={"maxMessages": 200})
        await w.advance(5)
        assert w.ready(queue)
        assert policy(w) == {"max-length": 200}
        w.kube.edit(broker, rabbitmq={**w.kube.objects[broker]["spec"]["rabbitmq"], "settings": "Arguments"})
        later = w.make_queue("later", limits={"maxMessages": 5})
        await w.restart()
        await w.advance(10)
        assert w.ready(queue, later)
        assert policy(w) == {"max-length": 200}
        assert policy(w, "billing.later") is None
        w.kube.edit(queue, limits=None)
        await w.advance(5)
        assert w.ready(queue)
        assert policy(w) is None


async def test_a_policy_removed_or_changed_by_hand_is_drift_and_put_right() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", messageTTL="1h", rabbitmq={"settings": "Policy"})
        await w.start()
        await w.advance(5)
        w.take(POLICY)
        await w.advance(400)
        assert policy(w) == {"message-ttl": 3_600_000}
        found = w.broker.resources[POLICY]
        assert isinstance(found, Policy)
        w.put(found._replace(definition=(("message-ttl", 5),)))
        await w.advance(400)
        assert policy(w) == {"message-ttl": 3_600_000}
        assert w.counts.corrected["Policy"] == 2
        assert w.ready(queue)


async def test_a_retained_queue_keeps_its_policy_and_a_deleted_one_does_not() -> None:
    async with world() as w:
        w.make_broker()
        fields: dict[str, Any] = {"messageTTL": "1h", "rabbitmq": {"settings": "Policy"}}
        kept = w.make_queue("invoices", **fields)
        gone = w.make_queue("orders", deletionPolicy="Delete", **fields)
        await w.start()
        await w.advance(5)
        w.kube.delete(kept)
        w.kube.delete(gone)
        await w.advance(5)
        assert policy(w) == {"message-ttl": 3_600_000}
        assert policy(w, "billing.orders") is None
        again = w.make_queue("invoices", **fields)
        await w.advance(5)
        assert w.ready(again)


async def test_somebody_elses_policy_is_named_and_never_touched() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        await w.advance(5)
        theirs = Policy("theirs", "^billing", "all", 500, (("max-length", 7),))
        w.put(theirs)
        await w.advance(400)
        assert w.ready(queue), "it needs no policy"
        w.kube.edit(queue, messageTTL="1h")
        await w.advance(5)
        assert w.kube.condition(queue) == ("False", "PolicyShadowed")
        assert '"theirs"' in w.kube.message(queue)
        assert [e.reason for e in w.kube.events if e.reason == "PolicyShadowed"] == ["PolicyShadowed"]
        await w.advance(400)
        assert len([e for e in w.kube.events if e.reason == "PolicyShadowed"]) == 1
        assert w.broker.resources[theirs.id] == theirs
        assert policy(w) is None
        w.take(theirs.id)
        await w.advance(400)
        assert w.ready(queue)
        assert policy(w) == {"message-ttl": 3_600_000}


async def test_a_queue_that_cannot_have_its_policy_is_not_made_without_it() -> None:
    async with world() as w:
        w.make_broker()
        w.put(Policy("theirs", "^billing", "all", 500, (("max-length", 7),)))
        queue = w.make_queue("invoices", messageTTL="1h", rabbitmq={"settings": "Policy"})
        await w.start()
        await w.advance(5)
        assert w.kube.condition(queue) == ("False", "PolicyShadowed")
        assert w.names("Queue") == set()


async def test_a_queue_whose_limits_would_drop_messages_is_taken_over_only_where_that_is_accepted() -> None:
    async with world() as w:
        w.make_broker()
        w.put(Queue(NAME, "quorum", arguments=(("x-max-length", 100), ("x-queue-type", "quorum"))))
        queue = w.make_queue("invoices", limits={"maxMessages": 50})
        await w.start()
        await w.advance(5)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert "AllowDataLoss" in w.kube.message(queue)
        assert policy(w) is None
        w.kube.edit(queue, adoptionPolicy="AllowDataLoss")
        await w.advance(5)
        assert w.ready(queue)
        assert w.kube.status(queue)["origin"] == "Adopted"
        assert policy(w) == {"max-length": 50}


async def test_a_raised_setting_replaces_the_queue_only_on_request_and_only_once_it_is_empty() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", limits={"maxMessages": 100})
        await w.start()
        await w.advance(5)
        w.broker.messages[queue_id(NAME)] = 1
        w.kube.edit(queue, limits={"maxMessages": 200}, messageTTL="1h")
        await w.advance(5)
        assert w.kube.condition(queue) == ("False", "ImmutableOnBroker")
        assert "spec.limits.maxMessages 100 → 200" in w.kube.message(queue)
        assert policy(w) is None, "half of an edit is not made"
        annotate(w, queue, "IfEmpty")
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "ImmutableOnBroker")
        assert arguments(w)["x-max-length"] == 100
        w.broker.messages.clear()
        await w.advance(400)
        assert w.ready(queue)
        assert (arguments(w)["x-max-length"], arguments(w)["x-message-ttl"]) == (200, 3_600_000)
        assert [e.reason for e in w.kube.events if e.reason == "Recreated"] == ["Recreated"]


async def test_without_the_annotation_an_empty_queue_stays() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", limits={"maxMessages": 100})
        await w.start()
        w.kube.edit(queue, limits={"maxMessages": 200})
        annotate(w, queue, "Now")
        await w.advance(400)
        assert w.kube.condition(queue) == ("False", "ImmutableOnBroker")
        assert arguments(w)["x-max-length"] == 100


async def test_a_replacement_that_went_wrong_is_tried_again() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", limits={"maxMessages": 100})
        await w.start()
        await w.advance(5)
        w.kube.edit(queue, limits={"maxMessages": 200})
        await w.advance(5)
        w.broker.writes_left = 0
        annotate(w, queue, "IfEmpty")
        await w.advance(20)
        w.broker.unreachable, w.broker.writes_left = False, None
        await w.advance(400)
        assert w.ready(queue)
        assert arguments(w)["x-max-length"] == 200
