"""Each reason a condition can have, as a user reads it: the words, who is stalled, and what GitOps tools make of it.

The last test holds the list of reasons against what is shown here and in the neighbouring modules.
"""

from pathlib import Path
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from tests.harness.cluster import condition, settled_at
from tests.harness.kubeapi import Object
from tests.harness.site import Site, manifest
from tests.harness.world import World
from tests.lab.binaries import kstatus
from tests.lab.ports import free_port
from tests.lab.rabbitmq import RabbitMQ

ELSEWHERE = {
    Reason.BROKER_REPLACED: "test_replaced.py",
}
"""Shown by other modules, which disturb servers of their own."""
LATER = {
    Reason.FILTERS_UNSUPPORTED,  # subscriptions
    Reason.TOPIC_DELETION_DISABLED,  # Kafka
    Reason.TOO_MANY_POLICIES,  # settings by policy
    Reason.POLICY_SHADOWED,
    Reason.DEAD_LETTER_CYCLE,  # another Queue as the dead-letter queue
    Reason.BRAKE_ENGAGED,
    Reason.CLIENT_ENFORCED,  # so far nothing is left to the client: what the broker cannot do is refused
    Reason.PLUGIN_MISSING,  # the lab's RabbitMQ has the plugin, and sharding is refused as not supported yet
}
"""Those of what is not there yet. Whoever builds it moves its reason away from here."""
AS_EVENTS = {Reason.RETAINED: "Retained", Reason.ORPHANED: "Orphaned"}
"""Told as Events, because the object is gone then."""


def says(
    site: Site, kind: str, namespace: str, name: str, reason: Reason, message: str, *, on: str, stalled: bool = True
) -> Object:
    """Wait for a reason and hold everything a user and a GitOps tool see against it."""
    found = site.cluster.wait_reason(kind, namespace, name, str(reason))
    expected = ("False" if stalled else "Unknown", str(reason), message)
    for which in (on, "Ready"):
        shown = condition(found, which)
        assert shown is not None, which
        assert (shown["status"], shown["reason"], shown["message"]) == expected, which
    marker, other = ("Stalled", "Reconciling") if stalled else ("Reconciling", "Stalled")
    shown = condition(found, marker)
    assert shown is not None
    assert (shown["status"], shown["reason"], shown["message"]) == ("True", str(reason), message)
    assert condition(found, other) is None
    assert settled_at(found)
    assert kstatus([found])[0]["status"] == ("Failed" if stalled else "InProgress")
    return found


# -- what a Broker says --------------------------------------------------------------------------------------------


def _broker(site: Site, name: str, **spec: Any) -> Object:
    whole = site.broker(**spec)
    return {**whole, "metadata": {**whole["metadata"], "name": name}}


def test_a_broker_whose_secret_is_missing_or_incomplete(world: World) -> None:
    site = world.site()
    home = site.home
    site.cluster.apply(
        _broker(site, "no-secret", credentials={"passwordSecretRef": {"name": "missing"}}),
        _secret(home, "no-key", username="admin"),
        _broker(site, "no-key", credentials={"passwordSecretRef": {"name": "no-key"}}),
        _broker(site, "no-ca", tls={"caRef": {"kind": "ConfigMap", "name": "missing", "key": "ca.crt"}}),
    )
    for name, message in {
        "no-secret": (
            f'spec.credentials.passwordSecretRef: there is no Secret "{home}/missing". '
            "Create it; it is looked for once a minute."
        ),
        "no-key": (
            f'spec.credentials.passwordSecretRef: Secret "{home}/no-key" has no key "password" or it is empty. Add it.'
        ),
        "no-ca": (
            f'spec.tls.caRef: ConfigMap "{home}/missing" is not there, or its key "ca.crt" is not a certificate '
            "in PEM form. Put the certificate of the authority there."
        ),
    }.items():
        says(site, "Broker", home, name, Reason.CREDENTIALS_INVALID, message, on="ResolvedRefs")


def _secret(namespace: str, name: str, **entries: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries}


