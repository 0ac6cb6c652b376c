"""A cluster, a broker and an operator that belong together, started and stopped as one. Asserts nothing."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from tests.harness.cluster import Cluster
from tests.harness.install import Installation, install
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.lab.proxy import FaultProxy
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.rabbitmq_install import Version
from tests.lab.setup import Lab

__all__ = ["World"]


class World:
    """The lab with the operator installed from its chart and running. Several can run side by side."""

    def __init__(
        self,
        folder: Path,
        *,
        rabbitmq: Version | RabbitMQ = "current",
        settings: Mapping[str, str] | None = None,
        fsync: bool = False,
        audit: bool = False,
    ) -> None:
        """Prepare it. `settings`: of every replica of the operator, see Operator; the rest: see Lab."""
        self.folder = folder
        self.lab = Lab(folder, rabbitmq=rabbitmq, fsync=fsync, audit=audit)
        self.control_plane = self.lab.control_plane
        self.rabbitmq = self.lab.rabbitmq
        self.settings = dict(settings or {})
        self.replicas: list[Operator] = []
        self._proxies: list[FaultProxy] = []
        self.installation: Installation
        self.cluster: Cluster

    @property
    def operator(self) -> Operator:
        """The first replica."""
        return self.replicas[0]

    def start(self, *, operator: bool = True) -> Self:
        """Start the servers, install from the chart, and start one operator unless told otherwise."""
        self.lab.start()
        try:
            self.installation = install(self.control_plane)
            self.cluster = Cluster(self.control_plane)
            self.cluster.evidence = self.last_words
            if operator:
                self.replica().start()
        except BaseException:
            self.stop()
            raise
        return self

    def replica(self, *, settings: Mapping[str, str] | None = None, url: str | None = None) -> Operator:
        """Make one more operator, not started; `url` is another way to the API server, for example a proxy's."""
        folder = self.folder / f"operator-{len(self.replicas)}"
        made = Operator(folder, self.installation, settings={**self.settings, **(settings or {})}, url=url)
        self.replicas.append(made)
        return made

    def proxy(self, port: int) -> FaultProxy:
        """Put a proxy before a port of this machine."""
        made = FaultProxy("127.0.0.1", port).start()
        self._proxies.append(made)
        return made

    def site(self, **options: Any) -> Site:
        """Make a Broker on a vhost of its own on this RabbitMQ; options: see Site."""
        return Site(self.cluster, self.rabbitmq, **options).start()

    def look(self, site: Site) -> None:
        """Have the first operator look at a site's whole broker, and wait until it has."""

        def last() -> float:
            name = "channel_operator_broker_observed_timestamp_seconds"
            return self.operator.metrics().total(name, broker=f"{site.home}/main")

        before = last()
        self.cluster.look_now(site.home, "main")
        wait_until(lambda: last() > before, "the whole broker is looked at", describe=self.last_words)

    def stop(self) -> None:
        """Stop everything; a frozen part is ended too."""
        running = [one for one in self.replicas if one.running]
        for proxy in self._proxies:
            proxy.stop()
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(one.kill) for one in running] + [pool.submit(self.lab.stop)]:
                done.result()

    def last_words(self) -> str:
        """Return the end of every operator's log."""
        return "\n".join(one.last_words() for one in self.replicas)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
