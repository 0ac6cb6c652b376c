"""Who may do what, tried by real clients with the credentials that came out: the list on the channel, and no more."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import pika.exceptions
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.harness.amqp import Client
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

REFUSED = "ACCESS_REFUSED"
Operation = Callable[[BlockingChannel], object]


class Market(NamedTuple):
    """One namespace with a queue `orders`, somebody else's queue `other`, and users of every role."""

    site: Site
    namespace: str

    @property
    def orders(self) -> str:
        """The native name of the queue under test."""
        return f"{self.namespace}.orders"

    @property
    def other(self) -> str:
        """The native name of a queue that none of the users under test may use."""
        return f"{self.namespace}.other"


@pytest.fixture(scope="module")
def market(world: World) -> Market:
    """Make it once: no test of this module changes it."""
    site = world.site()
    shop = site.namespace("shop")
    users = [site.user(shop, name) for name in ("producer", "consumer", "both", "reader", "stranger")]
    orders = site.queue(
        shop,
        "orders",
        producers=[{"name": "producer"}, {"name": "both"}],
        consumers=[{"name": "consumer"}, {"name": "both"}],
        deadLetter={"consumers": [{"name": "reader"}]},
    )
    other = site.queue(shop, "other", producers=[{"name": "stranger"}], consumers=[{"name": "stranger"}])
    site.cluster.apply(*users, orders, other)
    for name in ("orders", "other"):
        site.cluster.wait_ready("Queue", shop, name)
    return Market(site, shop)


@pytest.fixture
def client(market: Market) -> Iterator[Callable[[str], Client]]:
    """Return a function that connects as one of the users."""
    opened: list[Client] = []

    def connect(name: str) -> Client:
        market.site.cluster.wait_ready("BrokerUser", market.namespace, name)
        opened.append(Client(market.site.binding(market.namespace, name)))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


def _shaping(market: Market) -> dict[str, Operation]:
    """Return what no client may ever do: change which objects there are and what leads where."""
    orders, other = market.orders, market.other
    return {
        "declare a queue": lambda c: c.queue_declare(f"{market.namespace}.mine", durable=True),
        "declare the queue otherwise": lambda c: c.queue_declare(orders, durable=False),
        "declare a queue with a random name": lambda c: c.queue_declare("", exclusive=True),
        "declare an exchange": lambda c: c.exchange_declare(f"{market.namespace}.mine", "fanout"),
        "delete the queue": lambda c: c.queue_delete(orders),
        "delete the exchange": lambda c: c.exchange_delete(f"{orders}_in"),
        "bind the queue to its exchange": lambda c: c.queue_bind(orders, f"{orders}_in", "again"),
        "unbind the queue": lambda c: c.queue_unbind(orders, f"{orders}_in", ""),
        "bind another queue to the exchange": lambda c: c.queue_bind(other, f"{orders}_in"),
        "bind the queue to another exchange": lambda c: c.queue_bind(orders, f"{other}_in"),
        "bind the queue to amq.fanout": lambda c: c.queue_bind(orders, "amq.fanout"),
        "bind the exchanges": lambda c: c.exchange_bind(f"{other}_in", f"{orders}_in"),
        "bind the exchanges the other way": lambda c: c.exchange_bind(f"{orders}_in", f"{other}_in"),
    }


def _reading(*queues: str) -> dict[str, Operation]:
    def ways(queue: str) -> dict[str, Operation]:
        return {
            f"get from {queue}": lambda c: c.basic_get(queue),
            f"consume from {queue}": lambda c: c.basic_consume(queue, lambda *_: None),
            f"purge {queue}": lambda c: c.queue_purge(queue),
        }

    return {name: way for queue in queues for name, way in ways(queue).items()}


def _sending(*targets: tuple[str, str]) -> dict[str, Operation]:
    def way(exchange: str, key: str) -> Operation:
        return lambda c: c.basic_publish(exchange, key, b"x")

    return {f"publish to {exchange!r} with {key!r}": way(exchange, key) for exchange, key in targets}


