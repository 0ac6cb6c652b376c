"""Tracing costs nothing when it is off, and nobody waits for a collector that is away when it is on."""

import logging
import subprocess
import sys
import time

import pytest

from channel_operator.telemetry.otlp import to_endpoint
from channel_operator.telemetry.tracing import NoTracer
from tests.lab.ports import free_port


def test_nothing_of_opentelemetry_is_loaded_when_it_is_off() -> None:
    look = "import sys; import channel_operator.app; print([name for name in sys.modules if 'opentelemetry' in name])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_off_a_span_is_nothing() -> None:
    tracer = NoTracer()
    with tracer.span("pass", broker="messaging/main") as outer, tracer.span("apply") as inner:
        tracer.call("messaging/main", "put_queue", "ok", 0.1)
    assert (outer, inner) == (None, None)


async def test_a_collector_that_is_away_holds_nobody_up_and_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tracer = to_endpoint(f"http://127.0.0.1:{free_port()}/v1/traces", "replica-1")
    started = time.monotonic()
    for _ in range(1000):
        with tracer.span("pass"):
            tracer.call("messaging/main", "put_queue", "ok", 0.001)
    await tracer.close()
    assert time.monotonic() - started < 60, "a hang guard"
    assert [record for record in caplog.records if record.exc_info] == []
