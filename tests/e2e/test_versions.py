"""One scenario on RabbitMQ 4.3 and 4.0: the same for clients on both; where they differ, the older refuses by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says
from tests.harness.amqp import opens
from tests.harness.cluster import Cluster
from tests.harness.definitions import broker_state
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.rabbitmq import RabbitMQ

APP = [{"name": "app"}]
BOTH: dict[str, Any] = {"producers": APP, "consumers": APP}
DELAYED = {"maxDeliveries": 3, "backoff": {"initial": "1s", "max": "5s"}}


@pytest.fixture(scope="module")
def older(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Lend a RabbitMQ of the previous version."""
    broker = RabbitMQ(Path(tmp_path_factory.mktemp("previous")), world.lab.ca, version="previous")
    broker.start()
    yield broker
    broker.stop()


def _manifests(site: Site, team: str) -> list[Object]:
    """Return something of everything that both versions have."""
    events = (team, "events")
    return [
        site.user(team, "app"),
        site.user(team, "turning", rotation={"every": "24h", "overlap": "1h"}),
        site.queue(team, "failed", **BOTH),
        site.queue(
            team,
            "orders",
            retry={"maxDeliveries": 2},
            deadLetter={"queueRef": {"name": "failed"}, "strategy": "AtLeastOnce"},
            limits={"maxMessages": 1000, "overflow": "RejectNew"},
            ackTimeout="10m",
            **BOTH,
        ),
        site.queue(team, "ledger", ordering="Strict", messageTTL="1h", **BOTH),
        site.queue(team, "steps", ordering="PerKey", shards=2, deadLetter={}, **BOTH),
        site.queue(team, "urgent", rabbitmq={"type": "Classic", "maxPriority": 5}, **BOTH),
        site.queue(team, "live", limits={"maxBytes": "1Mi"}, rabbitmq={"settings": "Policy"}, **BOTH),
        site.topic(team, "events", producers=APP),
        site.topic(team, "log", storage="Log", retention={"time": "24h"}, producers=APP),
        site.subscription(team, "paid", events, filter={"routingKeys": ["order.paid"]}, consumers=APP),
        site.subscription(team, "reader", (team, "log"), consumers=APP),
    ]


def _ready(cluster: Cluster, manifests: list[Object]) -> None:
    for one in manifests:
        cluster.wait_ready(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])


def _use(site: Site, team: str) -> None:
    """Use every channel the way a client does, and find the same on every version."""
    with site.client(team, "app") as app:
        for queue in ("orders", "live", "failed"):
            app.publish(f"{team}.{queue}_in", f"for {queue}")
            assert app.receive(f"{team}.{queue}") == [f"for {queue}"]
        app.publish(f"{team}.events", "paid", key="order.paid")
        assert app.try_publish(f"{team}.events", "order.sent") == "UNROUTABLE"
        assert app.receive(f"{team}.paid") == ["paid"]
        app.publish(f"{team}.log_in", "one", "two")
        assert app.replay(f"{team}.log", "first", 2) == ["one", "two"]
        app.publish(f"{team}.ledger_in", *"abc")
        channel, entries = app.consume(f"{team}.ledger")

        def all_there() -> bool:
            app.pump()
            return entries == list("abc")

        wait_until(all_there, "the ledger comes in order", describe=lambda: str(entries))
        channel.close()
    with site.client(team, "app") as app:
        app.publish(f"{team}.orders_in", "bad")
        channel = app.connection.channel()
        for _ in range(2):
            method = wait_until(lambda: channel.basic_get(f"{team}.orders")[0], "the message comes")
            channel.basic_reject(method.delivery_tag, requeue=True)
        assert app.receive(f"{team}.failed") == ["bad"], "two tries, then a dead letter"
        refused = {
            "declares": app.attempt(lambda c: c.queue_declare("more")),
            "binds": app.attempt(lambda c: c.queue_bind(f"{team}.paid", f"{team}.events", "#")),
            "sends by the default exchange": app.try_publish("", f"{team}.orders"),
            "reads dead letters unasked": app.try_get(f"{team}.steps_0_dead") and app.try_get(f"{team}.steps_dead"),
            "sends dead letters": app.try_publish(f"{team}.orders_dlx"),
        }
        assert refused == dict.fromkeys(refused, "ACCESS_REFUSED")


