"""What others do at the broker: their own objects are theirs, and what they do to ours is seen and put right."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.amqp import Client, opens
from tests.harness.cluster import condition
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World


def _definitions(site: Site) -> dict[str, list[Any]]:
    """Return everything there is on the virtual host and every user, in a form to compare."""
    found = {
        section: site.rabbit("GET", f"/api/{section}/{{vhost}}?disable_stats=true")
        for section in ("queues", "exchanges", "bindings", "policies", "parameters")
    }
    found["permissions"] = list(site.permissions().values())
    found["users"] = site.rabbit("GET", "/api/users")
    wanted = {
        "queues": ("name", "durable", "auto_delete", "arguments"),
        "exchanges": ("name", "type", "durable", "auto_delete", "internal", "arguments"),
        "bindings": ("source", "destination", "destination_type", "routing_key", "arguments"),
        "users": ("name", "tags", "password_hash"),
    }
    return {
        section: sorted(
            ({key: one[key] for key in wanted.get(section, one)} for one in entries),
            key=lambda one: json.dumps(one, sort_keys=True),
        )
        for section, entries in found.items()
    }


def _about(site: Site, word: str) -> dict[str, list[Any]]:
    """Return what concerns one word of the names."""
    return {
        section: [one for one in entries if word in json.dumps(one)] for section, entries in _definitions(site).items()
    }


def _make_neighbours(site: Site, shop: str, mark: str) -> None:
    """Make by hand what a neighbour might have, as near to the operator's own as names go."""
    user = f"{shop}.{mark}"
    site.rabbit("PUT", f"/api/users/{user}", {"password": "their-own", "tags": "management"})
    site.rabbit("PUT", f"/api/permissions/{{vhost}}/{user}", {"configure": f"{mark}", "write": ".*", "read": f"{mark}"})
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{shop}.{mark}", {"durable": True, "arguments": {"x-max-length": 7}})
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{shop}.orders_{mark}", {"durable": True})
    site.rabbit("PUT", f"/api/exchanges/{{vhost}}/{shop}.{mark}_in", {"type": "topic", "durable": True})
    site.rabbit("POST", f"/api/bindings/{{vhost}}/e/{shop}.{mark}_in/q/{shop}.{mark}", {"routing_key": "#"})
    policy = {"pattern": f"^{mark}", "definition": {"max-length": 9}, "apply-to": "queues", "priority": 7}
    site.rabbit("PUT", f"/api/policies/{{vhost}}/{mark}", policy)


def test_neighbours_stay_untouched_through_creation_resync_and_deletion(world: World, site: Site) -> None:
    shop, mark = site.namespace("shop"), "neighbour"
    _make_neighbours(site, shop, mark)
    before = _about(site, mark)
    assert all(before[section] for section in ("queues", "exchanges", "bindings", "policies", "permissions", "users"))

    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(
            shop,
            "orders",
            producers=[{"name": "user"}],
            consumers=[{"name": "user"}],
            deadLetter={},
            deletionPolicy="Delete",
        ),
    )
    site.cluster.wait_ready("Queue", shop, "orders")
    assert _about(site, mark) == before
    world.look(site)
    assert _about(site, mark) == before
    for kind, name in (("Queue", "orders"), ("BrokerUser", "user")):
        site.cluster.delete(kind, shop, name)
        site.cluster.wait_gone(kind, shop, name)
    assert _about(site, mark) == before
    left = _about(site, f"{shop}.orders")
    assert [one["name"] for one in left["queues"]] == [f"{shop}.orders_{mark}"]
    assert left["exchanges"] == []
    # Users belong to the whole cluster, where other tests count what nobody names.
    site.rabbit("DELETE", f"/api/users/{shop}.{mark}")


