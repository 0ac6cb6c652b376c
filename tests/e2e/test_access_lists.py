"""Who comes on a channel's list, leaves it, or cannot be granted: told on the channel, and felt by open connections."""

from functools import partial

import pika.exceptions

from tests.harness.amqp import Client
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

REFUSED = "ACCESS_REFUSED"


def _is_cut_off(client: Client) -> bool:
    """Whether the broker has ended the connection."""
    try:
        client.pump(0.05)
    except pika.exceptions.AMQPConnectionError:
        return True
    return not client.connection.is_open


def test_only_the_user_taken_off_the_list_loses_its_open_connection(site: Site) -> None:
    shop = site.namespace("shop")
    names = ("sender", "dismissed-sender", "receiver", "dismissed-receiver")
    everybody = site.queue(
        shop,
        "orders",
        producers=[{"name": "sender"}, {"name": "dismissed-sender"}],
        consumers=[{"name": "receiver"}, {"name": "dismissed-receiver"}],
    )
    site.cluster.apply(*(site.user(shop, name) for name in names), everybody)
    site.cluster.wait_ready("Queue", shop, "orders")
    sender, dismissed_sender, receiver, dismissed_receiver = (Client(site.binding(shop, name)) for name in names)
    try:
        _, arrived = receiver.consume(f"{shop}.orders")
        dismissed_receiver.consume(f"{shop}.orders")
        dismissed_sender.publish(f"{shop}.orders_in", "before")

        site.cluster.apply(site.queue(shop, "orders", producers=[{"name": "sender"}], consumers=[{"name": "receiver"}]))
        for dismissed in (dismissed_sender, dismissed_receiver):
            wait_until(
                partial(_is_cut_off, dismissed),
                f"{dismissed.username} is cut off",
                describe=site.cluster.evidence,
            )

        sender.publish(f"{shop}.orders_in", "after")

        def received() -> bool:
            receiver.pump()
            return "after" in arrived

        wait_until(received, "who is left on the list goes on", describe=lambda: f"arrived: {arrived}")
        with site.client(shop, "dismissed-sender") as again:
            assert again.try_publish(f"{shop}.orders_in") == REFUSED
        with site.client(shop, "dismissed-receiver") as again:
            assert again.try_get(f"{shop}.orders") == REFUSED
    finally:
        for one in (sender, dismissed_sender, receiver, dismissed_receiver):
            if one.connection.is_open:
                one.close()


def test_with_on_revoke_keep_a_connection_stays_and_a_new_operation_is_refused(world: World) -> None:
    site = world.site()
    broker = site.broker()
    site.cluster.apply(
        {**broker, "spec": {**broker["spec"], "rabbitmq": {**broker["spec"]["rabbitmq"], "onRevoke": "Keep"}}}
    )
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "receiver"), site.queue(shop, "orders", consumers=[{"name": "receiver"}]))
    site.cluster.wait_ready("Queue", shop, "orders")
    with site.client(shop, "receiver") as receiver:
        site.cluster.apply(site.queue(shop, "orders"))
        wait_until(
            lambda: receiver.try_get(f"{shop}.orders") == REFUSED,
            "the next operation is refused",
            describe=site.cluster.evidence,
        )
        assert receiver.connection.is_open


