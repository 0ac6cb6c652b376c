"""Deletions that meet a broker, a Broker or a Secret that is not there: nothing gets stuck, and nothing is lost."""

from collections.abc import Mapping
from typing import Any

from channel_operator.api.meta import FORCE_RELEASE
from tests.e2e.teams import DEAD, SENDER, make_team
from tests.harness.cluster import condition
from tests.harness.site import Site
from tests.harness.world import World


def test_an_object_that_its_broker_does_not_answer_for_is_let_go_in_time(world: World) -> None:
    proxy = world.proxy(world.rabbitmq.management_port)
    site = world.site(management_port=proxy.port, spec={"deletionTimeout": "3s", "resyncInterval": "1s"})
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    proxy.refuse()
    proxy.cut()
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    site.cluster.delete("Queue", team, "orders")
    site.cluster.wait_gone("Queue", team, "orders")
    assert "could not be asked" in site.cluster.wait_event(team, "orders", "Orphaned")["message"]
    assert f"{team}.orders" in site.native_queues()


def test_an_object_waits_for_its_broker_before_it_goes_and_says_so(world: World) -> None:
    proxy = world.proxy(world.rabbitmq.management_port)
    site = world.site(management_port=proxy.port, spec={"resyncInterval": "1s"})
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    proxy.refuse()
    proxy.cut()
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    site.cluster.delete("Queue", team, "orders")
    found = site.cluster.wait_for("Queue", team, "orders", _says_deleting, "says that it is being deleted")
    ready = condition(found, "Ready")
    assert ready is not None
    assert f"waits for Broker {site.home}/main" in ready["message"]
    proxy.forward()
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_gone("Queue", team, "orders")
    assert site.native_queues() == {}


def _says_deleting(found: Mapping[str, Any]) -> bool:
    return (condition(found, "Ready") or {}).get("reason") == "Deleting"


def test_force_release_works_while_the_broker_is_away(world: World) -> None:
    proxy = world.proxy(world.rabbitmq.management_port)
    site = world.site(management_port=proxy.port, spec={"resyncInterval": "1s"})
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    proxy.refuse()
    proxy.cut()
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    site.cluster.delete("Queue", team, "orders")
    site.cluster.wait_for("Queue", team, "orders", _says_deleting, "says that it is being deleted")
    site.cluster.annotate("Queue", team, "orders", {FORCE_RELEASE: "true"})
    site.cluster.wait_gone("Queue", team, "orders")


def test_a_broker_waits_for_its_dependants_and_names_them(site: Site) -> None:
    team = make_team(site, {"orders": {}})
    site.cluster.delete("Broker", site.home, "main")
    found = site.cluster.wait_for("Broker", site.home, "main", _says_deleting, "says that it is being deleted")
    ready = condition(found, "Ready")
    assert ready is not None
    assert f"Queue {team}/orders" in ready["message"]
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        site.cluster.delete(kind, team, name)
    site.cluster.wait_gone("Broker", site.home, "main")
    assert site.permissions() == {}


def test_a_broker_whose_finalizer_was_stripped_leaves_nothing_stuck(site: Site) -> None:
    team = make_team(site, {"orders": {"deletionPolicy": "Delete"}})
    site.cluster.delete("Broker", site.home, "main")  # first: on a Broker that stays, the operator puts it back
    site.cluster.patch("Broker", site.home, "main", {"metadata": {"finalizers": None}})
    site.cluster.wait_gone("Broker", site.home, "main")
    found = site.cluster.wait_reason("Queue", team, "orders", "RefNotFound")
    assert condition(found, "Stalled") is None
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        site.cluster.delete(kind, team, name)
        site.cluster.wait_gone(kind, team, name)
    assert f"{team}.orders" in site.native_queues(), "without a Broker nothing can be deleted, and nothing was"


