"""Topics that keep their messages, with real clients of both protocols: who reads what, from where, and who may not."""

import json
from typing import NamedTuple

import pytest

from tests.harness.site import Site
from tests.harness.streams import REFUSED, StreamClient
from tests.harness.waiting import wait_until
from tests.harness.world import World

ALL = {"from": "All"}


class Teams(NamedTuple):
    """The owner of logs and a team that reads them."""

    site: Site
    shop: str
    audit: str

    def stream(self, namespace: str, user: str) -> StreamClient:
        self.site.cluster.wait_ready("BrokerUser", namespace, user)
        return StreamClient(self.site.binding(namespace, user))


@pytest.fixture(scope="module")
def teams(world: World) -> Teams:
    site = world.site()
    shop, audit = site.namespace("shop"), site.namespace("audit")
    producers = [{"name": "checkout"}]
    site.cluster.apply(
        site.subscription(
            audit, "plain", (shop, "plain"), consumers=[{"name": "reader"}], startFrom={"position": "Earliest"}
        ),
        site.subscription(audit, "wide", (shop, "wide"), consumers=[{"name": "reader"}]),
        site.topic(shop, "plain", storage="Log", producers=producers, subscribers=ALL, retention={"time": "24h"}),
        site.topic(
            shop,
            "wide",
            storage="Log",
            partitions=3,
            producers=producers,
            subscribers=ALL,
            rabbitmq={"streamProducers": True},
        ),
        site.user(shop, "checkout"),
        site.user(audit, "reader"),
        site.user(audit, "stranger"),
    )
    for kind, namespace, name in (
        ("Topic", shop, "plain"),
        ("Topic", shop, "wide"),
        ("Subscription", audit, "plain"),
        ("Subscription", audit, "wide"),
        ("BrokerUser", audit, "stranger"),
    ):
        site.cluster.wait_ready(kind, namespace, name)
    return Teams(site, shop, audit)


def test_what_amqp_publishers_send_is_read_again_and_again_by_the_stream_protocol(teams: Teams) -> None:
    with teams.site.client(teams.shop, "checkout") as sender:
        sender.publish(f"{teams.shop}.plain_in", "one", "two", "three")
    reader, log = teams.stream(teams.audit, "reader"), f"{teams.shop}.plain"
    assert reader.read(log, count=3) == ["one", "two", "three"]
    assert reader.read(log, count=3) == ["one", "two", "three"]
    assert reader.read(log, offset=2) == ["three"]


def test_amqp_consumers_choose_their_offset(teams: Teams) -> None:
    log = f"{teams.shop}.again"
    teams.site.cluster.apply(
        teams.site.topic(teams.shop, "again", storage="Log", producers=[{"name": "checkout"}], subscribers=ALL),
        teams.site.subscription(teams.audit, "again", (teams.shop, "again"), consumers=[{"name": "reader"}]),
    )
    teams.site.cluster.wait_ready("Subscription", teams.audit, "again")
    with teams.site.client(teams.shop, "checkout") as sender:
        sender.publish(f"{log}_in", "a", "b", "c")
    with teams.site.client(teams.audit, "reader") as reader:
        assert reader.replay(log, "first", 3) == ["a", "b", "c"]
        assert reader.replay(log, 1, 2) == ["b", "c"]


def test_a_named_consumer_may_have_its_offset_kept_by_the_broker(teams: Teams) -> None:
    with teams.site.client(teams.shop, "checkout") as sender:
        sender.publish(f"{teams.shop}.plain_in", "x", "y")
    entries = json.loads(teams.site.binding(teams.audit, "reader")["channels.json"])
    one = next(e for e in entries if e["name"] == "plain")
    assert one == {
        "kind": "Subscription",
        "namespace": teams.audit,
        "name": "plain",
        "role": "Consumer",
        "queues": [f"{teams.shop}.plain"],
        "stream": f"{teams.shop}.plain",
        "consumer": f"{teams.audit}.plain",
    }
    assert teams.stream(teams.audit, "reader").remember(one["stream"], one["consumer"], 1) == 1