def _everything_refused(client: Client, operations: dict[str, Operation]) -> None:
    outcomes = {name: client.attempt(operation) for name, operation in operations.items()}
    assert outcomes == dict.fromkeys(operations, REFUSED)


def test_a_producer_sends_to_its_queue_and_can_do_nothing_else(market: Market, client: Callable[[str], Client]) -> None:
    producer, consumer = client("producer"), client("consumer")
    orders, other = market.orders, market.other
    producer.publish(f"{orders}_in", "hello")
    assert consumer.receive(orders) == ["hello"]
    _everything_refused(
        producer,
        {
            **_shaping(market),
            **_reading(orders, f"{orders}_dead", other),
            **_sending(
                ("", orders),
                ("", other),
                ("", f"{orders}_dead"),
                (f"{other}_in", ""),
                (f"{orders}_dlx", ""),
                ("amq.direct", orders),
                ("amq.topic", orders),
            ),
        },
    )


def test_a_consumer_reads_its_queue_and_can_send_nowhere(market: Market, client: Callable[[str], Client]) -> None:
    orders, other = market.orders, market.other
    _everything_refused(
        client("consumer"),
        {
            **_shaping(market),
            **_reading(f"{orders}_dead", other),
            **_sending(
                (f"{orders}_in", ""),
                ("", orders),
                ("", other),
                (f"{orders}_dlx", ""),
                (f"{other}_in", ""),
                ("amq.fanout", ""),
            ),
        },
    )


def test_a_consumer_cannot_send_by_rejecting_into_another_queue(
    market: Market, client: Callable[[str], Client]
) -> None:
    producer, consumer, reader = client("producer"), client("consumer"), client("reader")
    producer.publish(f"{market.orders}_in", "bad")

    def reject() -> bool:
        channel = consumer.connection.channel()
        method, _, _ = channel.basic_get(market.orders)
        if method is not None:
            channel.basic_reject(method.delivery_tag, requeue=False)
        channel.close()
        return method is not None

    wait_until(reject, "the message arrives")
    assert reader.receive(f"{market.orders}_dead") == ["bad"]
    with market.site.client(market.namespace, "stranger") as stranger:
        assert stranger.get(market.other) is None


def test_who_is_both_still_cannot_bind_or_unbind(market: Market, client: Callable[[str], Client]) -> None:
    both = client("both")
    both.publish(f"{market.orders}_in", "to myself")
    assert both.receive(market.orders) == ["to myself"]
    _everything_refused(both, {**_shaping(market), **_reading(market.other), **_sending(("", market.orders))})


def test_a_dead_letter_consumer_reads_the_dead_letters_only(market: Market, client: Callable[[str], Client]) -> None:
    reader, orders = client("reader"), market.orders
    assert reader.try_get(f"{orders}_dead") is None
    _everything_refused(
        reader,
        {
            **_shaping(market),
            **_reading(orders, market.other),
            **_sending((f"{orders}_in", ""), (f"{orders}_dlx", ""), ("", f"{orders}_dead")),
        },
    )


def test_a_user_that_no_list_names_can_do_nothing(market: Market) -> None:
    site, shop = market.site, market.namespace
    site.cluster.apply(site.user(shop, "nobody"))
    with site.client(shop, "nobody") as nobody:
        _everything_refused(
            nobody,
            {
                **_shaping(market),
                **_reading(market.orders, market.other),
                **_sending(("", market.orders), (f"{market.orders}_in", ""), ("amq.fanout", "")),
            },
        )


def test_the_user_is_no_administrator_and_sees_no_management(market: Market) -> None:
    user = market.site.rabbit("GET", f"/api/users/{market.namespace}.producer")
    # A tag that RabbitMQ knows would open its management API; the operator's mark grants nothing.
    assert [tag for tag in user["tags"] if not tag.startswith("channel-operator-")] == []


# -- leaving the list ----------------------------------------------------------------------------------------------


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
