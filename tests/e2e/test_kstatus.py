"""What GitOps tools see: kstatus takes every object from in progress to current, or to failed, and no other way."""

from typing import Any

from tests.harness import examples
from tests.harness.cluster import is_ready
from tests.harness.kubeapi import Object
from tests.harness.site import Site, manifest
from tests.harness.world import World
from tests.lab.binaries import kstatus


def states_since_creation(versions: list[Object]) -> list[str]:
    """Return what kstatus says of the versions of an object, repeats left out."""
    states = [one["status"] for one in kstatus(versions)]
    return [state for number, state in enumerate(states) if number == 0 or states[number - 1] != state]


def test_kstatus_of_every_example_goes_from_in_progress_to_current(world: World, site: Site) -> None:
    recording = site.cluster.record("Broker", "BrokerUser", "Queue", "Topic", "Subscription")
    second = Site(site.cluster, site.rabbitmq).start()
    namespaces = {"messaging": second.home, "shop": second.namespace("shop"), "billing": second.namespace("billing")}
    applied: list[tuple[str, str, str]] = [("Broker", second.home, "main")]
    manifests = [one for folder in examples.FOLDERS for one in examples.moved(folder, namespaces)]
    site.cluster.apply(*examples.certificates(manifests, world.lab.ca), *manifests)
    applied += [(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in manifests]
    for key in applied:
        site.cluster.wait_ready(*key)
    recording.stop()
    seen = {key: recording.versions(*key) for key in applied}
    assert {key: is_ready(versions[-1]) for key, versions in seen.items()} == dict.fromkeys(applied, True)
    states = {key: states_since_creation(versions) for key, versions in seen.items()}
    assert states == {key: ["InProgress", "Current"] for key in applied}


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "priorities": ("Queue", {"rabbitmq": {"maxPriority": 5}}, "UnsupportedByBroker"),
    "kafka-settings": ("Queue", {"kafka": {"partitions": 3}}, "UnsupportedByBroker"),
    "foreign-name": ("Queue", {"physicalName": "somebody.elses"}, "NameNotAllowed"),
    "administrator": ("BrokerUser", {"username": "admin"}, "NameNotAllowed"),
}


def test_kstatus_of_refused_manifests_goes_to_failed_and_never_by_current(site: Site) -> None:
    team = site.namespace("team")
    recording = site.cluster.record("Broker", "BrokerUser", "Queue")
    kafka = {
        "kafka": {"bootstrapServers": ["localhost:9093"]},
        "credentials": {"passwordSecretRef": {"name": "rabbitmq-admin"}},
    }
    wanted = {("Broker", site.home, "kafka"): "UnsupportedByBroker"}
    site.cluster.apply(manifest("Broker", site.home, "kafka", kafka))
    for name, (kind, spec, reason) in REFUSED.items():
        wanted[kind, team, name] = reason
        site.cluster.apply(manifest(kind, team, name, {"brokerRef": site.broker_ref, **spec}))
    for key, reason in wanted.items():
        site.cluster.wait_reason(*key, reason)
    recording.stop()
    states = {key: states_since_creation(recording.versions(*key)) for key in wanted}
    assert states == {key: ["InProgress", "Failed"] for key in wanted}
