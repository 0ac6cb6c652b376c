"""The operator's rights against what it does: each verb it uses is granted, and each granted verb is used.

The audit log of the API server tells what was done, and the bindings in the cluster what is granted, installed in both
ways: for all namespaces, and for listed ones.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.harness.install import Installation, install
from tests.harness.kubeapi import Object
from tests.harness.process import Operator
from tests.harness.site import Site, manifest, platform_objects
from tests.harness.waiting import wait_until
from tests.harness.world import World

LISTED = ("one", "two")

Right = tuple[str, str, str]
"""API group, resource, verb."""


class Trail(NamedTuple):
    """What one way of installing led to."""

    granted: set[Right]
    used: set[Right]
    forbidden: set[tuple[Right, str]]
    """What the API server refused, with the object's name."""
    namespaces: set[str]
    """Where it asked for something; empty = in all at once."""


def _granted(world: World, installation: Installation) -> set[Right]:
    """Return the rights that bindings give to the ServiceAccount."""
    found = json.loads(world.cluster.kubectl("get", "clusterrolebindings,rolebindings", "-A", "-o", "json"))["items"]
    rights: set[Right] = set()
    for binding in found:
        subjects = [(one.get("namespace"), one["name"]) for one in binding.get("subjects", ())]
        if (installation.namespace, installation.service_account) not in subjects:
            continue
        ref = binding["roleRef"]
        where = [f"--namespace={binding['metadata']['namespace']}"] if ref["kind"] == "Role" else []
        role = json.loads(world.cluster.kubectl("get", ref["kind"].lower(), ref["name"], *where, "-o", "json"))
        for rule in role["rules"]:
            rights |= {(g, r, v) for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}
    return rights


def _trail(world: World, installation: Installation) -> Trail:
    """Read the audit log."""
    user = f"system:serviceaccount:{installation.namespace}:{installation.service_account}"
    used: set[Right] = set()
    forbidden: set[tuple[Right, str]] = set()
    namespaces: set[str] = set()
    for line in world.control_plane.audit_log.read_text().splitlines():
        entry = json.loads(line)
        ref = entry.get("objectRef") or {}
        if entry["user"]["username"] != user or "resource" not in ref:
            continue  # discovery is open to everybody
        resource = ref["resource"] + (f"/{ref['subresource']}" if "subresource" in ref else "")
        right = (ref.get("apiGroup", ""), resource, entry["verb"])
        used.add(right)
        namespaces.add(ref.get("namespace", ""))
        if (entry.get("responseStatus") or {}).get("code") == 403:
            forbidden.add((right, ref.get("name", "")))
    return Trail(_granted(world, installation), used, forbidden, namespaces)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start servers with an audit log, and no operator yet."""
    made = World(tmp_path_factory.mktemp("audited"), audit=True)
    made.start(operator=False)
    yield made
    made.stop()


def _live_through(site: Site, home: str) -> None:
    """Go through everything that makes the operator talk to the API server."""
    user = _make_one_of_each(site, home)
    # The same thing happens twice: the Event is counted up.
    for times in (1, 2):
        site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{home}.orders_in")
        site.cluster.look_now(site.home, "main")
        wait_until(
            lambda n=times: _told(site, home, "DriftCorrected") >= n,  # type: ignore[misc]  # binds this turn's value
            f"the drift is told {times} times",
            describe=site.cluster.evidence,
        )
    _rewrite_binding_secret(site, home, user)
    for kind, name in (("Queue", "orders"), ("BrokerUser", "user"), ("Topic", "events"), ("Subscription", "mailer")):
        site.cluster.delete(kind, home, name)
        site.cluster.wait_gone(kind, home, name)


def _make_one_of_each(site: Site, home: str) -> Object:
    """Make an object of every kind, with a password of its own and a grant that is missing; return the user."""
    cluster = site.cluster
    own = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "own", "namespace": home},
        "stringData": {"password": "own-password"},
    }
    cluster.apply(
        own,
        site.user(home, "user"),
        site.user(home, "own", passwordSecretRef={"name": "own"}),
        site.queue(
            home, "orders", producers=[{"name": "user"}], consumers=[{"name": "missing"}], deletionPolicy="Delete"
        ),
        manifest("Topic", home, "events", {"brokerRef": site.broker_ref}),
        manifest("Subscription", home, "mailer", {"topicRef": {"name": "events"}}),
    )
    cluster.wait_ready("Queue", home, "orders")
    user = cluster.wait_ready("BrokerUser", home, "user")
    for kind, name in (("Topic", "events"), ("Subscription", "mailer")):
        cluster.wait_ready(kind, home, name)
    cluster.wait_event(home, "orders", "GrantMissing")
    return user


def _rewrite_binding_secret(site: Site, home: str, user: Object) -> None:
    """Have a binding Secret updated, and made anew when its type cannot be changed."""
    cluster = site.cluster
    cluster.apply(site.queue(home, "more", consumers=[{"name": "user"}]))
    wait_until(lambda: "more" in site.binding(home, "user")["channels.json"], "the Secret is updated")
    cluster.delete("Secret", home, "user-binding")
    owner = {"apiVersion": user["apiVersion"], "kind": "BrokerUser", "name": "user", "uid": user["metadata"]["uid"]}
    metadata = {"name": "user-binding", "namespace": home, "ownerReferences": [owner]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": {"x": "y"}}
    )
    cluster.look_now(home, "user", kind="BrokerUser")
    # Between one and the other there is none.
    wait_until(
        lambda: "password" in (cluster.get("Secret", home, "user-binding") or {}).get("data", {}),
        "the Secret is made anew",
        describe=cluster.evidence,
    )


def _told(site: Site, namespace: str, reason: str) -> int:
    """Return how often an Event was told of the queue's exchange."""
    return max(
        (one.get("count", 1) for one in site.cluster.events(namespace, "orders") if one["reason"] == reason), default=0
    )


