"""Many exchanges and bindings in one document (`POST /api/definitions/<vhost>`).

Decides how the changes are cut into calls that stay within the time of a write. Never sends users or rights, which the
documents of a virtual host do not carry, nor queues: the broker declares those of a document two at a time, and single
calls side by side are faster and cost it a third less (1,000 quorum queues on 4.3.6).
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.declarations import listed
from channel_operator.brokers.rabbitmq.http import ManagementClient, path
from channel_operator.brokers.rabbitmq.observe import observe_vhost
from channel_operator.brokers.rabbitmq.resources import Binding, Exchange
from channel_operator.core.model import Action, Change, Outcome
from channel_operator.errors import Blocked, Retry

__all__ = ["BULK_FROM", "Bulk", "is_bulkable"]

BULK_FROM: Final = 50
"""From this many changes on a document is faster than single calls (measured on 4.3.6)."""
_FULL: Final = 400
"""Entries of one document: a fifth of a second on a small broker, far from the time a write may take."""
_SMALLEST: Final = 40
_SLOW: Final = 1.5
"""Seconds after which the next documents are made smaller."""


def is_bulkable(change: Change) -> bool:
    """Whether it may go in a document: a new exchange or binding."""
    return change.action is Action.CREATE and isinstance(change.desired, Exchange | Binding)


class Bulk:
    """Sends documents over one client."""

    def __init__(self, client: ManagementClient) -> None:
        self._client = client
        self._entries = _FULL

    def cut(self, changes: Sequence[Change]) -> Iterator[list[Change]]:
        """Cut into documents; how large the next one is follows from how long the last one took."""
        start = 0
        while start < len(changes):
            chunk = list(changes[start : start + self._entries])
            start += len(chunk)
            yield chunk

    async def send(self, changes: Sequence[Change]) -> bool:
        """Send one document. False: the broker refused it, and an unpredictable part of it may exist."""
        document: dict[str, list[dict[str, Any]]] = {}
        for change in changes:
            if isinstance(change.desired, Exchange | Binding):
                section, entry = listed(change.desired)
                document.setdefault(section, []).append(entry)
        started = time.monotonic()
        answer = await self._client.write("post_definitions", "POST", path("definitions", self._client.vhost), document)
        slow = time.monotonic() - started > _SLOW
        self._entries = max(_SMALLEST, self._entries // 2) if slow else min(_FULL, self._entries * 2)
        return answer.ok

    async def confirm(self, changes: Sequence[Change]) -> list[Outcome]:
        """Compare what was sent with what is there now; return the outcomes that are not as hoped."""
        found = await observe_vhost(self._client)
        outcomes = []
        for change in changes:
            seen = found.get(change.id)
            if change.desired is None or seen == change.desired:
                continue
            if seen is None:
                error = Retry(f"{change.id}: the broker took it in and did not make it; its log may say why")
                outcomes.append(Outcome(change, None, error))
                continue
            difference = diff(change.desired, seen)
            if difference is not None:
                text = (
                    f"{change.id} exists on the broker already and does not fit: {'; '.join(difference.fields)}. "
                    "Make the manifest match it, choose another name, or delete it at the broker."
                )
                outcomes.append(Outcome(change, seen, Blocked(text, reason=Reason.ADOPTION_REFUSED)))
        return outcomes
