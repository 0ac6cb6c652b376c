"""The Broker's owner decides which namespaces come in: nothing without consent, nothing lost when it is taken back."""

from functools import partial

import pika.exceptions

from tests.harness.amqp import Client
from tests.harness.cluster import Cluster, condition
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.binaries import kstatus


def _relabel(cluster: Cluster, namespace: str, labels: dict[str, str | None]) -> None:
    cluster.patch("Namespace", None, namespace, {"metadata": {"labels": labels}})


def _is_cut_off(client: Client) -> bool:
    try:
        client.pump(0.05)
    except pika.exceptions.AMQPConnectionError:
        return True
    return not client.connection.is_open


def _users(site: Site) -> set[str]:
    return {one["name"] for one in site.rabbit("GET", "/api/users")}


def test_a_namespace_without_consent_gets_nothing_and_is_told_whom_to_ask(site: Site) -> None:
    stranger = site.namespace("stranger", admitted=False)
    site.cluster.apply(
        site.user(stranger, "guest"),
        site.queue(stranger, "orders", producers=[{"name": "guest"}], consumers=[{"name": "guest"}]),
    )
    expected = (
        f'spec.brokerRef: Broker "{site.home}/main" does not admit namespace "{stranger}". '
        "Ask its owner to admit it in spec.allowedNamespaces."
    )
    for kind, name in (("BrokerUser", "guest"), ("Queue", "orders")):
        found = site.cluster.wait_for(
            kind, stranger, name, lambda one: condition(one, "Stalled") is not None, "is stalled when the grace is over"
        )
        for which, status in (("ResolvedRefs", "False"), ("Ready", "False"), ("Stalled", "True")):
            shown = condition(found, which)
            assert shown is not None
            assert (shown["status"], shown["reason"], shown["message"]) == (status, "RefNotPermitted", expected)
        assert condition(found, "Reconciling") is None
        assert kstatus([found])[0]["status"] == "Failed"
    assert f"{stranger}.guest" not in _users(site)
    assert site.native_queues() == {}
    assert site.permissions() == {}
    assert site.cluster.get("Secret", stranger, "guest-binding") is None


def test_a_list_does_not_let_in_a_user_whose_namespace_is_not_admitted(site: Site) -> None:
    shop, stranger = site.namespace("shop"), site.namespace("stranger", admitted=False)
    site.cluster.apply(
        site.user(stranger, "guest"), site.queue(shop, "orders", consumers=[{"name": "guest", "namespace": stranger}])
    )
    found = site.cluster.wait_ready("Queue", shop, "orders")
    assert found["status"]["grants"] == [{"user": f"{stranger}/guest", "role": "Consumer", "state": "NotPermitted"}]
    event = site.cluster.wait_event(shop, "orders", "GrantRefused")
    assert event["message"] == (
        f"Consumer {stranger}/guest is not granted: that BrokerUser is not permitted on this Broker; see its status."
    )
    assert site.permissions() == {}

    _relabel(site.cluster, stranger, dict(site.label))
    with site.client(stranger, "guest") as guest:
        wait_until(
            lambda: guest.try_get(f"{shop}.orders") is None, "the guest comes in", describe=site.cluster.evidence
        )


def test_consent_taken_back_closes_the_access_and_keeps_the_messages_and_given_again_restores_it(site: Site) -> None:
    shop = site.namespace("shop")
    queue = site.queue(shop, "orders", producers=[{"name": "sender"}], consumers=[{"name": "receiver"}])
    site.cluster.apply(site.user(shop, "sender"), site.user(shop, "receiver"), queue)
    site.cluster.wait_ready("Queue", shop, "orders")
    before = {name: site.binding(shop, name) for name in ("sender", "receiver")}
    with Client(before["sender"]) as sender:
        sender.publish(f"{shop}.orders_in", "kept")
        open_connection = Client(before["receiver"])

        _relabel(site.cluster, shop, dict.fromkeys(site.label))
        for one in (sender, open_connection):
            wait_until(partial(_is_cut_off, one), f"{one.username} is cut off", describe=site.cluster.evidence)
    wait_until(
        lambda: not {f"{shop}.sender", f"{shop}.receiver"} & _users(site),
        "the users are gone from the broker",
        describe=site.cluster.evidence,
    )
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender")):
        site.cluster.wait_reason(kind, shop, name, "RefNotPermitted")
    assert site.native_queues()[f"{shop}.orders"]["name"] == f"{shop}.orders"
    try:
        Client(before["receiver"]).close()
    except pika.exceptions.ProbableAuthenticationError:
        pass
    else:
        raise AssertionError("the old password still opens a connection")

    _relabel(site.cluster, shop, dict(site.label))
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        site.cluster.wait_ready(kind, shop, name)
    with Client(before["receiver"]) as receiver, Client(before["sender"]) as again:
        wait_until(
            lambda: again.try_publish(f"{shop}.orders_in", "") is None,
            "the sender may send again",
            describe=site.cluster.evidence,
        )
        assert receiver.receive(f"{shop}.orders", 2) == ["kept", "x"]
    assert {name: site.binding(shop, name)["password"] for name in before} == {
        name: entries["password"] for name, entries in before.items()
    }


def test_the_default_consent_is_the_brokers_own_namespace_alone(world: World) -> None:
    site = world.site(spec={"allowedNamespaces": {"from": "Same"}})
    outside = site.namespace("outside")
    site.cluster.apply(site.queue(outside, "orders"), site.queue(site.home, "orders"))
    site.cluster.wait_ready("Queue", site.home, "orders")
    site.cluster.wait_reason("Queue", outside, "orders", "RefNotPermitted")
    assert list(site.native_queues()) == [f"{site.home}.orders"]
