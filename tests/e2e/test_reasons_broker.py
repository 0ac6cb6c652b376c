"""What a Broker says of itself, and what its objects say then: each reason as a user reads it."""

from typing import Any

from channel_operator.api.reasons import Reason
from tests.e2e.saying import says, secret
from tests.harness.cluster import condition
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.ports import free_port


def _broker(site: Site, name: str, **spec: Any) -> Object:
    whole = site.broker(**spec)
    return {**whole, "metadata": {**whole["metadata"], "name": name}}


def test_a_broker_whose_secret_is_missing_or_incomplete(world: World) -> None:
    site = world.site()
    home = site.home
    site.cluster.apply(
        _broker(site, "no-secret", credentials={"passwordSecretRef": {"name": "missing"}}),
        secret(home, "no-key", username="admin"),
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
        "no-ca": f'spec.tls.caRef: there is no ConfigMap "{home}/missing". Create it; it is looked for once a minute.',
    }.items():
        says(site, "Broker", home, name, Reason.CREDENTIALS_INVALID, message, on="ResolvedRefs")


def test_a_broker_with_a_wrong_password_and_its_objects_recover_when_it_is_corrected(world: World) -> None:
    site = world.site()
    home = site.home
    site.make_vhost()
    other = Site(world.cluster, world.rabbitmq, spec={"allowedNamespaces": {"from": "All"}})
    other.make_vhost()
    other.home = world.cluster.namespace("messaging")
    right = {"username": world.rabbitmq.admin_user, "password": world.rabbitmq.admin_password}
    wrong = secret(other.home, "rabbitmq-admin", username=right["username"], password="wrong")
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
    other.cluster.apply(secret(other.home, "rabbitmq-admin", **right))
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
    site.make_vhost = lambda: None  # type: ignore[method-assign]  # it is to be missing
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