def test_the_broker_tells_of_names_within_its_prefixes_that_no_manifest_names(world: World, site: Site) -> None:
    shop = site.namespace("shop")
    elsewhere = world.site(spec={"allowedNamespaces": {"from": "All"}})
    site.cluster.apply(elsewhere.user(shop, "guest"), site.queue(shop, "orders", deadLetter={}))
    site.cluster.wait_ready("BrokerUser", shop, "guest")
    site.cluster.wait_ready("Queue", shop, "orders")
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{shop}.forgotten", {"durable": True})
    site.rabbit("PUT", "/api/queues/{vhost}/elsewhere", {"durable": True})
    world.look(site)

    def shown(found: Object) -> list[str]:
        names: list[str] = (found["status"].get("orphans") or {}).get("names", [])
        return [name for name in names if shop in name or "elsewhere" in name]

    # Users belong to the whole cluster: the one of another Broker has its manifest and is no orphan here.
    site.cluster.wait_for(
        "Broker",
        site.home,
        "main",
        lambda one: shown(one) == [f"Queue {shop}.forgotten"],
        "tells of the forgotten queue and of nothing else",
    )
    assert f"{shop}.forgotten" in site.native_queues()


def _eavesdrop(site: Site, shop: str) -> None:
    site.rabbit("PUT", f"/api/queues/{{vhost}}/spy-{shop}", {"durable": True})
    site.rabbit("POST", f"/api/bindings/{{vhost}}/e/{shop}.orders_in/q/spy-{shop}", {"routing_key": ""})


Break = Callable[[Site, str], None]
BREAKS: dict[str, tuple[str, Break]] = {
    "the queue is deleted": ("orders", lambda s, n: s.rabbit("DELETE", f"/api/queues/{{vhost}}/{n}.orders")),
    "the dead-letter queue is deleted": (
        "orders",
        lambda s, n: s.rabbit("DELETE", f"/api/queues/{{vhost}}/{n}.orders_dead"),
    ),
    "the entry exchange is deleted": (
        "orders",
        lambda s, n: s.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{n}.orders_in"),
    ),
    "the dead-letter exchange is deleted": (
        "orders",
        lambda s, n: s.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{n}.orders_dlx"),
    ),
    "the binding is deleted": (
        "orders",
        lambda s, n: s.rabbit("DELETE", f"/api/bindings/{{vhost}}/e/{n}.orders_in/q/{n}.orders/~"),
    ),
    "a binding is added to the queue": (
        "orders",
        lambda s, n: s.rabbit("POST", f"/api/bindings/{{vhost}}/e/amq.fanout/q/{n}.orders", {"routing_key": "spy"}),
    ),
    "another queue is bound to the entry exchange": ("orders", _eavesdrop),
    "the permission is deleted": (
        "user",
        lambda s, n: s.rabbit("DELETE", f"/api/permissions/{{vhost}}/{n}.user"),
    ),
    "the permission is widened": (
        "user",
        lambda s, n: s.rabbit(
            "PUT", f"/api/permissions/{{vhost}}/{n}.user", {"configure": ".*", "write": ".*", "read": ".*"}
        ),
    ),
    "the permission is narrowed": (
        "user",
        lambda s, n: s.rabbit(
            "PUT", f"/api/permissions/{{vhost}}/{n}.user", {"configure": "", "write": "", "read": ""}
        ),
    ),
    "the user is deleted": ("user", lambda s, n: s.rabbit("DELETE", f"/api/users/{n}.user")),
}


def _without_hashes(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**found, "users": [{**one, "password_hash": ""} for one in found["users"]]}


def _events(site: Site, namespace: str, name: str, reason: str) -> list[Object]:
    return [one for one in site.cluster.events(namespace, name) if one["reason"] == reason]