def test_a_broker_with_a_wrong_password_and_its_objects_recover_when_it_is_corrected(world: World) -> None:
    site = world.site()
    home = site.home
    site.make_vhost()
    other = Site(world.cluster, world.rabbitmq, spec={"allowedNamespaces": {"from": "All"}})
    other.make_vhost()
    other.home = world.cluster.namespace("messaging")
    right = {"username": world.rabbitmq.admin_user, "password": world.rabbitmq.admin_password}
    wrong = _secret(other.home, "rabbitmq-admin", username=right["username"], password="wrong")
    ca = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rabbitmq-ca", "namespace": other.home},
        "data": {"ca.crt": world.rabbitmq.ca_pem},
    }
    other.cluster.apply(wrong, ca, other.broker(), other.queue(home, "orders"))
    where = f"RabbitMQ at https://localhost:{world.rabbitmq.management_port} (Broker {other.home}/main)"
    says(
        other,
        "Broker",
        other.home,
        "main",
        Reason.CREDENTIALS_INVALID,
        f'{where}: refused the login of user "{right["username"]}"; correct the Secret that '
        "spec.credentials.passwordSecretRef names",
        on="Reachable",
    )
    says(
        other,
        "Queue",
        home,
        "orders",
        Reason.REF_NOT_READY,
        f"spec.brokerRef: Broker {other.home}/main cannot be used (CredentialsInvalid); see its status.",
        on="ResolvedRefs",
        stalled=False,
    )
    other.cluster.apply(_secret(other.home, "rabbitmq-admin", **right))
    other.cluster.look_now(other.home, "main")
    other.cluster.wait_ready("Broker", other.home, "main")
    other.cluster.wait_ready("Queue", home, "orders")


def test_a_broker_where_nothing_listens(world: World) -> None:
    port = free_port()
    site = Site(world.cluster, world.rabbitmq, management_port=port)
    site.start(wait=False)
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    text = (
        f"Management plane: RabbitMQ at https://localhost:{port} (Broker {site.home}/main): "
        "nothing listens there; check that the broker runs, and the port"
    )
    for which, status in (("Reachable", "False"), ("Ready", "False"), ("Reconciling", "True")):
        shown = condition(found, which)
        assert shown is not None
        assert (shown["status"], shown["reason"], shown["message"]) == (status, "BrokerUnreachable", text)
    assert condition(found, "Stalled") is None
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders"))
    says(
        site,
        "Queue",
        shop,
        "orders",
        Reason.BROKER_UNREACHABLE,
        f"Broker {site.home}/main does not answer; this goes on by itself once it does. See its status.",
        on="Programmed",
        stalled=False,
    )


def test_a_broker_whose_data_plane_does_not_answer_says_which_plane(world: World) -> None:
    port = free_port()
    site = Site(world.cluster, world.rabbitmq, amqps_port=port)
    site.start(wait=False)
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    shown = condition(found, "Reachable")
    assert shown is not None
    assert shown["message"] == (
        f"Management plane: answers. Data plane: AMQP at localhost:{port} (Broker {site.home}/main): "
        "nothing listens there; check that the broker runs, and the port"
    )


def test_a_virtual_host_that_is_not_there(world: World) -> None:
    site = Site(world.cluster, world.rabbitmq, vhost=f"absent-{free_port()}")
    site.make_vhost = lambda: None  # type: ignore[method-assign]
    site.start(wait=False)
    found = site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    shown = condition(found, "Reachable")
    assert shown is not None
    assert f'there is no virtual host "{site.vhost}" (spec.rabbitmq.vhost); create it at the broker' in shown["message"]


def test_two_brokers_that_lead_to_one_virtual_host(world: World) -> None:
    site = world.site()
    site.cluster.wait_older("Broker", site.home, "main")
    shop = site.namespace("shop")
    younger = _broker(site, "younger")
    site.cluster.apply(younger, site.queue(shop, "orders", brokerRef={"name": "younger", "namespace": site.home}))
    says(
        site,
        "Broker",
        site.home,
        "younger",
        Reason.NAME_CONFLICT,
        f"The older Broker {site.home}/main leads to the same virtual host. Use that one (it can admit other "
        "namespaces in spec.allowedNamespaces) and delete this one.",
        on="Accepted",
    )
    site.cluster.wait_reason("Queue", shop, "orders", "RefNotReady")
    assert site.native_queues() == {}


def test_work_in_progress_is_told_with_the_brokers_words(site: Site) -> None:
    # The virtual host is deleted under a Broker that is connected.
    shop = site.namespace("shop")
    site.rabbit("DELETE", "/api/vhosts/{vhost}")
    site.cluster.apply(site.queue(shop, "orders"))
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.PROGRESSING))
    shown = condition(found, "Reconciling")
    assert shown is not None
    assert shown["message"] == (
        f"RabbitMQ at https://localhost:{site.rabbitmq.management_port} (Broker {site.home}/main): "
        "what was asked for is not there (HTTP 404)"
    )
    assert kstatus([found])[0]["status"] == "InProgress"
    site.make_vhost()
    site.cluster.wait_ready("Queue", shop, "orders")


