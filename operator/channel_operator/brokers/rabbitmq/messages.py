"""Whether a queue is empty, seen from both planes. Decides when a queue may be deleted as empty. Never deletes one."""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple

from channel_operator.brokers.rabbitmq.http import ManagementClient, path
from channel_operator.errors import Retry

__all__ = ["STATISTICS_TICK", "Count", "count_messages", "is_empty"]

STATISTICS_TICK: Final = 5.0
"""Seconds between the broker's own counts of a queue (quorum queues and management statistics alike)."""
_MARGIN: Final = 0.6
_LOOKS: Final = 4
_LOOKS_EMPTY: Final = 2


class Count(NamedTuple):
    """Messages of a queue, those that consumers hold included, and its consumers."""

    messages: int
    consumers: int


async def count_messages(client: ManagementClient, name: str) -> Count | None:
    """Read what the management plane last counted: up to one tick old.

    None when the queue is not there, or when there are no figures: a queue just declared, or statistics that are off.
    """
    target = path("queues", client.vhost, name)
    answer = await client.get("count_messages", target, accept=(HTTPStatus.NOT_FOUND,))
    if not answer.ok or not isinstance(answer.data, dict):
        return None
    figures = [answer.data.get(key) for key in ("messages_ready", "messages_unacknowledged", "messages", "consumers")]
    ready, unacknowledged, total, consumers = (figure if isinstance(figure, int) else -1 for figure in figures)
    if min(ready, unacknowledged, total, consumers) < 0:
        return None
    return Count(max(total, ready + unacknowledged), consumers)


async def is_empty(
    client: ManagementClient, name: str, passive: Callable[[str], Awaitable[Count | None]] | None, *, tick: float
) -> bool:
    """Whether a queue that nothing is bound to any more has no message, ready or unacknowledged, and no consumer.

    The management plane knows unacknowledged messages but counts every 5 s; a passive declare is exact but knows only
    ready ones; it is left out where the Broker names no address for it. Both must say nothing, before and after a tick.
    Raises Retry when the management plane says nothing at all: no figure is not zero.
    """
    looks_empty = 0
    for attempt in range(_LOOKS):
        if attempt:
            await asyncio.sleep(tick + _MARGIN)
        counted = await count_messages(client, name)
        declared = await passive(name) if passive is not None else None
        found = [count for count in (counted, declared) if count is not None]
        if any(count.messages for count in found):
            return False
        if counted is None:
            continue
        # Connections of users whose rights were just withdrawn are closing: they may still count at first.
        if attempt and any(count.consumers for count in found):
            return False
        looks_empty += 1
        if looks_empty == _LOOKS_EMPTY:
            return True
    what = f'says nothing about the messages in queue "{name}" yet'
    raise Retry(f"{client.where}: {what}", after=tick).telling(what)
