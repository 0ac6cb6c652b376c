"""Names at the limits of Kubernetes and of the broker: each means one object and never its neighbour."""

import json
import random
import string

import pytest

from tests.harness.amqp import Client
from tests.harness.cluster import condition
from tests.harness.kubeapi import ApiError
from tests.harness.site import Site
from tests.harness.world import World

REFUSED = "ACCESS_REFUSED"


def _sends_and_receives(site: Site, namespace: str, queue: str, user: str, native: str) -> None:
    """Send and receive one message through a queue whose one user is both."""
    found = site.cluster.wait_ready("Queue", namespace, queue)
    assert found["status"]["address"]["name"] == native
    assert found["status"]["address"]["rabbitmq"]["exchange"] == f"{native}_in"
    with site.client(namespace, user) as client:
        client.publish(f"{native}_in", "hello")
        assert client.receive(native) == ["hello"]


def test_the_longest_names_that_kubernetes_allows_work(world: World) -> None:
    site = world.site()
    long_label = "".join(random.choices(string.ascii_lowercase, k=63))  # noqa: S311  # a name, no secret
    site.cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": long_label, "labels": site.label}}
    )
    user, queue = _longest(site, "BrokerUser", long_label), _longest(site, "Queue", long_label)
    native_user = f"{long_label}.{user}"
    site.cluster.apply(
        site.user(long_label, user),
        site.queue(long_label, queue, producers=[{"name": user}], consumers=[{"name": user}], deadLetter={}),
    )
    _sends_and_receives(site, long_label, queue, user, f"{long_label}.{queue}")
    assert site.binding(long_label, user)["username"] == native_user


def _longest(site: Site, kind: str, namespace: str) -> str:
    """Return the longest name that the API server takes, found by asking it."""
    make = site.user if kind == "BrokerUser" else site.queue
    for length in range(253, 0, -1):
        name = "n" * length
        path = {"BrokerUser": "brokerusers", "Queue": "queues"}[kind]
        try:
            site.cluster.api.request(
                "POST",
                f"/apis/channel-operator.dev/v1alpha1/namespaces/{namespace}/{path}",
                make(namespace, name),
                dryRun="All",
            )
        except ApiError:
            continue
        return name
    raise AssertionError("no name was taken")


def test_the_longest_physical_name_works(site: Site) -> None:
    shop = site.namespace("shop")
    native = f"{shop}." + "p" * (200 - len(shop) - 1)
    username = f"{shop}." + "u" * (200 - len(shop) - 1)
    site.cluster.apply(
        site.user(shop, "user", username=username),
        site.queue(
            shop,
            "orders",
            physicalName=native,
            producers=[{"name": "user"}],
            consumers=[{"name": "user"}],
            deadLetter={},
        ),
    )
    _sends_and_receives(site, shop, "orders", "user", native)


@pytest.mark.parametrize("rest", ["a.b", "a-b", "a_c", "A.B-c_D.9", "orders.v1.0", "x_1000", "in"])
def test_dots_dashes_and_underscores_in_a_stated_name_work(site: Site, rest: str) -> None:
    shop = site.namespace("shop")
    native = f"{shop}.{rest}"
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(shop, "orders", physicalName=native, producers=[{"name": "user"}], consumers=[{"name": "user"}]),
    )
    _sends_and_receives(site, shop, "orders", "user", native)


def test_a_right_on_one_name_is_none_on_names_that_only_look_alike(world: World) -> None:
    site = world.site(spec={"naming": {"physicalName": "Any"}})
    shop = site.namespace("shop")
    alike = [
        f"{shop}xa.b",
        f"{shop}.axb",
        f"{shop}.a-b",
        f"{shop}.a",
        f"{shop}.a.b.c",
        f"{shop}.a.bb",
        f"x{shop}.a.b",
        f"{shop}.A.B",
        f"{shop}.a.b2",
    ]
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(
            shop, "mine", physicalName=f"{shop}.a.b", producers=[{"name": "user"}], consumers=[{"name": "user"}]
        ),
        *(site.queue(shop, f"alike-{number}", physicalName=name) for number, name in enumerate(alike)),
    )
    _sends_and_receives(site, shop, "mine", "user", f"{shop}.a.b")
    for number in range(len(alike)):
        site.cluster.wait_ready("Queue", shop, f"alike-{number}")
    with site.client(shop, "user") as client:
        reading = {name: client.try_get(name) for name in alike}
        sending = {name: client.try_publish(f"{name}_in") for name in alike}
    assert reading == sending == dict.fromkeys(alike, REFUSED)


