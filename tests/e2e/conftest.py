"""What the end-to-end tests share: a lab with an operator for those that leave it in peace, fresh ones for others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e import rough as roughness
from tests.harness import examples
from tests.harness.cluster import Cluster
from tests.harness.site import Site
from tests.harness.world import World
from tests.lab.rabbitmq import RabbitMQ

SETTINGS = {"ref_grace": "2s"}
"""Nobody wants to wait a minute to see that a consent stays away."""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Lend the servers and the operator that all tests share: nobody stops, freezes or cuts them."""
    with World(tmp_path_factory.mktemp("world"), settings=SETTINGS) as shared:
        yield shared


@pytest.fixture(scope="session")
def cluster(world: World) -> Cluster:
    """Lend the shared cluster."""
    return world.cluster


@pytest.fixture
def site(world: World) -> Site:
    """Give one test a Broker on a vhost of its own, in the shared servers."""
    return world.site()


@pytest.fixture(scope="session")
def examples_broker(world: World) -> Site:
    """Apply `examples/broker.yaml` and `examples/namespaces.yaml` to the shared servers: messaging/main on vhost /."""
    return examples.platform(world)


@pytest.fixture
def quotes(examples_broker: Site) -> Site:
    """Apply the channels that all programs of docs/clients use, those of examples/request-reply, and empty them."""
    examples.channels(examples_broker, "request-reply")
    examples_broker.purge()
    return examples_broker


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Return a function that starts servers and an operator for one test, to be disturbed at will; options: World."""
    made: list[World] = []

    def make(*, operator: bool = True, **options: object) -> World:
        world = World(tmp_path / f"world-{len(made)}", **options)  # type: ignore[arg-type]  # options of many types
        made.append(world)
        return world.start(operator=operator)

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def own_rabbitmq(world: World, tmp_path: Path) -> Iterator[RabbitMQ]:
    """Give one test a RabbitMQ to disturb; the shared operator works with it through a Site."""
    broker = RabbitMQ(tmp_path / "own-rabbitmq", world.lab.ca)
    broker.start()
    yield broker
    broker.resume()
    broker.stop()


@pytest.fixture(scope="session")
def rough_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Lend servers without an operator, to be stopped, frozen and cut: each test leaves them working."""
    world = World(tmp_path_factory.mktemp("rough"), settings=roughness.SETTINGS)
    try:
        yield world.start(operator=False)
    finally:
        world.stop()


@pytest.fixture(scope="module")
def rough(rough_servers: World) -> Iterator[World]:
    """Lend the servers for rough tests to one module and take away what it made."""
    yield rough_servers
    roughness.tidy(rough_servers)