def test_a_super_stream_is_written_and_read_by_its_clients(teams: Teams) -> None:
    log, keys = f"{teams.shop}.wide", [f"customer-{number}" for number in range(20)]
    assert teams.stream(teams.shop, "checkout").publish_keyed(log, *keys) is None
    with teams.site.client(teams.shop, "checkout") as sender:
        sender.publish(log, "by hand", key="2")
    found = teams.stream(teams.audit, "reader").read_super(log, count=21)
    assert isinstance(found, dict)
    assert set(found) == {f"{log}_{number}" for number in range(3)}
    assert sorted(body for bodies in found.values() for body in bodies) == sorted([*keys, "by hand"])
    assert "by hand" in found[f"{log}_2"]


def test_nobody_may_do_on_a_log_what_the_lists_do_not_say(teams: Teams) -> None:
    plain, wide = f"{teams.shop}.plain", f"{teams.shop}.wide"
    writer, reader = teams.stream(teams.shop, "checkout"), teams.stream(teams.audit, "reader")
    stranger = teams.stream(teams.audit, "stranger")
    tries = {
        "a publisher reads": writer.read(plain),
        "a publisher of a super stream reads a partition": writer.read(f"{wide}_0"),
        "a publisher writes to a stream without the opt-in": writer.publish(plain, "x"),
        "a reader writes": reader.publish(plain, "x"),
        "a reader writes to a partition": reader.publish(f"{wide}_0", "x"),
        "a stranger reads": stranger.read(plain),
        "a stranger writes": stranger.publish(plain, "x"),
    }
    assert tries == dict.fromkeys(tries, REFUSED)
    with (
        teams.site.client(teams.shop, "checkout") as sender,
        teams.site.client(teams.audit, "reader") as receiver,
        teams.site.client(teams.audit, "stranger") as nobody,
    ):
        over_amqp = {
            "a reader publishes": receiver.try_publish(f"{plain}_in"),
            "a reader publishes to the super stream": receiver.try_publish(wide, "0"),
            "a reader binds": receiver.attempt(lambda c: c.queue_bind(plain, f"{plain}_in", "x")),
            "a reader deletes": receiver.attempt(lambda c: c.queue_delete(plain)),
            "a publisher reads": sender.attempt(lambda c: c.queue_declare(plain, passive=True)),
            "a publisher binds": sender.attempt(lambda c: c.queue_bind(plain, f"{plain}_in", "x")),
            "a stranger publishes": nobody.try_publish(f"{plain}_in"),
            "a stranger looks": nobody.attempt(lambda c: c.queue_declare(plain, passive=True)),
        }
    assert over_amqp == dict.fromkeys(over_amqp, "ACCESS_REFUSED")


def test_retention_is_on_the_broker_and_changes_live(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.cluster.apply(site.topic(shop, "log", storage="Log", retention={"time": "48h", "bytes": "10Gi"}))
    site.cluster.wait_ready("Topic", shop, "log")
    arguments = site.native_queues()[f"{shop}.log"]["arguments"]
    assert (arguments["x-max-age"], arguments["x-max-length-bytes"]) == ("172800s", 10 * 2**30)
    site.cluster.patch("Topic", shop, "log", {"spec": {"retention": {"time": "24h"}}})
    site.cluster.wait_ready("Topic", shop, "log")
    policy = site.rabbit("GET", f"/api/policies/{{vhost}}/{shop}.log_policy")
    assert (policy["apply-to"], policy["definition"]) == ("streams", {"max-age": "86400s"})


@pytest.mark.parametrize("used", [False, True])
def test_a_stream_goes_with_its_topic_only_if_nothing_was_ever_kept_in_it(world: World, *, used: bool) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.cluster.apply(
        site.topic(shop, "log", storage="Log", producers=[{"name": "app"}], deletionPolicy="DeleteIfEmpty"),
        site.user(shop, "app"),
    )
    site.cluster.wait_ready("Topic", shop, "log")
    if used:
        with site.client(shop, "app") as app:
            app.publish(f"{shop}.log_in", "kept")
    site.cluster.delete("Topic", shop, "log")
    site.cluster.wait_gone("Topic", shop, "log")
    wait_until(lambda: (f"{shop}.log" in site.native_queues()) == used, "the stream stays if it keeps anything")
    assert site.permissions()[f"{shop}.app"]["write"] == "^$"
