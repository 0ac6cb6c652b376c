"""What goes and what stays when a manifest is deleted: messages are kept unless the manifest said otherwise."""

from collections.abc import Mapping
from typing import Any

import pika
import pika.exceptions
import pytest

from channel_operator.api.meta import DELETION_POLICY, FORCE_RELEASE
from tests.e2e.teams import DEAD, RECEIVER, SENDER, make_team, send
from tests.harness.amqp import Client
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World


def _delete(site: Site, team: str, *names: str) -> None:
    for name in names:
        site.cluster.delete("Queue", team, name)
    for name in names:
        site.cluster.wait_gone("Queue", team, name)


def _exchanges(site: Site) -> set[str]:
    found = site.rabbit("GET", "/api/exchanges/{vhost}")
    return {one["name"] for one in found if one["name"] and not one["name"].startswith("amq.")}


def test_retain_keeps_queue_exchanges_and_bindings_and_takes_the_access(site: Site) -> None:
    team = make_team(site, {"orders": {"deadLetter": DEAD}})
    before = site.rabbit("GET", "/api/definitions/{vhost}")
    _delete(site, team, "orders")
    after = site.rabbit("GET", "/api/definitions/{vhost}")
    assert [after[kind] for kind in ("queues", "exchanges", "bindings")] == [
        before[kind] for kind in ("queues", "exchanges", "bindings")
    ]
    with site.client(team, "receiver") as receiver:
        assert receiver.try_get(f"{team}.orders") == "ACCESS_REFUSED"
        assert receiver.try_get(f"{team}.orders_dead") == "ACCESS_REFUSED"
    assert "kept" in site.cluster.wait_event(team, "orders", "Retained")["message"]


def test_delete_takes_everything_of_the_channel_messages_included(site: Site) -> None:
    team = make_team(site, {"orders": {"deadLetter": DEAD, "deletionPolicy": "Delete"}, "others": {"deadLetter": DEAD}})
    send(site, team, "orders", "others")
    _delete(site, team, "orders")
    assert set(site.native_queues()) == {f"{team}.others", f"{team}.others_dead"}
    assert _exchanges(site) == {f"{team}.others_in", f"{team}.others_dlx"}
    site.cluster.wait_event(team, "orders", "Deleted")
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.others") == ["for others"]


def test_delete_if_empty_deletes_only_what_holds_no_message_ready_or_unacknowledged(site: Site) -> None:
    policy = {"deletionPolicy": "DeleteIfEmpty"}
    team = make_team(site, {"empty": policy, "ready": policy, "unacknowledged": policy})
    send(site, team, "ready", "unacknowledged")
    receiver = Client(site.binding(team, "receiver"))
    channel = receiver.connection.channel()
    _, _, body = channel.basic_get(f"{team}.unacknowledged", auto_ack=False)
    assert body == b"for unacknowledged"
    for name in ("empty", "ready", "unacknowledged"):
        site.cluster.delete("Queue", team, name)
    for name in ("empty", "ready", "unacknowledged"):
        site.cluster.wait_gone("Queue", team, name)
    with pytest.raises(pika.exceptions.AMQPError):
        receiver.pump(10)  # withdrawing the right closed this connection
    assert set(site.native_queues()) == {f"{team}.ready", f"{team}.unacknowledged"}
    site.cluster.wait_event(team, "empty", "Deleted")
    for name in ("ready", "unacknowledged"):
        told = site.cluster.wait_event(team, name, "Retained")
        assert told["message"].startswith(f"{team}.{name} holds messages and was kept")
    # What is kept is kept whole: a message sent to its entry would still arrive.
    bindings = {(one["source"], one["destination"]) for one in site.rabbit("GET", "/api/bindings/{vhost}")}
    assert (f"{team}.ready_in", f"{team}.ready") in bindings


def test_delete_if_empty_keeps_a_queue_whose_message_another_client_has_not_acknowledged(world: World) -> None:
    """Where connections are left open on revocation, the message stays unacknowledged all the time."""
    site = world.site(spec={})
    broker = site.broker()
    broker["spec"]["rabbitmq"]["onRevoke"] = "Keep"
    site.cluster.apply(broker)
    site.cluster.wait_ready("Broker", site.home, "main")
    team = make_team(site, {"orders": {"deletionPolicy": "DeleteIfEmpty"}})
    send(site, team, "orders")
    with site.client(team, "receiver") as receiver:
        channel = receiver.connection.channel()
        _, _, body = channel.basic_get(f"{team}.orders", auto_ack=False)
        assert body == b"for orders"
        site.cluster.delete("Queue", team, "orders")
        site.cluster.wait_gone("Queue", team, "orders")
        assert f"{team}.orders" in site.native_queues()
    site.cluster.wait_event(team, "orders", "Retained")


