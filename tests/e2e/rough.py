"""How the tests that are rough with their servers clean up after themselves. Decides nothing about what is right."""

from tests.harness.cluster import Recording
from tests.harness.kubeapi import ApiError, Object
from tests.harness.world import World

__all__ = ["SETTINGS", "status_writes", "tidy"]

SETTINGS = {"broker_secret_sweep": "1s", "ref_grace": "1s", "leader_election": "false"}
"""Of the operators in these tests: what is not watched is looked at often, and a restart waits for no Lease."""

_KINDS = ("Queue", "BrokerUser", "Broker")


def tidy(world: World) -> None:
    """End all operators and take every object of theirs away, finalizers included; the servers go on."""
    for replica in world.replicas:
        if replica.running:
            replica.kill()
    world.replicas.clear()
    for kind in _KINDS:
        for found in world.cluster.objects(kind):
            metadata = found["metadata"]
            try:
                world.cluster.patch(kind, metadata["namespace"], metadata["name"], {"metadata": {"finalizers": None}})
            except ApiError as error:
                if error.status != 404:
                    raise
            world.cluster.delete(kind, metadata["namespace"], metadata["name"])


def status_writes(recording: Recording, before: Object) -> list[Object]:
    """Return every status that an object was given since the version `before`, without what left it unchanged."""
    metadata = before["metadata"]
    found, last = [], before.get("status")
    for version in recording.versions(before["kind"], metadata["namespace"], metadata["name"]):
        if int(version["metadata"]["resourceVersion"]) > int(metadata["resourceVersion"]):
            status = version.get("status")
            if status != last:
                found.append(status)
                last = status
    return found
