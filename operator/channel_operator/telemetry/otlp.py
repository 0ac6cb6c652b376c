"""Traces by OpenTelemetry, sent by OTLP over HTTP. Imported only when tracing is on: off, it costs no memory.

Decides how spans are named and what they never hold: an error shows as the name of its class, without its text.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from channel_operator import __version__
from channel_operator.engine.ports import Attribute

__all__ = ["OpenTelemetry", "to_endpoint"]

_NAME = "channel-operator"
_SEND_SECONDS = 5
_LAST_SECONDS = 3.0
_NANOSECONDS = 1_000_000_000


class OpenTelemetry:
    """Implements `tracing.Tracer`. Spans that cannot be sent in time are dropped; nothing waits for them."""

    def __init__(self, processor: SpanProcessor, identity: str = "") -> None:
        attributes = {"service.name": _NAME, "service.version": __version__, "service.instance.id": identity}
        self._provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_NAME, __version__)

    @contextmanager
    def span(self, name: str, **attributes: Attribute) -> Iterator[None]:
        """See `tracing.Tracer`."""
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def call(self, broker: str, operation: str, outcome: str, seconds: float) -> None:
        """See `tracing.Tracer`."""
        end = time.time_ns()
        span = self._tracer.start_span(
            operation,
            kind=SpanKind.CLIENT,
            attributes={"broker": broker, "operation": operation, "outcome": outcome},
            start_time=end - int(seconds * _NANOSECONDS),
        )
        if outcome != "ok":
            span.set_status(Status(StatusCode.ERROR, outcome))
        span.end(end)

    async def close(self) -> None:
        """Send what is left, for some seconds at most; a collector that is away does not hold the end up."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def work() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=work, name="last spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await done.wait()


def to_endpoint(url: str, identity: str) -> OpenTelemetry:
    """Return a tracer that sends to a collector. Headers and the like: the variables OTEL_EXPORTER_OTLP_*."""
    return OpenTelemetry(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_SEND_SECONDS)), identity)