@pytest.mark.parametrize(
    ("object_says", "namespace_says", "broker_says", "stays"),
    [
        (None, None, None, True),
        (None, None, "Delete", False),
        (None, "Retain", "Delete", True),
        (None, "Delete", None, False),
        (None, "Delet", "Delete", True),
        ("Retain", "Delete", "Delete", True),
        ("Delete", "Retain", None, False),
    ],
)
def test_the_object_is_heard_before_its_namespace_and_that_before_the_broker(
    world: World, object_says: str | None, namespace_says: str | None, broker_says: str | None, *, stays: bool
) -> None:
    site = world.site(spec={"defaults": {"deletionPolicy": broker_says}} if broker_says else None)
    team = make_team(site, {"orders": {"deletionPolicy": object_says} if object_says else {}})
    if namespace_says:
        site.cluster.annotate("Namespace", None, team, {DELETION_POLICY: namespace_says})
        # The operator hears of the namespace by another watch than of the queue: what comes after was seen after.
        site.cluster.apply(site.queue(team, "later"))
        site.cluster.wait_ready("Queue", team, "later")
    _delete(site, team, "orders")
    assert (f"{team}.orders" in site.native_queues()) == stays


def test_a_dead_letter_can_be_taken_off_and_put_on_while_messages_flow(site: Site) -> None:
    team = make_team(site, {"orders": {"deadLetter": DEAD, "retry": {"maxDeliveries": 1}}})

    def send_and_reject() -> None:
        send(site, team, "orders")
        with site.client(team, "receiver") as receiver:

            def take() -> bool:
                channel = receiver.connection.channel()
                method, _, _ = channel.basic_get(f"{team}.orders", auto_ack=False)
                if method is not None:
                    channel.basic_reject(method.delivery_tag, requeue=False)
                channel.close()
                return method is not None

            wait_until(take, "the message arrives")

    send_and_reject()
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.orders_dead") == ["for orders"]

    _change(site, team, {"retry": {"maxDeliveries": 1}})
    send_and_reject()
    with site.client(team, "receiver") as receiver:
        assert receiver.try_get(f"{team}.orders_dead") in {"ACCESS_REFUSED", "NOT_FOUND"}

    _change(site, team, {"retry": {"maxDeliveries": 1}, "deadLetter": DEAD})
    send_and_reject()
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.orders_dead") == ["for orders"]
        assert receiver.get(f"{team}.orders_dead") is None, "what was rejected in between was dropped, as status says"


def _change(site: Site, team: str, spec: Mapping[str, Any]) -> None:
    site.cluster.apply(site.queue(team, "orders", producers=SENDER, consumers=RECEIVER, **spec))
    site.cluster.wait_ready("Queue", team, "orders")


def test_force_release_lets_go_at_once_and_leaves_the_queue_but_not_its_grants(world: World) -> None:
    site = world.site()
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    site.cluster.annotate("Queue", team, "orders", {FORCE_RELEASE: "true"})
    _delete(site, team, "orders")
    assert f"{team}.orders" in site.native_queues()
    site.cluster.wait_event(team, "orders", "ReleasedByForce")
    with site.client(team, "receiver") as receiver:
        assert receiver.try_get(f"{team}.orders") == "ACCESS_REFUSED"


@pytest.mark.parametrize("policy", ["Retain", "Delete", "DeleteIfEmpty"])
def test_a_queue_made_again_under_its_name_at_once_works(site: Site, policy: str) -> None:
    team = make_team(site, {"orders": {"deletionPolicy": policy}})
    manifest = site.queue(team, "orders", producers=SENDER, consumers=RECEIVER, deletionPolicy=policy)
    first = site.cluster.get("Queue", team, "orders")
    assert first is not None
    site.cluster.delete("Queue", team, "orders")
    site.cluster.wait_gone("Queue", team, "orders")
    site.cluster.apply(manifest)
    found = site.cluster.wait_ready("Queue", team, "orders")
    assert found["metadata"]["uid"] != first["metadata"]["uid"]
    assert found["status"]["origin"] == ("Adopted" if policy == "Retain" else "Created")
    send(site, team, "orders")
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.orders") == ["for orders"]


def test_a_user_made_again_under_its_name_at_once_gets_in_with_its_new_secret(site: Site) -> None:
    team = make_team(site, {"orders": {}})
    before = site.binding(team, "receiver")["password"]
    site.cluster.delete("BrokerUser", team, "receiver")
    site.cluster.wait_gone("BrokerUser", team, "receiver")
    site.cluster.apply(site.user(team, "receiver"))
    site.cluster.wait_ready("BrokerUser", team, "receiver")
    wait_until(lambda: site.binding(team, "receiver")["password"] != before, "the Secret is the new user's")
    send(site, team, "orders")
    with site.client(team, "receiver") as receiver:
        assert receiver.receive(f"{team}.orders") == ["for orders"]
