"""A broker comes back empty or is another one: everything is made again, and nothing is taken away."""

import pytest

from tests.e2e.teams import DEAD, make_team, queue, send
from tests.harness.amqp import Client
from tests.harness.cluster import condition
from tests.harness.definitions import broker_state
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World


@pytest.fixture(scope="module")
def operator(rough: World) -> Operator:
    """Run one operator for all tests of this module."""
    return rough.replica().start()


def _identity(site: Site) -> str:
    found = site.cluster.get("Broker", site.home, "main")
    assert found is not None
    return str(found["status"]["identity"])


def test_a_broker_that_comes_back_empty_is_filled_again_with_the_same_passwords(
    rough: World, operator: Operator
) -> None:
    assert operator.running
    site = rough.site(vhost="/", spec={"resyncInterval": "1s"})
    team = make_team(site, {"orders": {"deadLetter": DEAD}})
    before, identity = broker_state(site, {team: "team"}), _identity(site)
    bindings = {name: site.binding(team, name) for name in ("sender", "receiver")}

    rough.rabbitmq.wipe()

    site.cluster.wait_event(site.home, "main", "BrokerReplaced")
    wait_until(
        lambda: broker_state(site, {team: "team"}) == before,
        "the broker has what it had",
        describe=site.cluster.evidence,
    )
    found = site.cluster.wait_for(
        "Broker", site.home, "main", lambda one: one["status"].get("identity") != identity, "has another identity"
    )
    replaced = condition(found, "BrokerReplaced")
    assert replaced is not None
    assert identity in replaced["message"]
    assert _identity(site) in replaced["message"]
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        renewed = site.cluster.wait_ready(kind, team, name)
        assert renewed["metadata"]["annotations"]["channel-operator.dev/owned"].endswith(_identity(site))
    with Client(bindings["sender"]) as sender:
        sender.publish(f"{team}.orders_in", "after the fire")
    with Client(bindings["receiver"]) as receiver:
        assert receiver.receive(f"{team}.orders") == ["after the fire"]
    assert {name: site.binding(team, name) for name in bindings} == bindings


def test_nothing_is_deleted_on_another_broker_than_the_one_it_was_made_on(rough: World, operator: Operator) -> None:
    """The manifest goes while the operator is down and the broker is replaced: what is there now is somebody else's."""
    site = rough.site()
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}, "others": {"deletionPolicy": "Delete"}})
    operator.stop()
    try:
        site.cluster.delete("Queue", team, "orders")
        rough.rabbitmq.wipe()
        site.make_vhost()
        site.rabbit(
            "PUT",
            f"/api/queues/{{vhost}}/{team}.orders",
            {"durable": True, "arguments": {"x-queue-type": "quorum"}},
        )
    finally:
        operator.start()
    site.cluster.wait_gone("Queue", team, "orders")
    assert f"{team}.orders" in site.native_queues()
    wait_until(lambda: f"{team}.others" in site.native_queues(), "what is still wanted is made again")
    wait_until(lambda: set(site.permissions()) == {f"{team}.sender", f"{team}.receiver"}, "the users are made again")
    site.cluster.wait_ready("Queue", team, "others")
    site.cluster.wait_event(site.home, "main", "BrokerReplaced")
    send(site, team, "others")


def test_a_queue_made_on_the_new_broker_is_deleted_there_like_any_other(rough: World, operator: Operator) -> None:
    assert operator.running
    site = rough.site(spec={"resyncInterval": "1s"})
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    rough.rabbitmq.wipe()
    site.make_vhost()
    site.cluster.wait_event(site.home, "main", "BrokerReplaced")
    wait_until(lambda: f"{team}.orders" in site.native_queues(), "it is made again")
    site.cluster.wait_ready("Queue", team, "orders")
    site.cluster.apply(queue(site, team, "new", deletionPolicy="Delete"))
    site.cluster.wait_ready("Queue", team, "new")
    for name in ("orders", "new"):
        site.cluster.delete("Queue", team, name)
        site.cluster.wait_gone("Queue", team, name)
    assert site.native_queues() == {}
