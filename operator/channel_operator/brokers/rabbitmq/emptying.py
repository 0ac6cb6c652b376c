"""Deletes the queues of one channel if none of them holds a message: all of them or none.

Decides whether what is there may go. Never decides which queues are to go, nor what else goes with them.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from channel_operator.brokers.rabbitmq import streams
from channel_operator.brokers.rabbitmq.amqp import DataPlane
from channel_operator.brokers.rabbitmq.arguments import STREAM
from channel_operator.brokers.rabbitmq.graph import is_dead_letter_queue
from channel_operator.brokers.rabbitmq.http import ManagementClient
from channel_operator.brokers.rabbitmq.messages import count_messages, is_empty
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.observe import bindings_of_queue, read_one
from channel_operator.brokers.rabbitmq.resources import Binding, Queue
from channel_operator.core.model import ResourceId
from channel_operator.errors import OperatorError, Retry, Unreachable

__all__ = ["Emptying", "ObjectWriter"]

_COUNTABLE: Final = frozenset({"quorum", "classic", "stream"})
"""Queue types whose messages can be counted; of any other none is deleted as empty. Of a stream all that it keeps
count, those that were read too (RabbitMQ itself deletes a stream as empty whatever is in it)."""


class ObjectWriter(Protocol):
    """Writes single objects; the writer is one."""

    async def bind(self, binding: Binding) -> None:
        """Make a binding. Raises Retry when one of its ends is not there."""

    async def unbind(self, rid: ResourceId, key: str) -> None:
        """Take a binding away; already gone is success."""

    async def remove(self, rid: ResourceId) -> None:
        """Delete an object with all it holds; already gone is success."""


def _feeding(queue: Queue) -> Binding:
    return streams.feeding(queue.name) if queue.type == STREAM else ChannelNames.feeding(queue.name)


class Emptying:
    """Deletes empty queues over one client; `tick`: seconds between the broker's own counts."""

    def __init__(self, client: ManagementClient, data_plane: DataPlane, writer: ObjectWriter, *, tick: float) -> None:
        self._client = client
        self._data_plane = data_plane
        self._writer = writer
        self._tick = tick

    async def delete(self, ids: Sequence[ResourceId]) -> Mapping[ResourceId, Queue]:
        """Cut the queues off, look twice, delete; put all back as they were if there is anything in one.

        Returns those that stay, as they are; without any, all are gone. A shard alone never goes: which one a key
        leads to follows from their number.
        """
        read = await asyncio.gather(*(read_one(self._client, rid) for rid in ids))
        found = {queue.id: queue for queue in read if isinstance(queue, Queue)}
        if not all(queue.type in _COUNTABLE for queue in found.values()):
            return found
        # Whoever was to do this before may have ended between cutting a queue off and putting it back. Dead letters
        # are deleted after what they come from, or because they are to go elsewhere: nothing is to feed them again.
        cut = [_feeding(queue) for rid, queue in found.items() if not is_dead_letter_queue(rid)]
        counted = await asyncio.gather(*(count_messages(self._client, queue.name) for queue in found.values()))
        if any(count is not None and count.messages for count in counted):
            await self._restore(cut)
            return found
        try:
            for queue in found.values():
                await self._cut_off(queue, cut)
            empty = await self._are_empty(found)
        except OperatorError:
            await self._restore(cut)
            raise
        if not empty:
            await self._restore(cut)
            return found
        await self._remove(found, cut)
        return {}

    async def _remove(self, ids: Iterable[ResourceId], cut: Sequence[Binding]) -> None:
        """Delete them. Once one may be gone nothing is put back: the others would fill, and stay without it."""
        for number, rid in enumerate(ids):
            try:
                await self._writer.remove(rid)
            except OperatorError as error:
                if number == 0 and not isinstance(error, Unreachable):
                    await self._restore(cut)
                raise

    async def _cut_off(self, queue: Queue, cut: list[Binding]) -> None:
        for binding, key in await bindings_of_queue(self._client, queue.name):
            await self._writer.unbind(binding.id, key)
            if binding not in cut:
                cut.append(binding)

    async def _are_empty(self, found: Mapping[ResourceId, Queue]) -> bool:
        passive = self._data_plane.declared if self._data_plane.is_configured else None
        looks = (is_empty(self._client, queue.name, passive, tick=self._tick) for queue in found.values())
        return all(await asyncio.gather(*looks))

    async def _restore(self, cut: Sequence[Binding]) -> None:
        for binding in cut:
            try:
                await self._writer.bind(binding)
            except Retry:
                continue  # its exchange is gone, or the broker is: there is nothing to bind to
