"""An operator whose every request passes a proxy that reads along, on its way to the API server and to the broker.

So a test can count its writes, hold them back, or end the operator at one of them. Asserts nothing.
"""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import yaml

from tests.harness.counting_proxy import CountingProxy, Request, is_write
from tests.harness.process import Operator
from tests.harness.world import World

__all__ = ["Guillotine", "Moment", "kubernetes_proxy", "management_proxy", "observed_replica"]

Moment = Literal["before", "after"]


class Guillotine:
    """Ends an operator with SIGKILL at its k-th write, whichever server that goes to."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.fallen: Request | None = None
        """The write at which it fell."""
        self.writes: list[Request] = []
        """The writes since it was armed."""
        self._at = 0
        self._moment: Moment = "after"
        self._lock = threading.Lock()
        self._last: Request | None = None

    def arm(self, at: int, moment: Moment) -> None:
        """Fall at the `at`-th write from now on: before it is forwarded, or when it is done and nobody knows."""
        with self._lock:
            self.fallen, self.writes, self._at, self._moment, self._last = None, [], at, moment, None

    def before(self, request: Request) -> bool:
        """Tell whether to go on, before a request is forwarded."""
        if not is_write(request):
            return True
        with self._lock:
            self.writes.append(request)
            if len(self.writes) != self._at:
                return True
            if self._moment == "after":
                self._last = request
                return True
            return self._fall(request)

    def after(self, request: Request) -> bool:
        """Tell whether to go on, when the answer is there."""
        with self._lock:
            return request is not self._last or self._fall(request)

    def _fall(self, request: Request) -> bool:
        self.fallen = request
        self.operator.kill()
        return False


def management_proxy(world: World) -> CountingProxy:
    """Return a proxy before RabbitMQ's management API, not started."""
    certificate = world.lab.ca.issue("rabbitmq")
    return CountingProxy(world.rabbitmq.management_url, trust=world.rabbitmq.ca_pem, certificate=certificate)


def kubernetes_proxy(world: World) -> CountingProxy:
    """Return a proxy before the API server, not started."""
    certificate = world.lab.ca.issue("kubernetes")
    return CountingProxy(world.control_plane.url, trust=world.control_plane.ca_pem, certificate=certificate)


@contextmanager
def observed_replica(world: World, **settings: str) -> Iterator[tuple[Operator, CountingProxy]]:
    """Make an operator, not started, and the proxy through which it reaches the API server."""
    with kubernetes_proxy(world) as proxy:
        operator = world.replica(url=proxy.url, settings=settings)
        _trust(operator.kubeconfig, world.lab.ca.pem)
        try:
            yield operator, proxy
        finally:
            if operator.running:
                operator.kill()


def _trust(kubeconfig: Path, authority: str) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    for one in config["clusters"]:
        one["cluster"]["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    kubeconfig.write_text(yaml.safe_dump(config))
