"""A queue that somebody made by hand before the manifest came: taken over where it fits, and never bent to fit."""

from typing import Any

from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.binaries import kstatus

QUORUM = {"x-queue-type": "quorum"}


def _declare(site: Site, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{name}", {"durable": True, "arguments": arguments})
    return _declared(site, name)


def _declared(site: Site, name: str) -> dict[str, Any]:
    """Return what identifies a queue's declaration."""
    found = site.rabbit("GET", f"/api/queues/{{vhost}}/{name}")
    return {key: found[key] for key in ("name", "durable", "auto_delete", "arguments", "type")}


def _send(site: Site, queue: str, text: str) -> None:
    """Send by the default exchange, as whoever made the queue by hand does."""
    body = {"properties": {}, "routing_key": queue, "payload": text, "payload_encoding": "string"}
    assert site.rabbit("POST", "/api/exchanges/{vhost}/amq.default/publish", body) == {"routed": True}


def test_a_queue_of_another_type_is_refused_and_left_alone(site: Site) -> None:
    shop = site.namespace("shop")
    before = _declare(site, f"{shop}.orders", {"x-queue-type": "classic"})
    _send(site, f"{shop}.orders", "old")
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(shop, "orders", producers=[{"name": "user"}], consumers=[{"name": "user"}], deletionPolicy="Delete"),
    )
    found = site.cluster.wait_reason("Queue", shop, "orders", "AdoptionRefused")
    for which, status in (("Programmed", "False"), ("Ready", "False"), ("Stalled", "True")):
        shown = condition(found, which)
        assert shown is not None
        assert (shown["status"], shown["message"]) == (
            status,
            (
                f"Queue {shop}.orders exists on the broker already and does not fit: type classic → quorum. "
                "Make the manifest match it, choose another name, or delete it at the broker."
            ),
        )
    assert kstatus([found])[0]["status"] == "Failed"
    with site.client(shop, "user") as client:
        assert client.try_get(f"{shop}.orders") == "ACCESS_REFUSED", "no rights on a queue that is somebody else's"
    assert [one["name"] for one in site.rabbit("GET", "/api/exchanges/{vhost}") if one["name"].startswith(shop)] == []

    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    assert _declared(site, f"{shop}.orders") == before


def test_a_queue_with_other_arguments_is_refused_by_each_of_them(site: Site) -> None:
    shop = site.namespace("shop")
    before = _declare(site, f"{shop}.orders", {**QUORUM, "x-max-length": 5, "x-delivery-limit": 3})
    site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 100}, retry={"maxDeliveries": 10}))
    found = site.cluster.wait_reason("Queue", shop, "orders", "AdoptionRefused")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == (
        f"Queue {shop}.orders exists on the broker already and does not fit: spec.retry.maxDeliveries 4 → 10; "
        "spec.limits.maxMessages 5 → 100. Make the manifest match it, choose another name, or delete it at the broker."
    )
    assert _declared(site, f"{shop}.orders") == before

    # The manifest is made to match, as the message says: now it is taken over.
    site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 5}, retry={"maxDeliveries": 4}))
    adopted = site.cluster.wait_ready("Queue", shop, "orders")
    assert adopted["status"]["origin"] == "Adopted"
    assert _declared(site, f"{shop}.orders") == before


