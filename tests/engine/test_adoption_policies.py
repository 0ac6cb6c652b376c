"""Whose a policy is: one that has the name or even the form of ours, made by hand before or after."""

from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.resources import Policy, Queue, policy_id
from tests.engine.world import world


@pytest.mark.parametrize("priority", [1, 100])
@pytest.mark.parametrize("pattern", ["^other$", "^billing[.]invoices$"])
async def test_a_policy_of_somebody_elses_under_the_name_of_ours_is_never_written_over(
    pattern: str, priority: int
) -> None:
    async with world() as w:
        w.make_broker()
        theirs = Policy("billing.invoices_policy", pattern, "queues", priority, (("max-length", 7),))
        w.put(theirs)
        queue = w.make_queue("invoices", rabbitmq={"settings": "Policy"}, messageTTL="1h")
        await w.start()
        await w.advance(10)
        assert w.kube.condition(queue) in {("False", "AdoptionRefused"), ("False", "PolicyShadowed")}
        assert "billing.invoices_policy" in w.kube.message(queue)
        assert w.broker.resources[theirs.id] == theirs
        assert "billing.invoices" not in w.names("Queue")
        w.take(theirs.id)
        await w.advance(400, step=5)
        assert w.ready(queue)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [((), {}), ((), {"deadLetter": {}}), ((), {"messageTTL": "1h"}), ((("x-max-length", 9),), {"messageTTL": "1h"})],
)
async def test_a_policy_made_by_hand_for_a_queue_made_by_hand_is_never_taken_for_ours(
    arguments: tuple[tuple[str, Any], ...], fields: dict[str, Any]
) -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"})
        w.put(Queue("orders", "quorum", arguments=(("x-queue-type", "quorum"), *arguments)))
        w.put(Policy("orders_policy", "^orders$", "queues", 5, (("max-length", 7),)))
        before = dict(w.broker.resources)
        queue = w.make_queue("orders", physicalName="orders", deletionPolicy="Delete", **fields)
        await w.start()
        await w.advance(400, step=5)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        assert "orders_policy" in w.kube.message(queue)
        assert w.broker.resources == before
        w.take(policy_id("orders_policy"))
        await w.advance(400, step=5)
        assert w.ready(queue)
        assert w.kube.status(queue)["origin"] == "Adopted"


async def test_a_policy_made_by_hand_before_its_queue_is_no_setting_of_ours() -> None:
    async with world() as w:
        w.make_broker()
        theirs = Policy("billing.invoices_policy", "^billing\\.invoices$", "queues", 5, (("max-length", 7),))
        w.put(theirs)
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        await w.start()
        await w.advance(10)
        assert w.kube.condition(queue) == ("False", "AdoptionRefused")
        w.kube.delete(queue)
        await w.advance(10)
        assert list(w.broker.resources.values()) == [theirs]


async def test_a_retained_queue_is_taken_over_again_with_its_policy() -> None:
    async with world() as w:
        w.make_broker()
        settings: dict[str, Any] = {"rabbitmq": {"settings": "Policy"}, "messageTTL": "1h"}
        queue = w.make_queue("invoices", **settings)
        await w.start()
        assert w.ready(queue)
        w.kube.delete(queue)
        await w.advance(10)
        assert "billing.invoices_policy" in w.names("Policy")
        queue = w.make_queue("invoices", **(settings | {"messageTTL": "2h"}))
        await w.advance(10)
        assert w.ready(queue)
        policy = w.broker.resources[policy_id("billing.invoices_policy")]
        assert isinstance(policy, Policy)
        assert policy.definition == (("message-ttl", 7_200_000),)


async def test_a_queue_taken_over_once_and_retained_is_taken_over_again_with_its_policy() -> None:
    async with world() as w:
        w.make_broker(naming={"physicalName": "Any"})
        w.put(Queue("orders", "quorum", arguments=(("x-queue-type", "quorum"),)))
        for _ in range(2):
            queue = w.make_queue("orders", physicalName="orders", deadLetter={})
            await (w.advance(10) if w.manager else w.start())
            assert w.ready(queue)
            assert w.names("Policy") == {"orders_policy"}
            w.kube.delete(queue)
            await w.advance(10)
            assert queue not in w.kube.objects


@pytest.mark.parametrize(
    "theirs",
    [
        Policy("billing.invoices_policy", "^billing\\.", "queues", 200, (("max-length", 7),)),
        Policy("billing.invoices_policy", "^other$", "queues", 100, (("message-ttl", 3_600_000),)),
        Policy("billing.invoices_policy", "^billing\\.invoices$", "quorum_queues", 100, (("max-length", 7),)),
    ],
    ids=["another pattern that applies", "another pattern", "another definition"],
)
async def test_what_comes_in_the_place_of_our_policy_is_drift(theirs: Policy) -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices", rabbitmq={"settings": "Policy"}, messageTTL="1h")
        await w.start()
        assert w.ready(queue)
        ours = w.broker.resources[theirs.id]
        w.put(theirs)
        await w.advance(400, step=5)
        assert w.broker.resources[theirs.id] == ours
        assert "DriftCorrected" in w.kube.told(queue)
        assert w.ready(queue)


async def test_a_policy_for_our_queue_alone_under_the_name_of_ours_is_drift_and_goes() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        theirs = Policy("billing.invoices_policy", "^billing\\.invoices$", "queues", 5, (("max-length", 7),))
        w.put(theirs)
        await w.advance(400, step=5)
        assert w.names("Policy") == set()
        assert "DriftCorrected" in w.kube.told(queue)


async def test_a_policy_for_other_queues_is_left_while_its_name_is_not_needed() -> None:
    async with world() as w:
        w.make_broker()
        queue = w.make_queue("invoices")
        await w.start()
        theirs = Policy("billing.invoices_policy", "^billing\\..*", "queues", 5, (("max-length", 7),))
        w.put(theirs)
        await w.advance(400, step=5)
        assert w.broker.resources[theirs.id] == theirs
        assert w.ready(queue)
        w.kube.delete(queue)
        await w.advance(10)
        assert w.broker.resources[theirs.id] == theirs
