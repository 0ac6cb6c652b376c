"""The handlers that kopf calls: each hands the event on and returns. Decides nothing, does no I/O."""

from collections.abc import Callable
from typing import Any

import kopf
import structlog

from channel_operator.api.meta import API_VERSION, GROUP, PLURALS, VERSION, Kind
from channel_operator.engine.ports import EventSink

__all__ = ["build_registry"]

_log = structlog.get_logger("channel_operator.watch")


def build_registry(sink: EventSink, *, namespaces: bool) -> kopf.OperatorRegistry:
    """Make a registry of its own for the five kinds, and for Namespaces if the operator may watch them.

    `on.event` alone: no annotation, no finalizer and no diff of kopf's is ever written for such handlers.
    """
    registry = kopf.OperatorRegistry()
    for kind in Kind:
        handler = _forward(sink, kind.value, API_VERSION)
        kopf.on.event(GROUP, VERSION, PLURALS[kind], id=f"event-{PLURALS[kind]}", registry=registry)(handler)
    if namespaces:
        handler = _forward(sink, "Namespace", "v1")
        kopf.on.event("", "v1", "namespaces", id="event-namespaces", registry=registry)(handler)
    return registry


def _forward(sink: EventSink, kind: str, api_version: str) -> Callable[..., Any]:
    async def forward(event: Any, **_: Any) -> None:
        body = event["object"]
        # Objects of a list do not all say what they are.
        body.setdefault("kind", kind)
        body.setdefault("apiVersion", api_version)
        try:
            sink.event(event["type"], body)
        except Exception:  # noqa: BLE001 - whatever it is, the watch goes on
            # kopf would drop it without a word that anybody reads; the next list brings the object again.
            meta = body.get("metadata") or {}
            _log.exception(
                "a watch event could not be taken", kind=kind, namespace=meta.get("namespace"), name=meta.get("name")
            )

    return forward