def test_a_kafka_broker_is_refused_and_so_told_to_its_objects(site: Site) -> None:
    kafka = {
        **_broker(site, "kafka"),
        "spec": {
            "kafka": {"bootstrapServers": ["localhost:9093"]},
            "credentials": {"passwordSecretRef": {"name": "rabbitmq-admin"}},
        },
    }
    queue = site.queue(site.home, "orders", brokerRef={"name": "kafka"})
    site.cluster.apply(kafka, queue)
    says(
        site,
        "Broker",
        site.home,
        "kafka",
        Reason.UNSUPPORTED_BY_BROKER,
        "spec.kafka: Kafka is not supported by this version of the operator yet. "
        "Use a Broker with spec.rabbitmq, or wait for it.",
        on="Accepted",
    )
    says(
        site,
        "Queue",
        site.home,
        "orders",
        Reason.REF_NOT_READY,
        f'spec.brokerRef: Broker "{site.home}/kafka" is not accepted itself; see its status.',
        on="ResolvedRefs",
        stalled=False,
    )


# -- references ----------------------------------------------------------------------------------------------------


def test_a_broker_that_does_not_exist_is_waited_for(site: Site) -> None:
    shop = site.namespace("shop")
    message = f'spec.brokerRef: there is no Broker "{shop}/missing" (yet). Create it, or correct the reference.'
    site.cluster.apply(
        site.queue(shop, "orders", brokerRef={"name": "missing"}),
        site.user(shop, "user", brokerRef={"name": "missing"}),
    )
    for kind, name in (("Queue", "orders"), ("BrokerUser", "user")):
        says(site, kind, shop, name, Reason.REF_NOT_FOUND, message, on="ResolvedRefs", stalled=False)


