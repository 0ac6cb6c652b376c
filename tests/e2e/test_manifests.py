"""A manifest that cannot be used, or that a user put on hold: what it had on the broker stays, through a restart too.

The rules of the API server normally keep broken manifests out. Here they are taken out of the CRDs, as an older or a
hand-edited CRD in a cluster would.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pika.exceptions
import pytest

from tests.harness.amqp import Client
from tests.harness.cluster import Cluster, condition
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.binaries import kstatus

RULES = ("x-kubernetes-validations", "pattern", "minimum", "maximum", "enum", "minLength", "minItems", "maxItems")
SETTINGS = {"ref_grace": "2s"}


def _relaxed(schema: Any) -> Any:
    """Return a schema without its rules; what is a field's name and not a rule's stays."""
    if isinstance(schema, list):
        return [_relaxed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _relaxed(value) for key, value in schema.items() if key not in RULES}
    if isinstance(schema.get("properties"), dict):
        found["properties"] = {name: _relaxed(value) for name, value in schema["properties"].items()}
    return found


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start servers and an operator of its own, on CRDs without rules."""
    with World(tmp_path_factory.mktemp("lenient"), settings=SETTINGS) as world:
        found = json.loads(world.cluster.kubectl("get", "crds", "-o", "json"))
        for crd in found["items"]:
            for version in crd["spec"]["versions"]:
                version["schema"] = _relaxed(version["schema"])
            patch = json.dumps({"spec": {"versions": crd["spec"]["versions"]}})
            world.cluster.kubectl("patch", "crd", crd["metadata"]["name"], "--type=merge", f"--patch={patch}")
        yield world


class Shop(NamedTuple):
    """A site with a namespace that has a working queue, its users, and clients' credentials."""

    site: Site
    namespace: str
    bindings: dict[str, dict[str, str]]

    @property
    def cluster(self) -> Cluster:
        """The cluster."""
        return self.site.cluster

    def queue(self, **spec: Any) -> Object:
        """Return the queue's manifest as it works, with changes."""
        lists = {"producers": [{"name": "sender"}], "consumers": [{"name": "receiver"}]}
        return self.site.queue(self.namespace, "orders", **{**lists, **spec})

    def works(self) -> None:
        """Send and receive with the credentials of the beginning."""
        name = f"{self.namespace}.orders"
        with Client(self.bindings["sender"]) as sender, Client(self.bindings["receiver"]) as receiver:
            sender.publish(f"{name}_in", "still works")
            assert receiver.receive(name) == ["still works"]
            assert sender.try_get(name) == receiver.try_publish(f"{name}_in") == "ACCESS_REFUSED"

    def native(self) -> str:
        """Return everything on the virtual host that a narrowing or a deletion would change."""
        found = [
            self.site.rabbit("GET", f"/api/{what}/{{vhost}}?disable_stats=true") for what in ("exchanges", "bindings")
        ]
        queues = {name: one["arguments"] for name, one in self.site.native_queues().items()}
        return json.dumps([found, queues, self.site.permissions()], sort_keys=True)


@pytest.fixture
def shop(lenient: World) -> Shop:
    """Make a Broker, a queue and two users that work."""
    site = lenient.site()
    namespace = site.namespace("shop")
    made = Shop(site, namespace, {})
    site.cluster.apply(site.user(namespace, "sender"), site.user(namespace, "receiver"), made.queue())
    site.cluster.wait_ready("Queue", namespace, "orders")
    for name in ("sender", "receiver"):
        site.cluster.wait_ready("BrokerUser", namespace, name)
        made.bindings[name] = site.binding(namespace, name)
    made.works()
    return made


