"""What a Broker says for manifests that say nothing: clients meet it, a manifest outdoes it, what is made keeps it."""

from typing import Any

import pytest

from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

BOTH: dict[str, Any] = {"producers": [{"name": "app"}], "consumers": [{"name": "app"}]}
ROOM = {"maxMessages": 3, "overflow": "RejectNew"}


def _fill(site: Site, team: str, queue: str, *, most: int) -> int:
    """Publish until the queue refuses; return how many it took."""
    with site.client(team, "app") as client:
        for count in range(most):
            if client.try_publish(f"{team}.{queue}_in") == "NACK":
                return count
    return most


def _deliveries(site: Site, team: str, queue: str, *, most: int) -> int:
    """Send one message, reject it each time it comes, and return how often it came; at most `most` times."""
    with site.client(team, "app") as client:
        client.publish(f"{team}.{queue}_in", "again")
        channel = client.connection.channel()
        count = 0

        def over() -> bool:
            nonlocal count
            method, _, _ = channel.basic_get(f"{team}.{queue}")
            if method is not None:
                count += 1
                channel.basic_reject(method.delivery_tag, requeue=True)
            return count == most or site.ready_messages(f"{team}.{queue}_dead") > 0

        wait_until(over, "it has come as often as it may")
        return count


def test_a_manifest_that_says_nothing_gets_what_its_broker_says_and_one_that_does_does_not(world: World) -> None:
    site = world.site(spec={"defaults": {"retry": {"maxDeliveries": 2}, "limits": ROOM}})
    team = site.namespace("team")
    site.cluster.apply(
        site.user(team, "app"),
        site.queue(team, "silent", deadLetter={}, **BOTH),
        site.queue(team, "stated", retry={"maxDeliveries": 4}, limits={"maxMessages": 50}, deadLetter={}, **BOTH),
    )
    for name in ("silent", "stated"):
        site.cluster.wait_ready("Queue", team, name)
    told = {name: site.cluster.get("Queue", team, name) or {} for name in ("silent", "stated")}
    assert told["silent"]["status"]["effective"]["retry"] == {"maxDeliveries": 2}
    assert told["silent"]["status"]["effective"]["limits"] == ROOM
    assert _deliveries(site, team, "silent", most=9) == 2
    assert _deliveries(site, team, "stated", most=9) == 4
    assert _fill(site, team, "silent", most=20) < 20
    assert _fill(site, team, "stated", most=20) == 20


def test_a_changed_default_is_for_what_comes_after(world: World) -> None:
    site = world.site(spec={"defaults": {"limits": ROOM, "queueType": "Classic"}})
    team = site.namespace("team")
    site.cluster.apply(site.user(team, "app"), site.queue(team, "before", **BOTH))
    site.cluster.wait_ready("Queue", team, "before")
    made = site.native_queues()[f"{team}.before"]
    site.cluster.apply(site.broker(defaults={"limits": {"maxMessages": 7}, "retry": {"maxDeliveries": 3}}))
    site.cluster.wait_ready("Broker", site.home, "main")
    site.cluster.apply(site.queue(team, "after", **BOTH))
    site.cluster.wait_ready("Queue", team, "after")
    world.look(site)
    for name in ("before", "after"):
        site.cluster.wait_ready("Queue", team, name)
    found = site.native_queues()
    assert found[f"{team}.before"]["arguments"] == made["arguments"]
    assert [found[f"{team}.{name}"]["type"] for name in ("before", "after")] == ["classic", "quorum"]
    after = found[f"{team}.after"]["arguments"]
    assert (after["x-max-length"], after["x-delivery-limit"]) == (7, 2)
    assert site.rabbit("GET", "/api/policies/{vhost}") == []


@pytest.mark.parametrize(("stated", "taken"), [(None, False), ("IfCompatible", True)])
def test_the_brokers_word_on_adoption_holds_unless_the_manifest_has_one(
    world: World, stated: str | None, *, taken: bool
) -> None:
    site = world.site(spec={"defaults": {"adoptionPolicy": "Never"}})
    team = site.namespace("team")
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": -1}
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{team}.orders", {"durable": True, "arguments": arguments})
    site.cluster.apply(site.queue(team, "orders", **({"adoptionPolicy": stated} if stated else {})))
    if taken:
        assert site.cluster.wait_ready("Queue", team, "orders")["status"]["origin"] == "Adopted"
        return
    stalled = condition(site.cluster.wait_reason("Queue", team, "orders", "AdoptionRefused"), "Stalled")
    assert stalled is not None
    assert "Never" in stalled["message"]
    assert f"{team}.orders" in stalled["message"]


def test_a_default_that_a_subscription_cannot_have_is_named_as_the_brokers(world: World) -> None:
    """A Subscription that refused new messages would refuse them to the topic's publishers."""
    site = world.site(spec={"defaults": {"limits": ROOM}})
    team = site.namespace("team")
    topic = (team, "events")
    site.cluster.apply(
        site.topic(team, "events"),
        site.subscription(team, "silent", topic),
        site.subscription(team, "stated", topic, limits={"maxMessages": 3}),
    )
    site.cluster.wait_ready("Subscription", team, "stated")
    stalled = condition(site.cluster.wait_reason("Subscription", team, "silent", "UnsupportedByBroker"), "Stalled")
    assert stalled is not None
    assert "the Broker's spec.defaults.limits has overflow RejectNew" in stalled["message"]
    assert f"{team}.silent" not in site.native_queues()
