"""How the tests that are rough with their servers clean up after themselves. Decides nothing about what is right."""

from concurrent.futures import ThreadPoolExecutor

from tests.harness.cluster import Recording
from tests.harness.kubeapi import ApiError, Object, resource_path
from tests.harness.world import World

__all__ = ["SETTINGS", "status_writes", "tidy"]

SETTINGS = {"broker_secret_sweep": "1s", "ref_grace": "1s", "leader_election": "false"}
"""Of the operators in these tests: what is not watched is looked at often, and a restart waits for no Lease."""

_KINDS = ("Queue", "BrokerUser", "Broker")
_HANDS = 4
_NOT_FOUND = 404


def tidy(world: World) -> None:
    """End all operators and take every object of theirs away, finalizers included; the servers go on."""
    for replica in world.replicas:
        if replica.running:
            replica.kill()
    world.replicas.clear()
    found = [one for kind in _KINDS for one in world.cluster.objects(kind)]
    for kind, namespace in {(one["kind"], one["metadata"]["namespace"]) for one in found}:
        world.cluster.api.request("DELETE", resource_path(kind, namespace))
    with ThreadPoolExecutor(_HANDS) as pool:
        for done in [pool.submit(_let_go, world, one) for one in found if one["metadata"].get("finalizers")]:
            done.result()


def _let_go(world: World, found: Object) -> None:
    kind, namespace, name = found["kind"], found["metadata"]["namespace"], found["metadata"]["name"]
    try:
        world.cluster.patch(kind, namespace, name, {"metadata": {"finalizers": None}})
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise


def status_writes(recording: Recording, before: Object) -> list[Object]:
    """Return every status that an object was given since the version `before`, without what left it unchanged."""
    metadata = before["metadata"]
    found, last = [], before.get("status")
    for version in recording.versions(before["kind"], metadata["namespace"], metadata["name"]):
        if int(version["metadata"]["resourceVersion"]) > int(metadata["resourceVersion"]):
            status: Object = version.get("status") or {}
            if status != last:
                found.append(status)
                last = status
    return found
