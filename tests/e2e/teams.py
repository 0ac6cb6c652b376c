"""A namespace with a sender, a receiver and queues for both: what most tests of this folder begin with."""

from collections.abc import Mapping
from typing import Any

from tests.harness.kubeapi import Object
from tests.harness.site import Site

__all__ = ["DEAD", "RECEIVER", "SENDER", "make_team", "queue", "send"]

SENDER, RECEIVER = [{"name": "sender"}], [{"name": "receiver"}]
DEAD = {"consumers": RECEIVER}


def make_team(site: Site, queues: Mapping[str, Mapping[str, Any]]) -> str:
    """Make a namespace with a sender, a receiver and queues that both may use; wait until all are Ready."""
    team = site.namespace()
    site.cluster.apply(site.user(team, "sender"), site.user(team, "receiver"))
    for name, spec in queues.items():
        site.cluster.apply(queue(site, team, name, **spec))
    for name in queues:
        site.cluster.wait_ready("Queue", team, name)
    for name in ("sender", "receiver"):
        site.cluster.wait_ready("BrokerUser", team, name)
    for name in queues:
        # Ready does not wait for users; nothing shall be on its way when the test begins.
        site.cluster.wait_for("Queue", team, name, _all_granted, "shows every grant as given")
    return team


def _all_granted(found: Object) -> bool:
    return {one["state"] for one in found["status"].get("grants") or ()} == {"Granted"}


def send(site: Site, team: str, *queues: str) -> None:
    """Send one message to each queue."""
    with site.client(team, "sender") as sender:
        for name in queues:
            sender.publish(f"{team}.{name}_in", f"for {name}")


def queue(site: Site, team: str, name: str, **spec: Any) -> Object:
    """Return the manifest of a queue that the team's sender and receiver may use."""
    return site.queue(team, name, **{"producers": SENDER, "consumers": RECEIVER, **spec})