def _holds_what_it_had(world: World, shop: Shop, before: str) -> None:
    """See the broker unchanged and clients at work: now, after a look at everything, and after a restart."""
    assert shop.native() == before
    world.look(shop.site)
    assert shop.native() == before
    shop.works()
    world.operator.restart()
    world.look(shop.site)
    assert shop.native() == before
    shop.works()


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "a duration that is none": ({"messageTTL": "soon"}, "spec.messageTTL"),
    "a contradiction": ({"ordering": "PerKey"}, "spec.shards"),
    "a number out of range": ({"retry": {"maxDeliveries": -4}}, "spec.retry.maxDeliveries"),
    "a word nobody knows": ({"deletionPolicy": "Shred"}, "spec.deletionPolicy"),
}


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_edit_is_named_and_changes_nothing(lenient: World, shop: Shop, what: str) -> None:
    before = shop.native()
    spec, field = INVALID[what]
    # With the broken field the lists go, which alone would withdraw every right.
    shop.cluster.apply(shop.queue(**spec, producers=[], consumers=[]))
    found = shop.cluster.wait_reason("Queue", shop.namespace, "orders", "InvalidSpec")
    for which, status in (("Accepted", "False"), ("Ready", "False"), ("Stalled", "True")):
        shown = condition(found, which)
        assert shown is not None
        assert (shown["status"], shown["reason"]) == (status, "InvalidSpec")
        assert shown["message"].startswith(field), shown["message"]
    assert kstatus([found])[0]["status"] == "Failed"
    assert found["status"]["address"]["name"] == f"{shop.namespace}.orders", "where it is goes on being told"
    if what == "a contradiction":
        _holds_what_it_had(lenient, shop, before)
    else:
        assert shop.native() == before
        shop.works()
    shop.cluster.apply(shop.queue())
    shop.cluster.wait_ready("Queue", shop.namespace, "orders")
    shop.works()


def test_an_unsupported_edit_changes_nothing(lenient: World, shop: Shop) -> None:
    before = shop.native()
    shop.cluster.apply(shop.queue(rabbitmq={"maxPriority": 5}, producers=[], consumers=[]))
    shop.cluster.wait_reason("Queue", shop.namespace, "orders", "UnsupportedByBroker")
    _holds_what_it_had(lenient, shop, before)


def test_an_invalid_edit_of_a_user_leaves_it_its_rights_and_its_password(lenient: World, shop: Shop) -> None:
    before = shop.native()
    broken = shop.site.user(shop.namespace, "sender", rotation={"every": "1h", "overlap": "2h"})
    shop.cluster.apply(broken)
    found = shop.cluster.wait_reason("BrokerUser", shop.namespace, "sender", "InvalidSpec")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"] == "spec.rotation.overlap: overlap must be shorter than every"
    _holds_what_it_had(lenient, shop, before)
    assert shop.site.binding(shop.namespace, "sender") == shop.bindings["sender"]


def test_an_invalid_edit_of_a_broker_leaves_everything_on_it(lenient: World, shop: Shop) -> None:
    before = shop.native()
    shop.cluster.apply(shop.site.broker(resyncInterval="often"))
    found = shop.cluster.wait_reason("Broker", shop.site.home, "main", "InvalidSpec")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    assert stalled["message"].startswith("spec.resyncInterval")
    assert shop.native() == before
    shop.works()
    lenient.operator.restart()
    shop.cluster.apply(shop.site.broker())
    shop.cluster.wait_ready("Broker", shop.site.home, "main")
    lenient.look(shop.site)
    assert shop.native() == before
    shop.works()


def test_deleting_a_manifest_that_cannot_be_read_keeps_the_messages(lenient: World, shop: Shop) -> None:
    shop.cluster.apply(shop.queue(deletionPolicy="Delete"))
    shop.cluster.wait_ready("Queue", shop.namespace, "orders")
    shop.cluster.apply(shop.queue(deletionPolicy="Delete", messageTTL="soon"))
    shop.cluster.wait_reason("Queue", shop.namespace, "orders", "InvalidSpec")
    shop.cluster.delete("Queue", shop.namespace, "orders")
    shop.cluster.wait_gone("Queue", shop.namespace, "orders")
    assert f"{shop.namespace}.orders" in shop.site.native_queues()
    assert lenient.operator.running