def test_the_credentials_gone_first_leave_nothing_stuck_once_the_broker_goes_too(site: Site) -> None:
    team = make_team(site, {"orders": {}})
    site.cluster.delete("Secret", site.home, "rabbitmq-admin")
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_reason("Broker", site.home, "main", "CredentialsInvalid")
    site.cluster.delete("Broker", site.home, "main")
    for kind, name in (("Queue", "orders"), ("BrokerUser", "sender"), ("BrokerUser", "receiver")):
        site.cluster.delete(kind, team, name)
        site.cluster.wait_gone(kind, team, name)
    site.cluster.wait_gone("Broker", site.home, "main")


def test_a_namespace_with_channels_goes_as_a_whole(site: Site) -> None:
    team = make_team(site, {"orders": {"deadLetter": DEAD}, "jobs": {"deletionPolicy": "Delete"}})
    site.cluster.delete("Namespace", None, team)
    site.cluster.wait_gone("Namespace", None, team)
    assert set(site.native_queues()) == {f"{team}.orders", f"{team}.orders_dead"}
    assert site.permissions() == {}


def test_a_namespace_with_topics_and_subscriptions_goes_as_a_whole(site: Site) -> None:
    """Who subscribes from elsewhere keeps the messages; a Topic that is to be deleted goes after its Subscriptions."""
    shop, mail = site.namespace("shop"), site.namespace("mail")
    listed = [{"name": "app"}]
    site.cluster.apply(
        site.user(shop, "app"),
        site.user(mail, "app"),
        site.topic(shop, "events", producers=listed, subscribers={"from": "All"}),
        site.topic(shop, "prices", producers=listed, deletionPolicy="Delete"),
        site.topic(shop, "log", storage="Log", producers=listed, deletionPolicy="Delete"),
        site.subscription(shop, "own", (shop, "events"), consumers=listed, deletionPolicy="Delete"),
        site.subscription(shop, "kept", (shop, "prices"), consumers=listed, deadLetter={}),
        site.subscription(shop, "reader", (shop, "log"), consumers=listed),
        site.subscription(mail, "mails", (shop, "events"), consumers=listed),
    )
    made = [("Topic", shop, name) for name in ("events", "prices", "log")]
    made += [("Subscription", shop, name) for name in ("own", "kept", "reader")]
    made += [("Subscription", mail, "mails"), ("BrokerUser", shop, "app"), ("BrokerUser", mail, "app")]
    for key in made:
        site.cluster.wait_ready(*key)
    with site.client(shop, "app") as sender:
        sender.publish(f"{shop}.events", "an event")
        sender.publish(f"{shop}.prices", "a price")
    site.cluster.delete("Namespace", None, shop)
    site.cluster.wait_gone("Namespace", None, shop)
    assert set(site.native_queues()) == {f"{shop}.kept", f"{shop}.kept_dead", f"{mail}.mails"}
    exchanges = {one["name"] for one in site.rabbit("GET", "/api/exchanges/{vhost}") if one["name"].startswith(shop)}
    assert exchanges == {f"{shop}.events", f"{shop}.kept_dlx"}
    assert site.ready_messages(f"{shop}.kept") == 1
    assert site.bound_to(f"{shop}.kept") == set()
    # A Topic that is kept is kept whole, for when its manifest comes back; nobody may publish to it.
    assert site.bound_to(f"{mail}.mails") == {(f"{shop}.events", "#")}
    assert set(site.permissions()) == {f"{mail}.app"}
    found = site.cluster.wait_reason("Subscription", mail, "mails", "RefNotFound")
    assert condition(found, "Stalled") is None, "the topic may come back"
    assert site.ready_messages(f"{mail}.mails") == 1


def test_a_namespace_with_its_broker_goes_as_a_whole(world: World) -> None:
    site = world.site()
    site.cluster.apply(
        site.user(site.home, "sender"), site.queue(site.home, "orders", producers=SENDER, deletionPolicy="Delete")
    )
    site.cluster.wait_ready("Queue", site.home, "orders")
    site.cluster.wait_ready("BrokerUser", site.home, "sender")
    site.cluster.delete("Namespace", None, site.home)
    site.cluster.wait_gone("Namespace", None, site.home)
