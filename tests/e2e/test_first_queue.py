"""The first screen of the README comes true: a queue across two namespaces, its users, their Secrets."""

import json
import re
import ssl
from urllib.parse import quote

import pika
import pytest

from tests.harness.amqp import Client
from tests.harness.cluster import Cluster, condition
from tests.harness.install import ROOT
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World


@pytest.fixture(scope="module")
def first_queue(examples_broker: Site) -> Site:
    """Apply the README's YAML as it stands there."""
    block = re.search(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    examples_broker.cluster.apply(block[1])
    examples_broker.cluster.wait_ready("Queue", "billing", "invoices")
    examples_broker.purge()
    return examples_broker


def test_a_message_goes_from_one_namespace_to_the_other_over_tls(first_queue: Site) -> None:
    with first_queue.client("shop", "checkout") as sender:
        sender.publish("billing.invoices_in", "invoice 4711")
    with first_queue.client("billing", "invoice-worker") as receiver:
        assert receiver.receive("billing.invoices") == ["invoice 4711"]


def test_it_is_a_quorum_queue_with_a_dead_letter_queue(first_queue: Site) -> None:
    native = first_queue.native_queues()
    assert {name: one["type"] for name, one in native.items() if name.startswith("billing.invoices")} == {
        "billing.invoices": "quorum",
        "billing.invoices_dead": "quorum",
    }
    # Measured on the broker: a limit of 4 means five deliveries.
    assert native["billing.invoices"]["arguments"]["x-delivery-limit"] == 4


def test_each_user_may_do_what_the_list_says_and_nothing_else(first_queue: Site) -> None:
    with first_queue.client("shop", "checkout") as sender, first_queue.client("billing", "invoice-worker") as receiver:
        assert {
            "sender sends": sender.try_publish("billing.invoices_in"),
            "sender reads": sender.try_get("billing.invoices"),
            "sender by the default exchange": sender.try_publish("", "billing.invoices"),
            "receiver reads": receiver.try_get("billing.invoices"),
            "receiver sends": receiver.try_publish("billing.invoices_in"),
            "receiver reads the dead letters": receiver.try_get("billing.invoices_dead"),
        } == {
            "sender sends": None,
            "sender reads": "ACCESS_REFUSED",
            "sender by the default exchange": "ACCESS_REFUSED",
            "receiver reads": None,
            "receiver sends": "ACCESS_REFUSED",
            "receiver reads the dead letters": "ACCESS_REFUSED",
        }


def test_kubectl_get_shows_where_the_queue_is_and_that_it_is_ready(first_queue: Site) -> None:
    shown = first_queue.cluster.kubectl("get", "queues.channel-operator.dev", "-n", "billing", "invoices")
    header, row = shown.splitlines()
    assert header.split() == ["NAME", "BROKER", "ADDRESS", "READY", "REASON", "AGE"]
    assert row.split()[:-1] == ["invoices", "messaging/main", "billing.invoices", "True", "Programmed"]


def test_kubectl_get_channels_shows_all_kinds(first_queue: Site) -> None:
    shown = first_queue.cluster.kubectl("get", "channels", "-A")
    for name in ("broker.channel-operator.dev/main", "brokeruser.channel-operator.dev/checkout", "queue.channel-"):
        assert name in shown


ENTRIES = {
    *("type", "provider", "username", "password", "certificates", "channels.json"),
    *("host", "port", "addresses", "virtual-host", "uri", "stream-port"),
}


def test_the_binding_secret_has_every_entry_and_its_uri_connects(world: World) -> None:
    site = world.site(vhost="first/queue 100% ü")
    shop = site.namespace("shop")
    site.cluster.apply(
        site.user(shop, "checkout"), site.queue(shop, "orders", producers=[{"name": "checkout"}], deadLetter={})
    )
    site.cluster.wait_ready("Queue", shop, "orders")
    user = site.cluster.wait_ready("BrokerUser", shop, "checkout")
    entries = site.binding(shop, "checkout")

    assert set(entries) == ENTRIES
    port = str(site.rabbitmq.amqps_port)
    expected = {"type": "rabbitmq", "provider": "channel-operator", "username": f"{shop}.checkout", "port": port}
    assert expected.items() <= entries.items()
    assert (entries["host"], entries["addresses"]) == ("localhost", f"localhost:{port}")
    assert entries["stream-port"] == str(site.rabbitmq.stream_tls_port)
    assert entries["virtual-host"] == "first/queue 100% ü"
    assert entries["certificates"] == site.rabbitmq.ca_pem
    assert len(entries["password"]) >= 32
    login = f"{quote(entries['username'], safe='')}:{quote(entries['password'], safe='')}"
    assert entries["uri"] == f"amqps://{login}@localhost:{port}/{quote('first/queue 100% ü', safe='')}"
    assert json.loads(entries["channels.json"]) == [
        {
            "kind": "Queue",
            "namespace": shop,
            "name": "orders",
            "role": "Producer",
            "exchange": f"{shop}.orders_in",
        }
    ]
    _connects(entries)

    secret = site.cluster.get("Secret", shop, user["status"]["binding"]["name"])
    assert secret is not None
    assert secret["type"] == "servicebinding.io/rabbitmq"
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [user["metadata"]["uid"]]


def _connects(entries: dict[str, str]) -> None:
    parameters = pika.URLParameters(entries["uri"])
    context = ssl.create_default_context(cadata=entries["certificates"])
    parameters.ssl_options = pika.SSLOptions(context, server_hostname=entries["host"])
    pika.BlockingConnection(parameters).close()


def test_the_password_is_not_changed_by_a_later_look(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "checkout"))
    site.cluster.wait_ready("BrokerUser", shop, "checkout")
    before = site.binding(shop, "checkout")["password"]
    site.cluster.apply(site.queue(shop, "orders", producers=[{"name": "checkout"}]))
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.look_now(shop, "checkout", kind="BrokerUser")
    wait_until(lambda: "orders" in site.binding(shop, "checkout")["channels.json"], "the Secret names the channel")
    assert site.binding(shop, "checkout")["password"] == before