@pytest.mark.parametrize("what", BREAKS)
def test_what_is_changed_by_hand_is_told_and_put_right(site: Site, what: str) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(
        site.user(shop, "user"),
        site.queue(shop, "orders", producers=[{"name": "user"}], consumers=[{"name": "user"}], deadLetter={}),
    )
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.wait_ready("BrokerUser", shop, "user")
    binding = site.binding(shop, "user")
    before = _about(site, f"{shop}.")

    told, break_it = BREAKS[what]
    break_it(site, shop)
    assert _about(site, f"{shop}.") != before
    site.cluster.look_now(site.home, "main")
    wait_until(
        lambda: _without_hashes(_about(site, f"{shop}.")) == _without_hashes(before),
        "it is as it was",
        describe=lambda: f"{_about(site, f'{shop}.')}\n{site.cluster.evidence()}",
    )
    event = site.cluster.wait_event(shop, told, "DriftCorrected")
    assert event["type"] == "Warning"
    assert event["message"].startswith("Changed at the broker by somebody else; put right: ")
    with Client(binding) as client:
        client.publish(f"{shop}.orders_in", "works")
        assert client.receive(f"{shop}.orders") == ["works"]
        assert client.try_get(f"{shop}.orders_dead") == "ACCESS_REFUSED"


def test_a_password_changed_by_hand_is_put_right_when_the_user_is_looked_at(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "user"))
    site.cluster.wait_ready("BrokerUser", shop, "user")
    binding = site.binding(shop, "user")
    tags = site.rabbit("GET", f"/api/users/{shop}.user")["tags"]
    site.rabbit("PUT", f"/api/users/{shop}.user", {"password": "somebody-elses", "tags": ",".join(tags)})
    assert not opens(binding)
    site.cluster.look_now(shop, "user", kind="BrokerUser")
    wait_until(lambda: opens(binding), "the password of the Secret opens again", describe=site.cluster.evidence)
    assert not opens({**binding, "password": "somebody-elses"})


# -- own passwords -------------------------------------------------------------------------------------------------


def _secret(namespace: str, **entries: str) -> Object:
    metadata = {"name": "own", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries}


def test_an_own_password_is_used_and_a_changed_one_takes_its_place(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(
        _secret(shop, password="first Passw0rd: ü/%@"), site.user(shop, "user", passwordSecretRef={"name": "own"})
    )
    site.cluster.wait_ready("BrokerUser", shop, "user")
    first = site.binding(shop, "user")
    assert first["password"] == "first Passw0rd: ü/%@"
    assert opens(first)

    site.cluster.apply(_secret(shop, password="second"))
    site.cluster.look_now(shop, "user", kind="BrokerUser")
    wait_until(
        lambda: site.binding(shop, "user")["password"] == "second",
        "the binding has the new password",
        describe=site.cluster.evidence,
    )
    wait_until(lambda: opens(site.binding(shop, "user")), "it opens", describe=site.cluster.evidence)
    assert not opens(first)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        (None, "there is no such Secret"),
        ({"pass": "word"}, 'it has no key "password", or an empty one'),
        ({"password": ""}, 'it has no key "password", or an empty one'),
    ],
)
def test_an_own_password_that_is_not_there_is_named_and_waited_for(
    site: Site, entries: dict[str, str] | None, why: str
) -> None:
    shop = site.namespace("shop")
    if entries is not None:
        site.cluster.apply(_secret(shop, **entries))
    site.cluster.apply(site.user(shop, "user", passwordSecretRef={"name": "own"}))
    found = site.cluster.wait_reason("BrokerUser", shop, "user", "RefNotFound")
    refs = condition(found, "ResolvedRefs")
    assert refs is not None
    assert refs["message"] == f'spec.passwordSecretRef: no password in Secret "{shop}/own": {why}. Correct it.'
    assert condition(found, "Reconciling") is not None, "it may still come"
    assert site.permissions() == {}

    site.cluster.apply(_secret(shop, password="there"))
    site.cluster.look_now(shop, "user", kind="BrokerUser")
    site.cluster.wait_ready("BrokerUser", shop, "user")
    assert opens(site.binding(shop, "user"))
