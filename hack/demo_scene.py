"""Where the demo's promises happen: its servers, and what the operator has asked of them so far. Shows nothing."""

import time

from tests.harness.cluster import Recording, condition
from tests.harness.kubeapi import Object
from tests.harness.process import Metrics
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

__all__ = ["Scene", "message"]

_BROKER_WRITES = ("put_", "post_", "delete_", "close_")
_QUIET_SECONDS = 6.0
"""A Broker sums up its channels at most every five seconds; when nothing was written for longer, nothing is due."""


class Scene:
    """The demo's servers with the examples applied."""

    def __init__(self, world: World, site: Site, recording: Recording) -> None:
        self.world = world
        self.site = site
        self.cluster = world.cluster
        self.recording = recording
        self.look_costs = 0.0
        """Requests to the management API for one look at the whole broker, as first measured."""

    def secrets(self) -> dict[str, str]:
        """Return the version of every Secret; a write to one counts under the same verb as renewing the Lease."""
        found = [one["metadata"] for one in self.cluster.objects("Secret")]
        return {f"{one['namespace']}/{one['name']}": one["resourceVersion"] for one in found}

    def look(self) -> None:
        """Have the operator look at the whole broker."""
        count = self._looks()
        self.cluster.look_now(self.site.home, "main")
        wait_until(lambda: self._looks() > count, "the whole broker is looked at", describe=self.cluster.evidence)

    def _looks(self) -> float:
        return self._metrics().total("channel_operator_broker_request_total", operation="definitions")

    def requests(self) -> float:
        """Return the requests to RabbitMQ so far, without the probes of the data plane, which come by the clock."""
        operations = self._metrics().by("channel_operator_broker_request_total", "operation")
        return sum(count for name, count in operations.items() if name != "amqp_probe")

    def _metrics(self) -> Metrics:
        return self.world.operator.metrics()

    def _writes(self) -> tuple[float, float]:
        """Return the writes so far: to the broker, and to the API server without the Lease's renewals."""
        metrics = self._metrics()
        operations = metrics.by("channel_operator_broker_request_total", "operation")
        verbs = metrics.by("channel_operator_kube_request_total", "verb")
        broker = sum(count for name, count in operations.items() if name.startswith(_BROKER_WRITES))
        return broker, verbs.get("patch", 0) + verbs.get("create", 0) + verbs.get("delete", 0)

    def quiet(self) -> tuple[float, float]:
        """Wait until nothing is written any more and return the writes so far."""
        seen, since = self._writes(), time.monotonic()

        def look() -> bool:
            nonlocal seen, since
            now = self._writes()
            if now != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > _QUIET_SECONDS

        wait_until(look, "the operator becomes quiet", describe=self.cluster.evidence)
        return seen


def message(found: Object) -> str:
    """Return what Ready says."""
    ready = condition(found, "Ready") or {}
    return f"{ready.get('reason')}: {ready.get('message')}"