def test_a_secret_that_belongs_to_somebody_else_is_not_overwritten(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(_secret(shop, "user-binding", theirs="untouched"), site.user(shop, "user"))
    says(
        site,
        "BrokerUser",
        shop,
        "user",
        Reason.SECRET_CONFLICT,
        f'spec.secret.name: a Secret "{shop}/user-binding" exists and does not belong to this BrokerUser. '
        "Delete it or choose another name.",
        on="Programmed",
    )
    assert site.cluster.secret(shop, "user-binding") == {"theirs": "untouched"}
    site.cluster.delete("Secret", shop, "user-binding")
    site.cluster.look_now(shop, "user", kind="BrokerUser")
    site.cluster.wait_ready("BrokerUser", shop, "user")
    assert site.binding(shop, "user")["username"] == f"{shop}.user"


# -- what this version does not do ---------------------------------------------------------------------------------

UNSUPPORTED_ON_A_QUEUE: dict[str, tuple[dict[str, Any], str]] = {
    "strict order": (
        {"ordering": "Strict"},
        "spec.ordering: Strict is not supported by this version of the operator on RabbitMQ yet; remove it",
    ),
    "order per key": (
        {"ordering": "PerKey", "shards": 4},
        "spec.ordering: PerKey is not supported by this version of the operator on RabbitMQ yet; remove it",
    ),
    "backoff": (
        {"retry": {"maxDeliveries": 5, "backoff": {"initial": "1s", "max": "1m"}}},
        (
            "spec.retry.backoff: a delay between tries is not supported by this version of the operator on RabbitMQ "
            "yet; remove it"
        ),
    ),
    "another queue for dead letters": (
        {"deadLetter": {"queueRef": {"name": "failed"}}},
        (
            "spec.deadLetter.queueRef: another Queue as the dead-letter queue is not supported by this version of the "
            "operator on RabbitMQ yet; remove it"
        ),
    ),
    "dead letters at least once": (
        {"deadLetter": {"strategy": "AtLeastOnce"}},
        (
            "spec.deadLetter.strategy: AtLeastOnce is not supported by this version of the operator on RabbitMQ yet; "
            "remove it"
        ),
    ),
    "a timeout": (
        {"ackTimeout": "5m"},
        (
            "spec.ackTimeout: a timeout for acknowledgements is not supported by this version of the operator on "
            "RabbitMQ yet; remove it"
        ),
    ),
    "a classic queue": (
        {"rabbitmq": {"type": "Classic"}},
        "spec.rabbitmq.type: Classic is not supported by this version of the operator on RabbitMQ yet; remove it",
    ),
    "settings by policy": (
        {"rabbitmq": {"settings": "Policy"}},
        "spec.rabbitmq.settings: Policy is not supported by this version of the operator on RabbitMQ yet; remove it",
    ),
    "priorities": (
        {"rabbitmq": {"maxPriority": 5}},
        "spec.rabbitmq.maxPriority: quorum queues have built-in priorities and take no maximum; remove it",
    ),
    "settings of Kafka": (
        {"kafka": {"partitions": 3}},
        "spec.kafka: the Broker is RabbitMQ {version}, which knows none of these settings; remove it",
    ),
    "a time to live that RabbitMQ refuses": (
        {"messageTTL": "99999h"},
        (
            "spec.messageTTL: RabbitMQ {version} takes at most 87600h (ten years); state less, or remove the field to "
            "keep messages for ever"
        ),
    ),
}
UNSUPPORTED_ON_A_USER: dict[str, dict[str, Any]] = {
    "a certificate": {"authentication": {"type": "TLS", "certificateSecretRef": {"name": "certificate"}}},
    "rotation": {"rotation": {"every": "24h", "overlap": "1h"}},
}


@pytest.fixture(scope="module")
def shared(world: World) -> Site:
    """Make one Broker for the tests that write nothing to it."""
    return world.site()


@pytest.mark.parametrize("what", UNSUPPORTED_ON_A_QUEUE)
def test_a_queue_that_asks_for_what_is_not_there_is_told_which_field(shared: Site, what: str) -> None:
    shop = shared.namespace("shop")
    spec, message = UNSUPPORTED_ON_A_QUEUE[what]
    shared.cluster.apply(shared.queue(shop, "orders", **spec))
    message = message.format(version=shared.rabbitmq.version)
    says(shared, "Queue", shop, "orders", Reason.UNSUPPORTED_BY_BROKER, message, on="Accepted")
    assert not [name for name in shared.native_queues() if name.startswith(shop)]


@pytest.mark.parametrize("what", UNSUPPORTED_ON_A_USER)
def test_a_user_that_asks_for_what_is_not_there_is_told_which_field(shared: Site, what: str) -> None:
    shop = shared.namespace("shop")
    shared.cluster.apply(shared.user(shop, "user", **UNSUPPORTED_ON_A_USER[what]))
    found = shared.cluster.wait_reason("BrokerUser", shop, "user", "UnsupportedByBroker")
    stalled = condition(found, "Stalled")
    assert stalled is not None
    field = {"a certificate": "spec.authentication", "rotation": "spec.rotation"}[what]
    assert stalled["message"].startswith(f"{field}")
    assert stalled["message"].endswith("is not supported by this version of the operator on RabbitMQ yet; remove it")
    assert shared.cluster.get("Secret", shop, "user-binding") is None
    assert f"{shop}.user" not in shared.permissions()


def test_a_topic_and_a_subscription_are_refused_by_name(shared: Site) -> None:
    shop = shared.namespace("shop")
    topic = manifest("Topic", shop, "events", {"brokerRef": shared.broker_ref})
    subscription = manifest("Subscription", shop, "mailer", {"topicRef": {"name": "events"}})
    shared.cluster.apply(topic, subscription)
    for kind, name in (("Topic", "events"), ("Subscription", "mailer")):
        message = f"A {kind} cannot be made by this version of the operator yet. Use a Queue, or wait for it."
        says(shared, kind, shop, name, Reason.UNSUPPORTED_BY_BROKER, message, on="Accepted")


def test_a_broker_version_without_delayed_retry_is_named(world: World, tmp_path: Path) -> None:
    older = RabbitMQ(tmp_path / "previous", world.lab.ca, version="previous")
    older.start()
    try:
        site = Site(world.cluster, older).start()
        shop = site.namespace("shop")
        retry = {"maxDeliveries": 5, "backoff": {"initial": "1s", "max": "1m"}}
        site.cluster.apply(site.queue(shop, "orders", retry=retry))
        says(
            site,
            "Queue",
            shop,
            "orders",
            Reason.BROKER_VERSION_TOO_OLD,
            f"spec.retry.backoff: RabbitMQ {older.version} cannot delay a retry, which came with 4.3; "
            "upgrade the broker, or remove the field",
            on="Accepted",
        )
        site.cluster.apply(site.queue(shop, "orders", retry={"maxDeliveries": 5}))
        site.cluster.wait_ready("Queue", shop, "orders")
    finally:
        older.stop()


# -- the broker says no --------------------------------------------------------------------------------------------


def test_a_limit_of_the_virtual_host_is_told_and_the_queue_comes_once_it_is_raised(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.rabbit("PUT", "/api/vhost-limits/{vhost}/max-queues", {"value": 0})
    site.cluster.apply(site.queue(shop, "orders"))
    says(
        site,
        "Queue",
        shop,
        "orders",
        Reason.BROKER_REFUSED,
        f"RabbitMQ at https://localhost:{world.rabbitmq.management_port} (Broker {site.home}/main): refused the change "
        "(HTTP 400); usually a limit of the broker: its log says why",
        on="Programmed",
    )
    site.rabbit("DELETE", "/api/vhost-limits/{vhost}/max-queues")
    site.cluster.look_now(shop, "orders", kind="Queue")
    site.cluster.wait_ready("Queue", shop, "orders")


# -- deletion and disabling ----------------------------------------------------------------------------------------


def test_a_deletion_says_what_it_waits_for_and_lets_go_when_its_time_is_over(world: World) -> None:
    proxy = world.proxy(world.rabbitmq.management_port)
    site = world.site(management_port=proxy.port, spec={"deletionTimeout": "6s"})
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders", deletionPolicy="Delete"))
    site.cluster.wait_ready("Queue", shop, "orders")
    proxy.refuse()
    proxy.cut()
    site.cluster.look_now(site.home, "main")
    site.cluster.wait_reason("Broker", site.home, "main", "BrokerUnreachable")
    site.cluster.delete("Queue", shop, "orders")
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.DELETING))
    shown = condition(found, "Ready")
    assert shown is not None
    assert shown["message"].startswith(f"Being deleted; waits for Broker {site.home}/main, at most ")
    assert kstatus([found])[0]["status"] == "Terminating"
    site.cluster.wait_gone("Queue", shop, "orders")
    event = site.cluster.wait_event(shop, "orders", AS_EVENTS[Reason.ORPHANED])
    assert event["type"] == "Warning"
    assert event["message"] == (
        f"Released although Broker {site.home}/main could not be asked; {shop}.orders may still be there."
    )
    proxy.forward()
    site.cluster.wait_ready("Broker", site.home, "main")
    assert f"{shop}.orders" in site.native_queues()


