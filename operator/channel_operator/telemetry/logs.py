"""How logs look: one JSON object a line, or text for terminals; the same for our lines and those of libraries.

Decides the form, the level and what libraries may say. What has a meaning (`OperatorError`) is logged as its sentence,
without a traceback; a traceback always is a bug.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from channel_operator.errors import OperatorError
from channel_operator.telemetry.redaction import Redactor

__all__ = ["configure"]

_QUIET = {
    # What kopf says about single objects, and each of its tries, is ours to say, where it matters.
    "kopf": logging.ERROR,
    "kopf.objects": logging.CRITICAL,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "pika": logging.CRITICAL,
    "kubernetes": logging.WARNING,
}
_RETRIED = ("will retry", "will re-authenticate")


def configure(*, form: str, level: str, stream: TextIO | None = None) -> Redactor:
    """Set up logging for the whole process, on standard error; `form` is `json` or `text`.

    Returns the redactor, for secrets that must never appear.
    """
    redactor = Redactor()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        _meaning,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_rendering(form, redactor))
    )
    handler.addFilter(_no_retries)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)
    return redactor


def _rendering(form: str, redactor: Redactor) -> list[structlog.typing.Processor]:
    plain: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redactor,
    ]
    if form == "text":
        return [
            *plain,
            structlog.dev.ConsoleRenderer(
                timestamp_key="ts",
                colors=sys.stderr.isatty(),
                # The pretty one prints local variables, and secrets with them.
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    return [*plain, structlog.processors.EventRenamer("msg"), _in_order, structlog.processors.JSONRenderer()]


def _meaning(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the traceback of an error that has a meaning by its sentence."""
    info = event.get("exc_info")
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, OperatorError):
        event.pop("exc_info")
        event.setdefault("reason", str(error))
    return event


def _in_order(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put first what every line has, for people who read JSON."""
    first = {key: event[key] for key in ("ts", "level", "logger", "msg") if key in event}
    return {**first, **{key: value for key, value in event.items() if key not in first}}


def _no_retries(record: logging.LogRecord) -> bool:
    # The watch tells when it is interrupted and when it is back; every try between is noise.
    if not record.name.startswith("kopf") or not isinstance(record.msg, str):
        return True
    return not any(words in record.msg for words in _RETRIED)