def test_a_queue_that_fits_is_taken_over_with_its_messages_and_its_bindings(world: World, site: Site) -> None:
    shop = site.namespace("shop")
    before = _declare(site, f"{shop}.orders", QUORUM)
    _send(site, f"{shop}.orders", "old")
    site.rabbit("PUT", f"/api/exchanges/{{vhost}}/legacy-{shop}", {"type": "direct", "durable": True})
    path = f"/api/bindings/{{vhost}}/e/legacy-{shop}/q/{shop}.orders"
    site.rabbit("POST", path, {"routing_key": "orders"})
    site.cluster.apply(
        site.user(shop, "user"), site.queue(shop, "orders", producers=[{"name": "user"}], consumers=[{"name": "user"}])
    )
    found = site.cluster.wait_ready("Queue", shop, "orders")
    assert found["status"]["origin"] == "Adopted"
    event = site.cluster.wait_event(shop, "orders", "Adopted")
    assert event["message"] == f"Taken over on {site.home}/main with its messages: {shop}.orders."
    with site.client(shop, "user") as client:
        client.publish(f"{shop}.orders_in", "new")
        assert client.receive(f"{shop}.orders", 2) == ["old", "new"]
    # What fed the queue before goes on feeding it, also after a look at the whole broker.
    world.look(site)
    assert [one["routing_key"] for one in site.rabbit("GET", path)] == ["orders"]
    assert _declared(site, f"{shop}.orders") == before


def test_adoption_policy_never_takes_nothing_over(site: Site) -> None:
    shop = site.namespace("shop")
    before = _declare(site, f"{shop}.orders", QUORUM)
    site.cluster.apply(site.queue(shop, "orders", adoptionPolicy="Never"))
    found = site.cluster.wait_reason("Queue", shop, "orders", "AdoptionRefused")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == (
        f"spec.adoptionPolicy is Never and the broker already has Queue {shop}.orders. Choose another name or policy."
    )
    assert _declared(site, f"{shop}.orders") == before
    site.cluster.apply(site.queue(shop, "orders", adoptionPolicy="IfCompatible"))
    assert site.cluster.wait_ready("Queue", shop, "orders")["status"]["origin"] == "Adopted"


def test_an_exchange_in_the_way_is_refused_too(site: Site) -> None:
    shop = site.namespace("shop")
    site.rabbit("PUT", f"/api/exchanges/{{vhost}}/{shop}.orders_in", {"type": "direct", "durable": True})
    site.cluster.apply(site.queue(shop, "orders"))
    found = site.cluster.wait_reason("Queue", shop, "orders", "AdoptionRefused")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == (
        f"Exchange {shop}.orders_in exists on the broker already and does not fit: type direct → fanout. "
        "Make the manifest match it, choose another name, or delete it at the broker."
    )
    assert site.native_queues() == {}
    # Somebody clears the way: the queue comes by itself with the next look.
    site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{shop}.orders_in")
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_ready("Queue", shop, "orders")


def test_what_the_broker_cannot_change_is_told_and_the_queue_goes_on_as_it_was(site: Site) -> None:
    shop = site.namespace("shop")
    lists = {"producers": [{"name": "user"}], "consumers": [{"name": "user"}]}
    site.cluster.apply(site.user(shop, "user"), site.queue(shop, "orders", limits={"maxMessages": 10}, **lists))
    site.cluster.wait_ready("Queue", shop, "orders")
    before = _declared(site, f"{shop}.orders")
    site.cluster.apply(site.queue(shop, "orders", limits={"maxMessages": 20}, messageTTL="1h", **lists))
    found = site.cluster.wait_reason("Queue", shop, "orders", "ImmutableOnBroker")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == (
        f"Queue {shop}.orders differs from the manifest and the broker cannot change it in place: "
        "spec.limits.maxMessages 10 → 20. Take the change back, or annotate with "
        "channel-operator.dev/recreate: IfEmpty to have it replaced once it is empty and unused."
    )
    assert kstatus([found])[0]["status"] == "Failed"
    assert _declared(site, f"{shop}.orders") == before
    with site.client(shop, "user") as client:
        client.publish(f"{shop}.orders_in", "still works")
        assert client.receive(f"{shop}.orders") == ["still works"]

    # As the message says: deleted at the broker once it is empty, it is made anew.
    site.rabbit("DELETE", f"/api/queues/{{vhost}}/{shop}.orders")
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_ready("Queue", shop, "orders")
    assert _declared(site, f"{shop}.orders")["arguments"]["x-max-length"] == 20
