"""Settings of a queue that change while it lives, as its users and its clients see it."""

from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says
from tests.harness.cluster import is_ready
from tests.harness.site import Site
from tests.harness.waiting import TIMEOUT, wait_until
from tests.harness.world import World

LISTS = {"producers": [{"name": "user"}], "consumers": [{"name": "user"}]}


def _policies(site: Site) -> dict[str, Any]:
    return {one["name"]: one["definition"] for one in site.rabbit("GET", "/api/policies/{vhost}")}


def _applied(site: Site, queue: str, policy: str | None) -> None:
    def look() -> bool:
        found = site.rabbit("GET", "/api/queues/{vhost}?disable_stats=true&enable_queue_totals=false")
        return [one.get("policy") for one in found if one["name"] == queue] == [policy]

    wait_until(look, f"{queue} is under policy {policy}")


def test_what_is_stated_or_lowered_later_bites_at_once(site: Site) -> None:
    shop = site.namespace("shop")
    name = f"{shop}.orders"
    generous = site.queue(
        shop, "orders", retry={"maxDeliveries": 9}, deadLetter={"consumers": LISTS["consumers"]}, **LISTS
    )
    site.cluster.apply(site.user(shop, "user"), generous)
    site.cluster.wait_ready("Queue", shop, "orders")
    strict = site.queue(
        shop, "orders", retry={"maxDeliveries": 2}, deadLetter={"consumers": LISTS["consumers"]}, **LISTS
    )
    site.cluster.apply(strict)
    site.cluster.wait_ready("Queue", shop, "orders")
    assert _policies(site) == {f"{name}_policy": {"delivery-limit": 1}}
    _applied(site, name, f"{name}_policy")
    with site.client(shop, "user") as client:
        client.publish(f"{name}_in", "tried twice")
        channel = client.connection.channel()
        for _ in range(2):
            method = wait_until(lambda: channel.basic_get(name)[0], "the message comes")
            channel.basic_reject(method.delivery_tag, requeue=True)
        assert client.receive(f"{name}_dead") == ["tried twice"]

    site.cluster.apply(site.queue(shop, "orders", retry={"maxDeliveries": 2}, messageTTL="1ms", **LISTS))
    site.cluster.wait_ready("Queue", shop, "orders")
    wait_until(lambda: "message-ttl" in _policies(site)[f"{name}_policy"], "the time to live is in the policy")
    with site.client(shop, "user") as client:
        client.publish(f"{name}_in", "too late")
        wait_until(lambda: client.get(name) is None, "it has expired")


def test_settings_by_policy_are_raised_live(site: Site) -> None:
    shop = site.namespace("shop")
    name, by_policy = f"{shop}.orders", {"rabbitmq": {"settings": "Policy"}}
    site.cluster.apply(
        site.user(shop, "user"), site.queue(shop, "orders", limits={"maxMessages": 1}, **by_policy, **LISTS)
    )
    site.cluster.wait_ready("Queue", shop, "orders")
    _applied(site, name, f"{name}_policy")
    with site.client(shop, "user") as client:
        client.publish(f"{name}_in", "a", "b")
        assert client.receive(name) == ["b"]
    site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 5}, **by_policy))
    site.cluster.wait_ready("Queue", shop, "orders")
    wait_until(lambda: _policies(site)[f"{name}_policy"] == {"max-length": 5}, "the limit is raised")
    site.rabbit("DELETE", f"/api/policies/{{vhost}}/{name}_policy")
    site.cluster.look_now(site.home, "main")
    wait_until(lambda: _policies(site).get(f"{name}_policy") == {"max-length": 5}, "the policy is put back")

    site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 5}, deletionPolicy="Delete", **by_policy))
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    assert _policies(site) == {}


def test_a_raised_setting_gets_a_new_queue_on_request_once_the_old_one_is_empty(world: World, site: Site) -> None:
    shop = site.namespace("shop")
    name = f"{shop}.orders"
    site.cluster.apply(site.user(shop, "user"), site.queue(shop, "orders", limits={"maxMessages": 10}, **LISTS))
    site.cluster.wait_ready("Queue", shop, "orders")
    with site.client(shop, "user") as client:
        client.publish(f"{name}_in", "waits")
        site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 20}, **LISTS))
        found = site.cluster.wait_reason("Queue", shop, "orders", "ImmutableOnBroker")
        assert found["status"]["plan"]["changes"] == [
            f"! Queue {name} cannot be changed in place: spec.limits.maxMessages 10 → 20"
        ]
        site.cluster.annotate("Queue", shop, "orders", {"channel-operator.dev/recreate": "IfEmpty"})
        site.cluster.look_now(site.home, "main")
        assert client.receive(name) == ["waits"], "nothing is lost"

        def replaced() -> bool:
            # Each look tries once, and what the broker counts of a queue is up to one tick of 5 s old.
            world.look(site)
            return is_ready(site.cluster.get("Queue", shop, "orders") or {})

        wait_until(replaced, "the queue is replaced", timeout=2 * TIMEOUT, describe=site.cluster.evidence)
        site.cluster.wait_event(shop, "orders", "Recreated")
        queues = site.native_queues()
        assert set(queues) == {name}
        assert queues[name]["arguments"]["x-max-length"] == 20
        client.publish(f"{name}_in", "after")
        assert client.receive(name) == ["after"]


