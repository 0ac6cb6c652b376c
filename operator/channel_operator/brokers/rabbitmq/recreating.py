"""Puts a new queue in the place of an empty and unused one, losing nothing that comes in meanwhile.

Decides the order of the steps and how to go on after a crash at any of them. A stand-in takes what arrives while there
is no queue, and hands it over. Never decides that a queue should be replaced.
"""

import asyncio
from typing import Final, Protocol

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.amqp import DataPlane
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.emptying import ObjectWriter
from channel_operator.brokers.rabbitmq.http import ManagementClient
from channel_operator.brokers.rabbitmq.messages import count_messages, is_empty
from channel_operator.brokers.rabbitmq.names import STAND_IN_SUFFIX
from channel_operator.brokers.rabbitmq.observe import bindings_of_queue, read_one
from channel_operator.brokers.rabbitmq.resources import DELIVERY_LIMIT, QUEUE_TYPE, Queue
from channel_operator.core.model import Resource, ResourceId
from channel_operator.errors import Blocked, OperatorError, Retry

__all__ = ["Builder", "Recreating"]

_LOOKS: Final = 4
_REPLACEABLE: Final = frozenset({"quorum", "classic"})
"""Queue types that are empty once everything was read; a stream keeps what was read."""


class Builder(ObjectWriter, Protocol):
    """Writes single objects; the writer is one."""

    async def declare(self, rid: ResourceId, wanted: Resource) -> Resource:
        """Make a queue; one that is there as wanted is success. Raises Blocked for one that does not fit."""


class Recreating:
    """Replaces queues over one client; `tick`: seconds between the broker's own counts."""

    def __init__(self, client: ManagementClient, data_plane: DataPlane, builder: Builder, *, tick: float) -> None:
        self._client = client
        self._data_plane = data_plane
        self._builder = builder
        self._tick = tick

    async def recreate(self, wanted: Queue) -> Queue | None:
        """Have the queue as wanted; return the old one if it stays, since it is not empty or somebody consumes.

        Every step leaves messages a way to go. What a crash leaves behind, a stand-in beside a queue or alone, is
        finished by the next call.
        """
        stand_in = _stand_in(wanted)
        found = await read_one(self._client, wanted.id)
        left_over = await read_one(self._client, stand_in.id) is not None
        if isinstance(found, Queue) and found.type not in _REPLACEABLE:
            return found
        if isinstance(found, Queue) and diff(wanted, found) is not None:
            if not left_over and not await self._is_unused(found):
                return found
            if not await self._take_away(found, stand_in):
                return found
            left_over = True
        await self._builder.declare(wanted.id, wanted)
        if left_over:
            await self._hand_over(stand_in, wanted.name)
        return None

    async def _is_unused(self, queue: Queue) -> bool:
        if not self._data_plane.is_configured:
            raise Blocked(
                f"{queue.id} cannot be replaced: what arrives meanwhile is kept over AMQP, and the Broker states no "
                "address in spec.rabbitmq.clients.addresses",
                reason=Reason.IMMUTABLE_ON_BROKER,
            )
        counted = await count_messages(self._client, queue.name)
        return counted is not None and not counted.messages and not counted.consumers

    async def _take_away(self, queue: Queue, stand_in: Queue) -> bool:
        """Have the stand-in take what comes in, and delete the queue if it is empty then."""
        feeds = [binding for binding, _ in await bindings_of_queue(self._client, queue.name)]
        await self._builder.declare(stand_in.id, stand_in)
        for binding in feeds:
            await self._builder.bind(binding._replace(destination=stand_in.name))
        try:
            for binding, key in await bindings_of_queue(self._client, queue.name):
                await self._builder.unbind(binding.id, key)
            if await is_empty(self._client, queue.name, self._data_plane.declared, tick=self._tick):
                await self._builder.remove(queue.id)
                return True
        except OperatorError:
            await self._hand_over(stand_in, queue.name)
            raise
        await self._hand_over(stand_in, queue.name)
        return False

    async def _hand_over(self, stand_in: Queue, queue: str) -> None:
        """Give the queue what the stand-in got, its bindings too, and end the stand-in once it is surely empty."""
        await self._data_plane.move(stand_in.name, queue)
        feeds = await bindings_of_queue(self._client, stand_in.name)
        for binding, _ in feeds:
            await self._builder.bind(binding._replace(destination=queue))
        for binding, key in feeds:
            await self._builder.unbind(binding.id, key)
        for _ in range(_LOOKS):
            await self._data_plane.move(stand_in.name, queue)
            if await is_empty(self._client, stand_in.name, self._data_plane.declared, tick=self._tick):
                await self._builder.remove(stand_in.id)
                return
            await asyncio.sleep(self._tick)  # what the broker counted last is up to a tick old
        raise Retry(f"{stand_in.id} still gets messages, which are handed over to {queue}")


def _stand_in(queue: Queue) -> Queue:
    arguments = ((DELIVERY_LIMIT, -1), (QUEUE_TYPE, "quorum"))
    return Queue(queue.name + STAND_IN_SUFFIX, "quorum", arguments=arguments)
