"""How messages reach consumers, seen by users: order, dead letters elsewhere, types of queue, and who may not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says
from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.rabbitmq import RabbitMQ


@pytest.fixture(scope="module")
def older(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """Lend a RabbitMQ of the previous version."""
    broker = RabbitMQ(Path(tmp_path_factory.mktemp("previous")), world.lab.ca, version="previous")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(params=["current", "previous"])
def each(request: pytest.FixtureRequest, world: World) -> Site:
    """Give a Broker on each version."""
    if request.param == "current":
        return world.site()
    return Site(world.cluster, request.getfixturevalue("older")).start()


def fails(site: Site, team: str, queue: str, *, user: str) -> None:
    """Take one message as a consumer and reject it for good."""
    with site.client(team, user) as client:
        channel = client.connection.channel()

        def took() -> bool:
            method, _, _ = channel.basic_get(queue)
            if method is not None:
                channel.basic_reject(method.delivery_tag, requeue=True)
            return method is not None

        wait_until(took, f"a message in {queue}")


def test_the_queue_for_dead_letters_changes_while_its_source_lives(each: Site) -> None:
    team, both = each.namespace("team"), {"producers": [{"name": "app"}], "consumers": [{"name": "app"}]}

    def orders(dead: dict[str, Any] | None) -> None:
        fields = {"deadLetter": dead} if dead is not None else {}
        each.cluster.apply(each.queue(team, "orders", retry={"maxDeliveries": 1}, **both, **fields))
        each.cluster.wait_ready("Queue", team, "orders")

    def dies() -> None:
        with each.client(team, "app") as client:
            client.publish(f"{team}.orders_in", "m")
        fails(each, team, f"{team}.orders", user="app")

    each.cluster.apply(each.user(team, "app"), *(each.queue(team, name, **both) for name in ("failed", "other")))
    for dead, where in (
        ({"queueRef": {"name": "failed"}}, "failed"),
        ({"queueRef": {"name": "other"}}, "other"),
        ({"consumers": [{"name": "app"}]}, "orders_dead"),
        ({"queueRef": {"name": "failed"}}, "failed"),
    ):
        orders(dead)
        dies()
        with each.client(team, "app") as client:
            assert client.receive(f"{team}.{where}") == ["m"]
    before = each.native_queues()[f"{team}.orders"]["arguments"]
    orders(None)
    dies()
    with each.client(team, "app") as client:
        assert client.get(f"{team}.failed") is None, "without the field dead letters are dropped"
    assert each.native_queues()[f"{team}.orders"]["arguments"] == before, "it is the same queue all the time"


def test_dead_letters_of_a_subscription_go_to_a_queue_by_reference(each: Site) -> None:
    team, listed = each.namespace("team"), [{"name": "app"}]

    def mails(dead: dict[str, Any]) -> None:
        spec = {"retry": {"maxDeliveries": 2}, "deadLetter": dead, "consumers": listed}
        each.cluster.apply(each.subscription(team, "mails", (team, "events"), **spec))
        each.cluster.wait_ready("Subscription", team, "mails")

    each.cluster.apply(
        each.user(team, "app"),
        each.topic(team, "events", producers=listed),
        *(each.queue(team, name, consumers=listed, deletionPolicy="Delete") for name in ("failed", "other")),
    )
    for name in ("failed", "other"):
        mails({"queueRef": {"name": name}})
        with each.client(team, "app") as client:
            client.publish(f"{team}.events", f"for {name}", key="order.paid")
        for _ in range(2):
            fails(each, team, f"{team}.mails", user="app")
        with each.client(team, "app") as client:
            assert client.receive(f"{team}.{name}") == [f"for {name}"]
            assert client.get(f"{team}.mails") is None
            assert client.try_publish(f"{team}.mails_dlx") == "ACCESS_REFUSED"
            assert client.try_publish(f"{team}.{name}_in") == "ACCESS_REFUSED"
    assert f"{team}.mails_dead" not in each.native_queues()

    # The target waits for the Subscription as it would for a Queue, and names it.
    each.cluster.delete("Queue", team, "other")
    ready = condition(each.cluster.wait_reason("Queue", team, "other", "Deleting"), "Ready")
    assert ready is not None
    assert f"waits for Subscription {team}/mails" in ready["message"]
    assert f"{team}.other" in each.native_queues()
    mails({"queueRef": {"name": "failed"}})
    each.cluster.wait_gone("Queue", team, "other")
    assert f"{team}.other" not in each.native_queues()


def test_a_queue_that_takes_dead_letters_stays_until_nobody_sends_it_any(site: Site) -> None:
    team = site.namespace("team")
    site.cluster.apply(site.queue(team, "orders", deadLetter={"queueRef": {"name": "failed"}}))
    says(
        site,
        "Queue",
        team,
        "orders",
        Reason.REF_NOT_FOUND,
        f'spec.deadLetter.queueRef: there is no Queue "{team}/failed" (yet). Create it, or correct the reference.',
        on="ResolvedRefs",
        stalled=False,
    )
    site.cluster.apply(site.queue(team, "failed", deletionPolicy="Delete"))
    site.cluster.wait_ready("Queue", team, "orders")
    site.cluster.kubectl("delete", "queues.channel-operator.dev", "failed", f"--namespace={team}", "--wait=false")
    found = site.cluster.wait_reason("Queue", team, "failed", "Deleting")
    ready = condition(found, "Ready")
    assert ready is not None
    assert f"waits for Queue {team}/orders" in ready["message"]
    assert f"{team}.failed" in site.native_queues()
    site.cluster.apply(site.queue(team, "orders"))
    wait_until(lambda: site.cluster.get("Queue", team, "failed") is None, "the target goes")
    site.cluster.wait_ready("Queue", team, "orders")
    assert [name for name in site.native_queues() if name.startswith(team)] == [f"{team}.orders"]


def test_a_circle_of_dead_letters_is_refused_on_every_queue_of_it(site: Site) -> None:
    team = site.namespace("team")
    site.cluster.apply(
        *(
            site.queue(team, name, deadLetter={"queueRef": {"name": to}})
            for name, to in (("a", "b"), ("b", "c"), ("c", "a"))
        )
    )
    for name, way in (("a", "a → b → c → a"), ("b", "b → c → a → b"), ("c", "c → a → b → c")):
        text = (
            f"spec.deadLetter.queueRef: dead letters would come back to where they are from: {way}. "
            "Break the circle at one of them."
        )
        says(site, "Queue", team, name, Reason.DEAD_LETTER_CYCLE, text, on="ResolvedRefs")
    site.cluster.apply(site.queue(team, "b", deadLetter={}))
    for name in "abc":
        site.cluster.wait_ready("Queue", team, name)


def test_users_of_shards_may_do_what_the_list_says_and_nothing_else(each: Site) -> None:
    team = each.namespace("team")
    each.cluster.apply(
        each.user(team, "sender"),
        each.user(team, "worker"),
        each.queue(team, "failed"),
        each.queue(
            team,
            "orders",
            ordering="PerKey",
            shards=3,
            deadLetter={"queueRef": {"name": "failed"}},
            producers=[{"name": "sender"}],
            consumers=[{"name": "worker"}],
        ),
    )
    each.cluster.wait_ready("Queue", team, "orders")
    shards = [f"{team}.orders_{n}" for n in range(3)]
    with each.client(team, "sender") as sender, each.client(team, "worker") as worker:
        assert sender.try_publish(f"{team}.orders_in", "key") is None
        assert [worker.try_get(shard) for shard in shards] == ["RESOURCE_LOCKED"] * 3, "it may read, by consuming"
        refused = {
            "sender reads": sender.try_get(shards[0]),
            "sender to the dead letters": sender.try_publish(f"{team}.orders_dlx"),
            "sender to their queue": sender.try_publish(f"{team}.failed_in"),
            "sender by the default exchange": sender.try_publish("", shards[0]),
            "worker sends": worker.try_publish(f"{team}.orders_in"),
            "worker reads the dead letters": worker.try_get(f"{team}.failed"),
            "worker binds": worker.attempt(lambda channel: channel.queue_bind(shards[0], f"{team}.orders_in", "1")),
        }
        assert refused == dict.fromkeys(refused, "ACCESS_REFUSED")


def test_a_change_of_the_default_type_makes_no_queue_wrong(site: Site) -> None:
    team = site.namespace("team")
    site.cluster.apply(site.queue(team, "first"))
    site.cluster.wait_ready("Queue", team, "first")
    site.cluster.apply(site.broker(defaults={"queueType": "Classic"}))
    site.cluster.apply(site.queue(team, "second"))
    for name in ("first", "second"):
        site.cluster.wait_ready("Queue", team, name)
    site.cluster.apply(site.queue(team, "first", producers=[]))
    site.cluster.wait_ready("Queue", team, "first")
    found = site.native_queues()
    assert {name: found[f"{team}.{name}"]["type"] for name in ("first", "second")} == {
        "first": "quorum",
        "second": "classic",
    }


OLDER_AND_NEWER: dict[str, tuple[dict[str, Any], str, str]] = {
    "backoff": (
        {"retry": {"backoff": {"initial": "1s"}}},
        "previous",
        (
            "spec.retry.backoff: RabbitMQ {version} cannot delay a retry, which came with 4.3; upgrade the broker, or "
            "remove the field"
        ),
    ),
    "a timeout on a classic queue": (
        {"ackTimeout": "5m", "rabbitmq": {"type": "Classic"}},
        "current",
        (
            "spec.ackTimeout: RabbitMQ {version} has no timeout for acknowledgements on classic queues any more; use "
            "rabbitmq.type: Quorum, or remove the field"
        ),
    ),
}


@pytest.mark.parametrize("what", OLDER_AND_NEWER)
def test_one_version_obeys_and_the_other_refuses_by_name(world: World, older: RabbitMQ, what: str) -> None:
    fields, refusing, message = OLDER_AND_NEWER[what]
    for version, site in (("current", world.site()), ("previous", Site(world.cluster, older).start())):
        team = site.namespace("team")
        site.cluster.apply(site.queue(team, "orders", **fields))
        if version != refusing:
            site.cluster.wait_ready("Queue", team, "orders")
            continue
        reason = Reason.BROKER_VERSION_TOO_OLD if version == "previous" else Reason.UNSUPPORTED_BY_BROKER
        text = message.format(version=site.rabbitmq.version)
        says(site, "Queue", team, "orders", reason, text, on="Accepted")