def test_a_policy_of_somebody_else_is_named_and_left_alone(site: Site) -> None:
    shop = site.namespace("shop")
    name = f"{shop}.orders"
    theirs = {"pattern": f"^{shop}", "apply-to": "all", "priority": 500, "definition": {"max-length": 7}}
    site.rabbit("PUT", "/api/policies/{vhost}/theirs", theirs)
    site.cluster.look_now(site.home, "main")
    site.cluster.apply(site.queue(shop, "orders", messageTTL="1h", rabbitmq={"settings": "Policy"}))
    says(
        site,
        "Queue",
        shop,
        "orders",
        Reason.POLICY_SHADOWED,
        f'Policy "theirs" (priority 500) at the broker overrides the policy "{name}_policy" (priority 100) that queue '
        f"{name} needs. Have its pattern leave this queue out, or have the Broker's owner raise "
        "spec.rabbitmq.policyPriority.",
        on="Programmed",
    )
    site.cluster.wait_event(shop, "orders", "PolicyShadowed")
    assert _policies(site) == {"theirs": {"max-length": 7}}
    site.rabbit("DELETE", "/api/policies/{vhost}/theirs")
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_ready("Queue", shop, "orders")
    assert _policies(site) == {f"{name}_policy": {"message-ttl": 3_600_000}}


def test_there_are_only_so_many_policies(site: Site) -> None:
    shop = site.namespace("shop")
    for number in range(100):
        one = {"pattern": f"^old\\.q{number}$", "apply-to": "queues", "priority": 1, "definition": {"max-length": 7}}
        site.rabbit("PUT", f"/api/policies/{{vhost}}/old.q{number}_policy", one)
    site.cluster.look_now(site.home, "main")
    by_policy = {"messageTTL": "1h", "rabbitmq": {"settings": "Policy"}}
    site.cluster.apply(site.queue(shop, "orders", **by_policy), site.queue(shop, "plain", messageTTL="1h"))
    says(
        site,
        "Queue",
        shop,
        "orders",
        Reason.TOO_MANY_POLICIES,
        f'The policy "{shop}.orders_policy" would be one more than the 100 that --max-policies allows this operator '
        "on the virtual host, since each slows the broker down. State the settings when the queue is created, with "
        "spec.rabbitmq.settings Arguments, or have the limit raised.",
        on="Programmed",
    )
    site.cluster.wait_ready("Queue", shop, "plain")
    assert set(site.native_queues()) == {f"{shop}.plain"}, "none is made without its settings"


@pytest.mark.parametrize("policy", ["IfCompatible", "AllowDataLoss"])
def test_a_queue_with_more_than_its_new_limit_is_taken_over_where_that_is_accepted(site: Site, policy: str) -> None:
    shop = site.namespace("shop")
    name = f"{shop}.orders"
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{name}", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    for text in ("old", "new"):
        body = {"properties": {}, "routing_key": name, "payload": text, "payload_encoding": "string"}
        assert site.rabbit("POST", "/api/exchanges/{vhost}/amq.default/publish", body) == {"routed": True}
    stated = site.queue(shop, "orders", limits={"maxMessages": 1}, adoptionPolicy=policy, **LISTS)
    site.cluster.apply(site.user(shop, "user"), stated)
    if policy == "IfCompatible":
        found = site.cluster.wait_reason("Queue", shop, "orders", "AdoptionRefused")
        message = next(c["message"] for c in found["status"]["conditions"] if c["type"] == "Stalled")
        assert "spec.adoptionPolicy: AllowDataLoss" in message
        assert _policies(site) == {}
        return
    site.cluster.wait_ready("Queue", shop, "orders")
    _applied(site, name, f"{name}_policy")
    with site.client(shop, "user") as client:
        assert client.receive(name) == ["new"]
