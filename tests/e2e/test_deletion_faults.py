"""Deletions that other tools are known to get wrong: what leaks, what gets stuck, what goes with its messages."""

from typing import Any

import pytest

from tests.e2e.teams import make_team, send
from tests.harness.site import Site

POLICIES = ["Retain", "Delete", "DeleteIfEmpty"]


@pytest.mark.parametrize("default", ["quorum", "stream"])
def test_delete_if_empty_works_whatever_type_the_virtual_host_gives_to_queues(site: Site, default: str) -> None:
    """A manifest without a type where RabbitMQ has a default of its own, which refuses its conditional deletion."""
    site.rabbit("PUT", "/api/vhosts/{vhost}", {"default_queue_type": default})
    spec: dict[str, Any] = {"deletionPolicy": "DeleteIfEmpty"}
    team = make_team(site, dict.fromkeys(("empty", "full"), spec))
    assert {one["type"] for one in site.native_queues().values()} == {"quorum"}
    send(site, team, "full")
    for name in ("empty", "full"):
        site.cluster.delete("Queue", team, name)
    for name in ("empty", "full"):
        site.cluster.wait_gone("Queue", team, name)
    assert set(site.native_queues()) == {f"{team}.full"}
    assert site.ready_messages(f"{team}.full") == 1


@pytest.mark.parametrize("policy", POLICIES)
def test_a_manifest_goes_though_somebody_has_deleted_its_objects_at_the_broker(site: Site, policy: str) -> None:
    team = site.namespace("team")
    spec = {"deletionPolicy": policy}
    site.cluster.apply(
        site.queue(team, "orders", deadLetter={}, **spec),
        site.topic(team, "events", **spec),
        site.topic(team, "log", storage="Log", **spec),
        site.subscription(team, "mails", (team, "events"), **spec),
    )
    made = [("Subscription", "mails"), ("Queue", "orders"), ("Topic", "events"), ("Topic", "log")]
    for kind, name in made:
        site.cluster.wait_ready(kind, team, name)
    for name in site.native_queues():
        site.rabbit("DELETE", f"/api/queues/{{vhost}}/{name}")
    for one in site.rabbit("GET", "/api/exchanges/{vhost}"):
        if one["name"].startswith(team):
            site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{one['name']}")
    for kind, name in made:
        site.cluster.delete(kind, team, name)
    for kind, name in made:
        site.cluster.wait_gone(kind, team, name)
    assert site.native_queues() == {}
    told = {one["reason"] for kind, name in made for one in site.cluster.events(team, name)}
    assert told.isdisjoint({"Orphaned", "ReleasedByForce", "ReconcileFailed"})


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
def test_no_binding_is_left_of_a_subscription_whatever_its_routing_keys(site: Site, policy: str) -> None:
    team = site.namespace("team")
    keys = ["a+b", "100%", "a%2Bb", "a%2fb", "a b", "#", "*.x", "~", "p/q", "ü", "plain", "k" * 255]
    site.cluster.apply(
        site.topic(team, "events"),
        site.subscription(team, "odd", (team, "events"), filter={"routingKeys": keys}, deletionPolicy=policy),
    )
    site.cluster.wait_ready("Subscription", team, "odd")
    assert site.bound_to(f"{team}.odd") == {(f"{team}.events", key) for key in keys}
    site.cluster.delete("Subscription", team, "odd")
    site.cluster.wait_gone("Subscription", team, "odd")
    assert site.rabbit("GET", f"/api/exchanges/{{vhost}}/{team}.events/bindings/source") == []
    assert (f"{team}.odd" in site.native_queues()) == (policy == "Retain")


def test_a_message_of_this_very_moment_keeps_its_queue(site: Site) -> None:
    """What RabbitMQ's management knows of a quorum queue may be 5 s old, and says that the queue is empty."""
    names = [f"q{number}" for number in range(5)]
    team = make_team(site, {name: {"deletionPolicy": "DeleteIfEmpty"} for name in names})
    send(site, team, *names)
    for name in names:
        site.cluster.delete("Queue", team, name)
    for name in names:
        site.cluster.wait_gone("Queue", team, name)
    assert {name: site.ready_messages(f"{team}.{name}") for name in names} == dict.fromkeys(names, 1)
