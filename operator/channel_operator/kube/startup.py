"""What is asked of the API server while the operator starts: with patience, and whose broker users are its own.

Decides nothing about channels and writes nothing.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from channel_operator.engine.clock import Clock
from channel_operator.engine.ports import Forbidden
from channel_operator.errors import Retry
from channel_operator.kube.client import KubeClient, path

__all__ = ["operator_id", "patiently"]

log = structlog.get_logger("channel_operator")

_T = TypeVar("_T")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
"""Seconds between tries."""


async def operator_id(client: KubeClient, namespace: str) -> str:
    """Return the UID of kube-system, else of the operator's own namespace: it marks the users we make on brokers."""
    try:
        body = await client.call("get", path("api/v1", None, "namespaces", "kube-system"))
    except Forbidden:
        body = await client.call("get", path("api/v1", None, "namespaces", namespace))
    return str(body["metadata"]["uid"])


async def patiently(what: str, work: Callable[[], Awaitable[_T]], clock: Clock) -> _T:
    """Try until the API server answers."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await work()
        except Retry as error:
            log.warning("the API server does not serve us yet", what=what, why=str(error))
        await clock.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
