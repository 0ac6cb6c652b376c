"""The whole lab in one object: authority, control plane and RabbitMQ, started together and stopped together."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Self

from tests.lab.binaries import ensure
from tests.lab.kubernetes import ControlPlane
from tests.lab.promtool import promtool_path
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.rabbitmq_install import Version, install
from tests.lab.tls import CertificateAuthority

_LOOK = 0.1
"""Seconds between two looks whether a start that is given up has ended."""


def build() -> None:
    """Make everything the lab runs, both RabbitMQ versions included, so that starting takes seconds."""
    ensure()
    promtool_path()
    install("current")
    install("previous")


class Lab:
    """A lab in its own folder. Several can run side by side."""

    def __init__(
        self, state_dir: Path, *, rabbitmq: Version | RabbitMQ = "current", fsync: bool = True, audit: bool = False
    ) -> None:
        """Prepare it. A RabbitMQ that is given belongs to another lab and is neither started nor stopped here."""
        self.state_dir = state_dir
        self.ca = CertificateAuthority.create("lab-ca")
        self.control_plane = ControlPlane(state_dir / "kubernetes", fsync=fsync, audit=audit)
        self._parts: list[ControlPlane | RabbitMQ] = [self.control_plane]
        if isinstance(rabbitmq, RabbitMQ):
            self.rabbitmq = rabbitmq
        else:
            self.rabbitmq = RabbitMQ(state_dir / "rabbitmq", self.ca, version=rabbitmq)
            self._parts.append(self.rabbitmq)

    def start(self) -> Self:
        """Start its servers at the same time and wait for all; stop all if one fails."""
        pool = ThreadPoolExecutor(2)
        started = [pool.submit(part.start) for part in self._parts]
        try:
            for part in started:
                part.result()
        except BaseException:
            self._give_up(started)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return self

    def _give_up(self, started: Sequence[Future[None]]) -> None:
        """End what has begun to start, also after Ctrl-C: once its server is gone, a start ends by itself.

        It may be about to start another process, so the look is repeated. In order takes its time, and RabbitMQ does
        not listen to SIGTERM before it is up: nothing is there yet that could be lost.
        """
        while True:
            for part in self._parts:
                if part.running and not part.external:
                    part.kill()
            if not wait(started, timeout=_LOOK).not_done:
                break
        self.stop()

    def stop(self) -> None:
        """Stop what runs; the folder stays."""
        with ThreadPoolExecutor(2) as pool:
            for part in [pool.submit(part.stop) for part in self._parts]:
                part.result()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
