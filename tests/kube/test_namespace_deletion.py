"""A namespace goes as a whole although no broker ever answered: no finalizer of ours keeps it for ever."""

from collections.abc import Iterator

import pytest

from tests.harness.cluster import Cluster, condition
from tests.harness.install import install
from tests.harness.kubeapi import Object
from tests.harness.process import Operator
from tests.harness.site import manifest
from tests.kube.conftest import Kube
from tests.lab.ports import free_port


@pytest.fixture(scope="module")
def cluster(kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run the operator on the API server of this folder; there is no broker."""
    found = Cluster(kube.control_plane)
    settings = {"leader_election": "false", "broker_secret_sweep": "1s"}
    operator = Operator(tmp_path_factory.mktemp("operator"), install(kube.control_plane), settings=settings)
    found.evidence = operator.last_words
    operator.start()
    yield found
    operator.kill()


def _broker(namespace: str) -> Object:
    return manifest(
        "Broker",
        namespace,
        "main",
        {
            "rabbitmq": {"managementUrls": [f"https://localhost:{free_port()}"]},
            "credentials": {"passwordSecretRef": {"name": "admin"}},
        },
    )


def _secret(namespace: str) -> Object:
    metadata = {"name": "admin", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"username": "admin", "password": "not-used"},
    }


def _members(namespace: str, broker: str) -> list[Object]:
    ref = {"brokerRef": {"name": "main", "namespace": broker}}
    queue = {**ref, "producers": [{"name": "sender"}], "deletionPolicy": "Delete", "deadLetter": {}}
    return [manifest("BrokerUser", namespace, "sender", ref), manifest("Queue", namespace, "orders", queue)]


def test_a_namespace_with_a_broker_that_never_answered_goes_with_all_its_channels(cluster: Cluster, kube: Kube) -> None:
    namespace = kube.namespace()
    cluster.apply(_secret(namespace), _broker(namespace), *_members(namespace, namespace))
    cluster.wait_reason("Broker", namespace, "main", "BrokerUnreachable")
    cluster.wait_reason("Queue", namespace, "orders", "BrokerUnreachable")
    cluster.delete("Namespace", None, namespace)
    cluster.wait_gone("Namespace", None, namespace)


def test_a_namespace_whose_references_lead_nowhere_goes(cluster: Cluster, kube: Kube) -> None:
    namespace = kube.namespace()
    cluster.apply(*_members(namespace, "no-such-namespace"))
    cluster.wait_reason("Queue", namespace, "orders", "RefNotFound")
    cluster.delete("Namespace", None, namespace)
    cluster.wait_gone("Namespace", None, namespace)


def test_a_broker_without_credentials_keeps_no_namespace(cluster: Cluster, kube: Kube) -> None:
    """Not even where a channel carries the finalizer of a time in which it still had them."""
    namespace = kube.namespace()
    cluster.apply(_broker(namespace), *_members(namespace, namespace))
    cluster.wait_reason("Broker", namespace, "main", "CredentialsInvalid")
    metadata = {
        "finalizers": ["channel-operator.dev/cleanup"],
        "annotations": {"channel-operator.dev/owned": "created:some-broker/vhost"},
    }
    cluster.patch("Queue", namespace, "orders", {"metadata": metadata})
    cluster.delete("Namespace", None, namespace)
    cluster.wait_gone("Namespace", None, namespace)


def test_a_broker_is_kept_by_a_channel_elsewhere_and_says_so_until_that_one_goes(cluster: Cluster, kube: Kube) -> None:
    """The channels of another team outlive the platform team's namespace by the time they need to say good-bye."""
    home, team = kube.namespace(), kube.namespace()
    cluster.apply(_secret(home), _broker(home), *_members(team, home))
    cluster.wait_reason("Broker", home, "main", "BrokerUnreachable")
    metadata = {
        "finalizers": ["channel-operator.dev/cleanup"],
        "annotations": {"channel-operator.dev/owned": "created:some-broker/vhost"},
    }
    cluster.patch("Queue", team, "orders", {"metadata": metadata})
    cluster.delete("Namespace", None, home)
    found = cluster.wait_reason("Broker", home, "main", "Deleting")
    told = condition(found, "Ready")
    assert told is not None
    assert f"Queue {team}/orders" in told["message"]
    cluster.delete("Namespace", None, team)
    for namespace in (team, home):
        cluster.wait_gone("Namespace", None, namespace)
