"""Messages on a real broker: sent, taken and waited for by plain clients. Decides nothing about what is a fact."""

from collections.abc import Callable
from typing import Any

import pika

from tests.contract.targets import RabbitMQTarget, Scene
from tests.harness.amqp import Client
from tests.harness.waiting import wait_until

__all__ = ["arrived", "consumed", "drained", "send", "settled"]


async def settled(place: RabbitMQTarget, *objects: Any) -> Scene:
    """Return a broker on which these objects are made."""
    scene = Scene(place, await place.session.probe())
    await scene.settle(*objects)
    return scene


def send(client: Client, exchange: str, key: str, *bodies: str, **properties: Any) -> None:
    """Publish bodies one after the other, each confirmed and routed."""
    channel = client.connection.channel()
    channel.confirm_delivery()
    for body in bodies:
        stated = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, **properties)
        channel.basic_publish(exchange, key, body.encode(), stated, mandatory=True)
    channel.close()


def arrived(clients: list[Client], got: Callable[[], bool]) -> Callable[[], bool]:
    """Return a look that lets arrive what arrives, and then asks."""

    def look() -> bool:
        for client in clients:
            client.pump()
        return got()

    return look


def consumed(client: Client, queues: list[str], count: int) -> list[list[str]]:
    """Consume so many messages from these queues; return them queue by queue."""
    found = [client.consume(queue)[1] for queue in queues]
    wait_until(arrived([client], lambda: sum(map(len, found)) == count), f"{count} messages arrive")
    return found


def drained(client: Client, queue: str) -> list[str]:
    """Take what is ready in a queue now."""
    found = []
    while (body := client.get(queue)) is not None:
        found.append(body)
    return found