def test_a_new_manifest_that_is_broken_makes_nothing(shop: Shop) -> None:
    before = shop.native()
    shop.cluster.apply(shop.site.queue(shop.namespace, "broken", messageTTL="soon"))
    shop.cluster.wait_reason("Queue", shop.namespace, "broken", "InvalidSpec")
    assert shop.native() == before


# -- hands off -----------------------------------------------------------------------------------------------------


def _disable(shop: Shop, kind: str, namespace: str, name: str, *, off: bool = True) -> None:
    shop.cluster.annotate(kind, namespace, name, {"channel-operator.dev/reconcile": "Disabled" if off else None})


def test_a_disabled_queue_keeps_what_it_has_and_takes_nothing_in(lenient: World, shop: Shop) -> None:
    before = shop.native()
    _disable(shop, "Queue", shop.namespace, "orders")
    found = shop.cluster.wait_reason("Queue", shop.namespace, "orders", "Disabled")
    ready = condition(found, "Ready")
    assert ready is not None
    assert (ready["status"], ready["message"]) == (
        "True",
        "Hands off: the annotation channel-operator.dev/reconcile is Disabled.",
    )
    assert (condition(found, "Stalled"), condition(found, "Reconciling")) == (None, None)

    shop.cluster.apply(shop.queue(producers=[], consumers=[]))
    shop.cluster.wait_reason("Queue", shop.namespace, "orders", "Disabled")
    _holds_what_it_had(lenient, shop, before)
    # Hands off is meant for both sides: what somebody changes at the broker stays changed.
    shop.site.rabbit("DELETE", f"/api/exchanges/{{vhost}}/{shop.namespace}.orders_in")
    changed = shop.native()
    lenient.look(shop.site)
    assert shop.native() == changed

    _disable(shop, "Queue", shop.namespace, "orders", off=False)
    shop.cluster.wait_ready("Queue", shop.namespace, "orders")
    wait_until(lambda: _is_refused(shop), "the edit takes effect", describe=shop.cluster.evidence)


def _is_refused(shop: Shop) -> bool:
    # A connection of its own each time: those that are open are closed with the right, this one too if it comes early.
    try:
        with Client(shop.bindings["receiver"]) as receiver:
            return receiver.try_get(f"{shop.namespace}.orders") == "ACCESS_REFUSED"
    except pika.exceptions.AMQPError:
        return False


def test_a_disabled_queue_that_is_deleted_leaves_its_queue(shop: Shop) -> None:
    shop.cluster.apply(shop.queue(deletionPolicy="Delete"))
    shop.cluster.wait_ready("Queue", shop.namespace, "orders")
    _disable(shop, "Queue", shop.namespace, "orders")
    shop.cluster.wait_reason("Queue", shop.namespace, "orders", "Disabled")
    shop.cluster.delete("Queue", shop.namespace, "orders")
    shop.cluster.wait_gone("Queue", shop.namespace, "orders")
    assert f"{shop.namespace}.orders" in shop.site.native_queues()


def test_a_disabled_broker_is_not_written_to(lenient: World, shop: Shop) -> None:
    before = shop.native()
    _disable(shop, "Broker", shop.site.home, "main")
    found = shop.cluster.wait_reason("Broker", shop.site.home, "main", "Disabled")
    assert (condition(found, "Stalled"), condition(found, "Reconciling")) == (None, None)
    shop.cluster.apply(shop.queue(producers=[]), shop.site.queue(shop.namespace, "more"))
    more = shop.cluster.wait_reason("Queue", shop.namespace, "more", "RefNotReady")
    shown = condition(more, "ResolvedRefs")
    assert shown is not None
    assert (
        shown["message"] == f"spec.brokerRef: Broker {shop.site.home}/main cannot be used (Disabled); see its status."
    )
    assert shop.native() == before
    shop.works()
    lenient.operator.restart()
    shop.cluster.wait_reason("Broker", shop.site.home, "main", "Disabled")
    assert shop.native() == before
    _disable(shop, "Broker", shop.site.home, "main", off=False)
    shop.cluster.wait_ready("Queue", shop.namespace, "more")