def test_namespaces_whose_names_run_into_each_other_stay_apart(site: Site) -> None:
    short = site.namespace("team")
    long = f"{short}-orders"
    site.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": long, "labels": site.label}})
    # `team-1` with `orders.x` beside `team-1-orders` with `x`.
    site.cluster.apply(
        site.user(short, "user"),
        site.user(long, "user"),
        site.queue(short, "orders.x", consumers=[{"name": "user"}]),
        site.queue(long, "x", consumers=[{"name": "user"}]),
    )
    site.cluster.wait_ready("Queue", short, "orders.x")
    site.cluster.wait_ready("Queue", long, "x")
    with site.client(short, "user") as first, site.client(long, "user") as second:
        assert (first.try_get(f"{short}.orders.x"), first.try_get(f"{long}.x")) == (None, REFUSED)
        assert (second.try_get(f"{long}.x"), second.try_get(f"{short}.orders.x")) == (None, REFUSED)


def test_a_fixed_prefix_comes_before_every_name(world: World) -> None:
    site = world.site(spec={"naming": {"template": "prod.eu-1.{namespace}.{name}"}})
    shop = site.namespace("shop")
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(shop, "orders", producers=[{"name": "user"}], consumers=[{"name": "user"}]),
        site.queue(shop, "outside", physicalName=f"{shop}.outside"),
    )
    _sends_and_receives(site, shop, "orders", "user", f"prod.eu-1.{shop}.orders")
    assert site.binding(shop, "user")["username"] == f"prod.eu-1.{shop}.user"
    site.cluster.wait_reason("Queue", shop, "outside", "NameNotAllowed")


@pytest.mark.parametrize("vhost", ["100%", "a b", "ünïcode/東京", "%2F", "a?b#c&d", "quote'\"\\"])
def test_a_virtual_host_may_have_any_name(world: World, vhost: str) -> None:
    site = world.site(vhost=vhost)
    _lives_and_dies(site, site.namespace("shop"))


def test_the_virtual_host_named_by_a_slash_works(examples_broker: Site) -> None:
    _lives_and_dies(examples_broker, examples_broker.cluster.namespace("shop", {"broker-access": "main"}))


def _lives_and_dies(site: Site, shop: str) -> None:
    """See a queue made, used, put right after drift, and deleted."""
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(shop, "orders", producers=[{"name": "user"}], consumers=[{"name": "user"}], deadLetter={}),
    )
    _sends_and_receives(site, shop, "orders", "user", f"{shop}.orders")
    entries = site.binding(shop, "user")
    assert entries["virtual-host"] == site.vhost
    assert json.loads(entries["channels.json"])[0]["name"] == "orders"

    site.rabbit("DELETE", f"/api/queues/{{vhost}}/{shop}.orders")
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_event(shop, "orders", "DriftCorrected")
    assert f"{shop}.orders" in site.native_queues()
    site.cluster.apply(site.queue(shop, "orders", deletionPolicy="Delete"))
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    assert not [name for name in site.native_queues() if name.startswith(shop)]


def test_two_queues_that_want_one_name_in_one_namespace(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "user"), site.queue(shop, "older", consumers=[{"name": "user"}]))
    site.cluster.wait_ready("Queue", shop, "older")
    site.cluster.wait_older("Queue", shop, "older")
    site.cluster.apply(
        site.queue(shop, "younger", physicalName=f"{shop}.older", producers=[{"name": "user"}], deletionPolicy="Delete")
    )
    found = site.cluster.wait_reason("Queue", shop, "younger", "NameConflict")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == (
        f'The channel name "{shop}.older" on Broker {site.home}/main belongs to the older Queue {shop}/older. '
        "Choose another metadata.name or spec.physicalName."
    )
    with site.client(shop, "user") as client:
        assert (client.try_get(f"{shop}.older"), client.try_publish(f"{shop}.older_in")) == (None, REFUSED)
    site.cluster.delete("Queue", shop, "younger")
    site.cluster.wait_gone("Queue", shop, "younger")
    assert f"{shop}.older" in site.native_queues()
    with Client(site.binding(shop, "user")) as client:
        assert client.try_get(f"{shop}.older") is None


@pytest.mark.parametrize("ending", ["_in", "_dlx", "_dead", "_0", "_255"])
def test_no_stated_name_may_end_like_a_derived_one(site: Site, ending: str) -> None:
    shop = site.namespace("shop")
    with pytest.raises(ApiError) as refused:
        site.cluster.apply(site.queue(shop, "orders", physicalName=f"{shop}.orders{ending}"))
    assert "spec.physicalName" in refused.value.message