def _change(site: Site, team: str) -> None:
    """Edit what may be edited while it lives."""
    listed = {"producers": APP, "consumers": APP}
    changed = [
        site.queue(team, "ledger", ordering="Strict", messageTTL="30m", **listed),
        site.queue(team, "live", limits={"maxBytes": "2Mi"}, rabbitmq={"settings": "Policy"}, **listed),
        site.topic(team, "log", storage="Log", retention={"time": "12h"}, producers=APP),
        site.subscription(
            team, "paid", (team, "events"), filter={"routingKeys": ["order.paid", "order.late"]}, consumers=APP
        ),
    ]
    site.cluster.apply(*changed)
    _ready(site.cluster, changed)
    site.cluster.annotate("BrokerUser", team, "turning", {"channel-operator.dev/rotate": "1"})
    site.cluster.wait_event(team, "turning", "CredentialsRotated")


def _comparable(state: Object) -> Object:
    """Leave out what the versions only write otherwise: the name of a timeout, and whether False is shown."""
    for queue in state["queues"]:
        queue["arguments"] = {key: value for key, value in queue["arguments"].items() if "timeout" not in key}
    state["exchanges"] = [{k: v for k, v in one.items() if v is not False} for one in state["exchanges"]]
    return state


def test_the_same_manifests_are_the_same_channels_on_both_versions(world: World, older: RabbitMQ) -> None:
    sites = [world.site(), Site(world.cluster, older).start()]
    assert [site.rabbitmq.version[:3] for site in sites] == ["4.3", "4.0"]
    teams = [site.namespace("team") for site in sites]
    states = []
    for site, team in zip(sites, teams, strict=True):
        site.cluster.apply(*(manifests := _manifests(site, team)))
        _ready(site.cluster, manifests)
        _use(site, team)
        _change(site, team)
        assert opens(site.binding(team, "turning"))
        world.look(site)
        _ready(site.cluster, manifests)
        states.append(_comparable(broker_state(site, {team: "team"})))
    assert states[0] == states[1]


def test_where_they_differ_the_newer_obeys_and_the_older_refuses_by_name(world: World, older: RabbitMQ) -> None:
    """A manifest for the newer version on the older one: what it cannot do is named, and what was there goes on."""
    newer, site = world.site(), Site(world.cluster, older).start()
    for one in (newer, site):
        team = one.namespace("team")
        one.cluster.apply(
            one.user(team, "app"),
            one.queue(team, "orders", retry={"maxDeliveries": 3}, deadLetter={"consumers": APP}, **BOTH),
            one.topic(team, "events", producers=APP),
        )
        one.cluster.wait_ready("Queue", team, "orders")
        one.cluster.apply(
            one.queue(team, "orders", retry=DELAYED, deadLetter={"consumers": APP}, **BOTH),
            one.subscription(team, "mails", (team, "events"), retry=DELAYED, consumers=APP),
        )
        if one is newer:
            for kind, name in (("Queue", "orders"), ("Subscription", "mails")):
                one.cluster.wait_ready(kind, team, name)
        else:
            text = (
                f"spec.retry.backoff: RabbitMQ {older.version} cannot delay a retry, which came with 4.3; "
                "upgrade the broker, or remove the field"
            )
            for kind, name in (("Queue", "orders"), ("Subscription", "mails")):
                says(one, kind, team, name, Reason.BROKER_VERSION_TOO_OLD, text, on="Accepted")
            assert f"{team}.mails" not in one.native_queues()
        with one.client(team, "app") as app:
            app.publish(f"{team}.orders_in", "goes on")
            assert app.receive(f"{team}.orders") == ["goes on"]