def test_a_missing_user_costs_its_own_grant_only_and_gets_it_as_soon_as_it_is_there(site: Site) -> None:
    shop = site.namespace("shop")
    queue = site.queue(shop, "orders", consumers=[{"name": "receiver"}, {"name": "late"}])
    site.cluster.apply(queue, site.user(shop, "receiver"))
    found = site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.wait_ready("BrokerUser", shop, "receiver")

    def grants() -> dict[str, str]:
        found = site.cluster.get("Queue", shop, "orders")
        assert found is not None
        return {one["user"]: one["state"] for one in found["status"].get("grants", ())}

    wait_until(
        lambda: grants() == {f"{shop}/receiver": "Granted", f"{shop}/late": "Missing"},
        "the grants are told",
        describe=lambda: str(grants()),
    )
    event = site.cluster.wait_event(shop, "orders", "GrantMissing")
    assert event["type"] == "Warning"
    texts = {one["message"] for one in site.cluster.events(shop, "orders") if one["reason"] == "GrantMissing"}
    assert f"Consumer {shop}/late is not granted: there is no such BrokerUser on this Broker (yet)." in texts
    with site.client(shop, "receiver") as receiver:
        assert receiver.try_get(f"{shop}.orders") is None

    site.cluster.apply(site.user(shop, "late"))
    wait_until(
        lambda: set(grants().values()) == {"Granted"}, "the late user is granted", describe=lambda: str(grants())
    )
    with site.client(shop, "late") as late:
        assert late.try_get(f"{shop}.orders") is None
    after = site.cluster.get("Queue", shop, "orders")
    assert after is not None
    was, now = (
        next(c for c in one["status"]["conditions"] if c["type"] == "Ready")["lastTransitionTime"]
        for one in (found, after)
    )
    assert was == now, "a missing user never lowers Ready"


def test_a_user_of_another_broker_is_named_and_gets_nothing(world: World, site: Site) -> None:
    elsewhere = world.site(spec={"allowedNamespaces": {"from": "All"}})
    shop = site.namespace("shop")
    site.cluster.apply(elsewhere.user(shop, "guest"), site.queue(shop, "orders", consumers=[{"name": "guest"}]))
    found = site.cluster.wait_ready("Queue", shop, "orders")
    assert found["status"]["grants"] == [{"user": f"{shop}/guest", "role": "Consumer", "state": "OnOtherBroker"}]
    event = site.cluster.wait_event(shop, "orders", "GrantRefused")
    assert event["message"] == f"Consumer {shop}/guest is not granted: that BrokerUser belongs to another Broker."
    site.cluster.wait_ready("BrokerUser", shop, "guest")
    assert f"{shop}.guest" not in site.permissions()


def test_the_grant_that_no_longer_fits_the_pattern_is_refused_and_older_ones_work(site: Site) -> None:
    shop = site.namespace("shop")
    names = [f"queue-{number}-{'x' * 90}" for number in range(12)]
    older, newer = names[:10], names[10:]  # 1,024 bytes hold ten names of about a hundred bytes
    site.cluster.apply(site.user(shop, "busy"))

    def states() -> dict[str, str]:
        found = {one["metadata"]["name"]: one for one in site.cluster.objects("Queue", shop)}
        grants = {name: (one.get("status") or {}).get("grants") or [] for name, one in found.items()}
        return {name: shown[0]["state"] for name, shown in grants.items() if shown}

    def wait_states(expected: dict[str, str]) -> None:
        wait_until(lambda: states() == expected, f"the grants are {expected}", describe=lambda: str(states()))

    site.cluster.apply(*(site.queue(shop, name, consumers=[{"name": "busy"}]) for name in older))
    granted = dict.fromkeys(older, "Granted")
    wait_states(granted)
    site.cluster.wait_older("Queue", shop, older[-1])
    site.cluster.apply(*(site.queue(shop, name, consumers=[{"name": "busy"}]) for name in newer))
    wait_states({**granted, **dict.fromkeys(newer, "TooMany")})

    event = site.cluster.wait_event(shop, newer[0], "GrantRefused")
    assert event["message"] == (
        f"Consumer {shop}/busy is not granted: its permission pattern would exceed RabbitMQ's 1024 bytes. "
        "Use a second BrokerUser."
    )
    for name in newer:
        site.cluster.wait_ready("Queue", shop, name)
    with site.client(shop, "busy") as busy:
        outcomes = {name: busy.try_get(f"{shop}.{name}") for name in names}
    assert outcomes == {name: None if name in older else REFUSED for name in names}
    user = site.cluster.wait_ready("BrokerUser", shop, "busy")
    assert sorted(one["name"] for one in user["status"]["grants"]) == sorted(older), "a user is told what it really has"

    # Room is made: one that was refused takes it.
    site.cluster.apply(site.queue(shop, older[0]))
    wait_until(
        lambda: sorted(states().values()) == ["Granted"] * 10 + ["TooMany"],
        "one that was refused is granted",
        describe=lambda: str(states()),
    )
