"""Real brokers for this folder, one of each version, started when a test first asks for it."""

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.contract.targets import FakeTarget, RabbitMQTarget, Scene
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.rabbitmq_install import Version
from tests.lab.tls import CertificateAuthority

TARGETS = ["fake", "current", "previous"]


class Brokers:
    """The brokers that were asked for."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._running: dict[str, RabbitMQ] = {}

    def get(self, version: Version) -> RabbitMQ:
        """Return the running broker of this version."""
        if version not in self._running:
            broker = RabbitMQ(self._factory.mktemp(version), CertificateAuthority.create("contract"), version=version)
            broker.start()
            self._running[version] = broker
        return self._running[version]

    def stop(self) -> None:
        """End them."""
        for broker in self._running.values():
            broker.stop()


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    started = Brokers(tmp_path_factory)
    yield started
    started.stop()


@pytest.fixture(params=["current", "previous"])
def rabbitmq(request: pytest.FixtureRequest, brokers: Brokers) -> RabbitMQ:
    """Each version in turn."""
    return brokers.get(request.param)


@pytest.fixture
def newest(brokers: Brokers) -> RabbitMQ:
    """Return the version the tests are written for; for what does not depend on the version."""
    return brokers.get("current")


@pytest.fixture
def operator_id() -> str:
    return f"op-{secrets.token_hex(4)}"


@pytest.fixture(params=TARGETS)
async def scene(request: pytest.FixtureRequest, operator_id: str) -> AsyncIterator[Scene]:
    """Give an empty place on each kind of broker."""
    target: FakeTarget | RabbitMQTarget
    if request.param == "fake":
        target = FakeTarget(operator_id)
    else:
        brokers: Brokers = request.getfixturevalue("brokers")
        target = RabbitMQTarget(brokers.get(request.param), operator_id)
    try:
        yield Scene(target, await target.session.probe())
    finally:
        await target.remove()


@pytest.fixture
async def place(newest: RabbitMQ, operator_id: str) -> AsyncIterator[RabbitMQTarget]:
    """Give a virtual host of its own on the newest version."""
    target = RabbitMQTarget(newest, operator_id)
    yield target
    await target.remove()


@pytest.fixture
async def each(rabbitmq: RabbitMQ, operator_id: str) -> AsyncIterator[RabbitMQTarget]:
    """Give a virtual host of its own on each version."""
    target = RabbitMQTarget(rabbitmq, operator_id)
    yield target
    await target.remove()
