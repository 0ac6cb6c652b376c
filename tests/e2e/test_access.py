"""Who may do what, tried by real clients with the credentials that came out: the list on the channel, and no more."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

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