def test_a_retained_queue_is_told_when_its_manifest_goes(site: Site) -> None:
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders"))
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.delete("Queue", shop, "orders")
    site.cluster.wait_gone("Queue", shop, "orders")
    event = site.cluster.wait_event(shop, "orders", AS_EVENTS[Reason.RETAINED])
    assert event["message"] == f"{shop}.orders was kept on {site.home}/main; access was withdrawn."


def test_an_object_that_is_only_watched_says_so(world: World) -> None:
    site = world.site()
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Observe"))
    found = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.OBSERVED))
    drifted, programmed = condition(found, "Drifted"), condition(found, "Programmed")
    assert drifted is not None
    assert programmed is not None
    assert drifted["status"] == "True"
    assert programmed["message"] == "The broker differs; under Observe nothing is written."
    assert found["status"]["plan"]["changes"] == [
        f"+ exchange {shop}.orders_in (fanout)",
        f"+ queue {shop}.orders (quorum)",
        f"+ binding {shop}.orders_in → {shop}.orders",
    ]
    assert site.native_queues() == {}
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Full"))
    site.cluster.wait_reason("Queue", shop, "orders", str(Reason.PROGRAMMED))
    site.cluster.apply(site.queue(shop, "orders", managementPolicy="Observe"))
    watched = site.cluster.wait_reason("Queue", shop, "orders", str(Reason.OBSERVED))
    shown = condition(watched, "Ready")
    assert shown is not None
    assert (shown["status"], shown["message"]) == ("True", "The broker matches the manifest and is only watched.")
    assert kstatus([watched])[0]["status"] == "Current"


# -- the list ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def texts() -> str:
    """Read this module and its neighbours."""
    folder = Path(__file__).parent
    modules = [
        path
        for pattern in ("test_access*.py", "test_names*.py", "test_manifests*.py", "test_reasons*.py")
        for path in folder.glob(pattern)
    ]
    return "\n".join(path.read_text() for path in modules)


def test_every_reason_of_this_slice_is_shown_on_real_servers(texts: str) -> None:
    def shown(reason: Reason) -> bool:
        asserted = texts.replace("from channel_operator", "")
        return f'"{reason}"' in asserted or asserted.count(f"Reason.{reason.name}") > (reason in LATER)

    missing = {str(reason) for reason in Reason if not shown(reason)} - set(map(str, LATER)) - set(map(str, ELSEWHERE))
    assert missing == set()
    for reason, module in ELSEWHERE.items():
        assert str(reason) in (Path(__file__).parent / module).read_text()