def _site(world: World, home: str) -> Site:
    site = Site(world.cluster, world.rabbitmq)
    site.make_vhost()
    site.home = home
    world.cluster.apply(*platform_objects(world.rabbitmq, home), site.broker())
    world.cluster.wait_ready("Broker", home, "main")
    return site


@pytest.fixture(scope="module")
def everywhere(world: World) -> Trail:
    """Install for all namespaces and live through everything."""
    operator = world.replica().start()
    home = world.cluster.namespace("home")
    _live_through(_site(world, home), home)
    operator.stop()
    return _trail(world, world.installation)


@pytest.fixture(scope="module")
def listed(world: World, everywhere: Trail) -> Trail:
    """Install for listed namespaces, beside, and live through everything there."""
    assert everywhere.used
    for name in LISTED:
        world.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    installation = install(
        world.control_plane, namespace="limited", values=[f"watch.namespaces={{{','.join(LISTED)}}}"]
    )
    settings = {"namespaces": ",".join(LISTED)}
    operator = Operator(world.folder / "limited", installation, settings=settings).start()
    world.replicas.insert(0, operator)
    _live_through(_site(world, LISTED[0]), LISTED[0])
    operator.stop()
    return _trail(world, installation)


def test_installed_for_all_namespaces_it_never_meets_a_refusal(everywhere: Trail) -> None:
    assert everywhere.forbidden == set()
    assert everywhere.used <= everywhere.granted


def test_installed_for_all_namespaces_it_uses_every_right_it_has(everywhere: Trail) -> None:
    assert everywhere.granted - everywhere.used == set()


def test_installed_for_listed_namespaces_it_meets_the_one_refusal_it_knows_how_to_live_with(listed: Trail) -> None:
    # Without a right on kube-system, its own namespace gives the operator its id.
    assert listed.forbidden == {(("", "namespaces", "get"), "kube-system")}
    assert listed.used <= listed.granted


def test_installed_for_listed_namespaces_it_asks_for_nothing_elsewhere(world: World, listed: Trail) -> None:
    homes = {one["metadata"]["namespace"] for one in world.cluster.objects("Broker")}
    assert homes - set(LISTED), "there is a Broker elsewhere that it could have asked for"
    assert listed.namespaces == {*LISTED, "limited", "kube-system"}


def test_installed_for_listed_namespaces_no_cluster_wide_binding_names_it(world: World, listed: Trail) -> None:
    assert listed.used
    found = json.loads(world.cluster.kubectl("get", "clusterrolebindings", "-o", "json"))["items"]
    subjects = {(one.get("namespace"), one["name"]) for item in found for one in item.get("subjects", ())}
    assert ("channel-operator", "channel-operator") in subjects  # that of the other installation
    assert not {namespace for namespace, _ in subjects} & {"limited"}


def test_installed_for_listed_namespaces_it_uses_every_right_it_has(listed: Trail) -> None:
    assert listed.granted - listed.used == set()


def test_it_may_never_list_or_watch_secrets(everywhere: Trail, listed: Trail) -> None:
    for trail in (everywhere, listed):
        verbs = {verb for group, resource, verb in trail.granted if (group, resource) == ("", "secrets")}
        assert not verbs & {"list", "watch", "patch", "deletecollection", "*"}
