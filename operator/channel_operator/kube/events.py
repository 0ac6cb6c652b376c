"""Kubernetes Events: told in the background, counted up when they repeat, dropped rather than in anybody's way.

Decides only how much is told: a repeat within ten minutes raises a count, one object tells at most so much, and all
together are paced, so that a thousand new queues do not double the writes to the API server while they are made.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import structlog

from channel_operator.api.meta import API_VERSION
from channel_operator.api.reasons import EventReason
from channel_operator.core.model import Key
from channel_operator.engine.clock import Clock
from channel_operator.engine.ports import Conflict, Forbidden, Gone
from channel_operator.errors import OperatorError, Retry
from channel_operator.kube.client import MERGE_PATCH, KubeClient, path

__all__ = ["EventPoster"]

_log = structlog.get_logger("channel_operator.events")

_WAITING = 4000
_REMEMBERED = 4096
_REPEAT_SECONDS = 600.0
_PER_OBJECT = 25
"""New Events of one object within the repeat window, at most."""
_PER_SECOND = 10.0
_BURST = 25.0
_GIVES_WAY = 2.0
"""Seconds that one Event waits, at most, for calls that matter more."""
_AGAIN = 1.0
"""Seconds of rest when the API server did not answer: what was told while it was away is posted when it is back."""
_GLANCE = 0.05
_MESSAGE_BYTES = 1024
"""The API server's limit on an Event's message."""


@dataclass(slots=True)
class _Told:
    """One Event that exists, or soon will."""

    key: Key
    uid: str
    reason: EventReason
    message: str
    warning: bool
    first: float
    first_stamp: str
    last_stamp: str
    name: str = ""
    """Of the Event object; empty until the API server has it."""
    count: int = 1
    queued: bool = True


class EventPoster:
    """Takes Events at once and posts them from a task of its own: run `run()`, cancel it at the end."""

    def __init__(self, client: KubeClient, clock: Clock, *, instance: str) -> None:
        self._client = client
        self._clock = clock
        self._instance = instance
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()
        self._recent: OrderedDict[str, deque[float]] = OrderedDict()
        self._waiting: deque[_Told] = deque()
        self._wake = asyncio.Event()
        self._dropped = 0

    def post(self, key: Key, uid: str, *, reason: EventReason, message: str, warning: bool) -> None:
        """Take one Event. `message` must carry no secret; it is cut at the API server's limit."""
        now, stamp = self._clock.monotonic(), self._stamp()
        text = _cut(message)
        identity = (uid, reason.value, text)
        told = self._told.get(identity)
        if told is not None and now - told.first < _REPEAT_SECONDS:
            told.count += 1
            told.last_stamp = stamp
            if told.queued:
                return
            told.queued = True
        elif self._too_many(uid, now):
            self._drop("one object tells too much", key, reason)
            return
        else:
            told = _Told(key, uid, reason, text, warning, now, stamp, stamp)
            self._told[identity] = told
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
        if len(self._waiting) >= _WAITING:
            told.queued = False
            self._drop("too many Events wait", key, reason)
            return
        self._waiting.append(told)
        self._wake.set()

    async def run(self) -> None:
        """Post what waits, paced, until cancelled."""
        allowance, since = _BURST, self._clock.monotonic()
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            now = self._clock.monotonic()
            allowance, since = min(_BURST, allowance + (now - since) * _PER_SECOND), now
            if allowance < 1:
                await self._clock.sleep((1 - allowance) / _PER_SECOND)
                continue
            allowance -= 1
            await self._give_way()
            if not await self._send(self._waiting.popleft()):
                await self._clock.sleep(_AGAIN)

    async def _give_way(self) -> None:
        """Let everything else go first while calls have to wait, but not for ever."""
        until = self._clock.monotonic() + _GIVES_WAY
        while self._client.is_busy and self._clock.monotonic() < until:
            await self._clock.sleep(_GLANCE)

    async def flush(self, seconds: float) -> None:
        """Post what still waits, unpaced, within `seconds`: for a clean exit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._waiting and await self._send(self._waiting.popleft()):
                    pass

    async def _send(self, told: _Told) -> bool:
        """Post one; False when the API server does not answer: it waits again then, behind the others."""
        told.queued = False
        try:
            if told.name:
                change = {"count": told.count, "lastTimestamp": told.last_stamp}
                url_path = path("api/v1", told.key.namespace, "events", told.name)
                await self._client.call("patch", url_path, change, content_type=MERGE_PATCH)
            else:
                url_path = path("api/v1", told.key.namespace, "events")
                answer = await self._client.call("create", url_path, self._body(told))
                told.name = answer["metadata"]["name"]
        except Gone:
            told.name = ""  # it expired at the API server (after an hour), or the namespace goes
        except Conflict:
            told.name = self._name(told)  # an earlier try arrived although its answer did not
        except Retry as error:
            if isinstance(error, Forbidden) or self._clock.monotonic() - told.first >= _REPEAT_SECONDS:
                self._drop(str(error), told.key, told.reason)
                return True
            told.queued = True
            self._waiting.append(told)
            return False
        except OperatorError as error:
            _log.warning("an Event could not be posted", key=str(told.key), about=told.reason.value, reason=str(error))
        return True

    def _name(self, told: _Told) -> str:
        unique = hashlib.sha256(f"{told.uid}/{told.reason}/{told.message}/{told.first_stamp}".encode()).hexdigest()
        return f"{told.key.name}.{unique[:16]}"

    def _body(self, told: _Told) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self._name(told), "namespace": told.key.namespace},
            "involvedObject": {
                "apiVersion": API_VERSION,
                "kind": told.key.kind.value,
                "namespace": told.key.namespace,
                "name": told.key.name,
                "uid": told.uid,
            },
            "reason": told.reason.value,
            "message": told.message,
            "type": "Warning" if told.warning else "Normal",
            "count": told.count,
            "firstTimestamp": told.first_stamp,
            "lastTimestamp": told.last_stamp,
            "source": {"component": "channel-operator", "host": self._instance},
            "reportingComponent": "channel-operator",
            "reportingInstance": self._instance,
        }

    def _too_many(self, uid: str, now: float) -> bool:
        recent = self._recent.setdefault(uid, deque())
        self._recent.move_to_end(uid)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        while recent and now - recent[0] >= _REPEAT_SECONDS:
            recent.popleft()
        if len(recent) >= _PER_OBJECT:
            return True
        recent.append(now)
        return False

    def _drop(self, why: str, key: Key, reason: EventReason) -> None:
        self._dropped += 1
        # The first of a flood and then every hundredth: the log must not drown in what was spared the API server.
        if self._dropped % 100 == 1:
            _log.warning("Events are dropped", why=why, key=str(key), about=reason.value, dropped=self._dropped)

    def _stamp(self) -> str:
        return self._clock.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= _MESSAGE_BYTES:
        return message
    return encoded[: _MESSAGE_BYTES - 3].decode(errors="ignore") + "…"