def test_deleting_the_manifest_keeps_queue_and_message_and_takes_the_access(site: Site) -> None:
    shop = site.namespace("shop")
    users = [site.user(shop, "sender"), site.user(shop, "receiver")]
    queue = site.queue(shop, "orders", producers=[{"name": "sender"}], consumers=[{"name": "receiver"}])
    site.cluster.apply(*users, queue)
    site.cluster.wait_ready("Queue", shop, "orders")
    with site.client(shop, "sender") as sender:
        sender.publish(f"{shop}.orders_in", "kept")

    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    assert f"{shop}.orders" in site.native_queues()
    site.cluster.wait_event(shop, "orders", "Retained")
    with site.client(shop, "receiver") as receiver, site.client(shop, "sender") as sender:
        assert receiver.try_get(f"{shop}.orders") == "ACCESS_REFUSED"
        assert sender.try_publish(f"{shop}.orders_in") == "ACCESS_REFUSED"

    site.cluster.apply(queue)
    found = site.cluster.wait_ready("Queue", shop, "orders")
    assert found["status"]["origin"] == "Adopted"
    with site.client(shop, "receiver") as receiver:
        assert receiver.receive(f"{shop}.orders") == ["kept"]


def test_a_user_taken_off_the_list_loses_access_on_its_open_connection(site: Site) -> None:
    shop = site.namespace("shop")
    queue = site.queue(shop, "orders", consumers=[{"name": "receiver"}])
    site.cluster.apply(site.user(shop, "receiver"), queue)
    site.cluster.wait_ready("Queue", shop, "orders")
    with site.client(shop, "receiver") as receiver:
        receiver.consume(f"{shop}.orders")
        site.cluster.apply(site.queue(shop, "orders"))

        def closed() -> bool:
            try:
                receiver.pump()
            except pika.exceptions.AMQPError:
                return True
            return False

        wait_until(closed, "the broker closes the connection", describe=site.cluster.evidence)
    with Client(site.binding(shop, "receiver")) as again:
        assert again.try_get(f"{shop}.orders") == "ACCESS_REFUSED"


def test_the_operator_never_writes_the_spec(first_queue: Site, cluster: Cluster) -> None:
    for kind, namespace, name in (("Queue", "billing", "invoices"), ("BrokerUser", "shop", "checkout")):
        found = first_queue.cluster.get(kind, namespace, name)
        assert found is not None
        assert (found["metadata"]["generation"], condition(found, "Ready")) != (1, None)
        fields = {entry["manager"]: entry["fieldsV1"] for entry in found["metadata"]["managedFields"]}
        assert "channel-operator" in fields
        assert "f:spec" not in fields["channel-operator"]
    assert cluster is first_queue.cluster


def test_a_queue_made_by_hand_after_the_last_look_is_not_taken_for_the_operators_own(site: Site) -> None:
    shop = site.namespace("shop")
    body = {"durable": True, "arguments": {"x-queue-type": "classic"}}
    site.rabbit("PUT", f"/api/queues/{{vhost}}/{shop}.other", body)
    site.cluster.apply(site.queue(shop, "other", deletionPolicy="Delete"))
    refused = site.cluster.wait_reason("Queue", shop, "other", "AdoptionRefused")
    assert "channel-operator.dev/owned" not in refused["metadata"].get("annotations", {})
    site.cluster.delete("Queue", shop, "other")
    site.cluster.wait_gone("Queue", shop, "other")
    assert f"{shop}.other" in site.native_queues()


def test_a_queue_that_says_ready_takes_messages_at_once(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.user(shop, "sender"), site.queue(shop, "first", producers=[{"name": "sender"}]))
    site.cluster.wait_ready("Queue", shop, "first")
    binding = site.binding(shop, "sender")
    answers = {}
    # Many, since what this guards against is a matter of milliseconds.
    for number in range(25):
        name = f"queue-{number}"
        site.cluster.apply(site.queue(shop, name, producers=[{"name": "sender"}]))
        site.cluster.wait_ready("Queue", shop, name)
        with Client(binding) as sender:
            answers[name] = sender.try_publish(f"{shop}.{name}_in")
    assert answers == dict.fromkeys(answers)
