"""The real traces of the whole engine: a pass is one span, with a child for each stage and for each call it makes."""

from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from channel_operator.telemetry.metrics import Metrics
from channel_operator.telemetry.otlp import OpenTelemetry
from tests.engine.world import CANARY, World, world


class Traced:
    """What was traced so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def clear(self) -> None:
        self._exporter.clear()

    def spans(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    def roots(self) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.parent is None]

    def passes(self, **attributes: object) -> list[ReadableSpan]:
        named = [span for span in self.spans() if span.name == "pass"]
        return [span for span in named if attributes.items() <= dict(span.attributes or {}).items()]

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """Return the children of a span, in the order in which they began."""
        context = parent.get_span_context()
        assert context is not None
        children = [span for span in self.spans() if span.parent and span.parent.span_id == context.span_id]
        return sorted(children, key=lambda span: span.start_time or 0)

    def tree(self, span: ReadableSpan) -> object:
        children = [self.tree(child) for child in self.below(span)]
        return (span.name, children) if children else span.name


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Return where spans are kept."""
    made = InMemorySpanExporter()
    yield made
    made.shutdown()


def telemetry(exporter: InMemorySpanExporter) -> Metrics:
    return Metrics(OpenTelemetry(SimpleSpanProcessor(exporter), "replica-1"))


def shown(spans: Sequence[ReadableSpan]) -> str:
    return " ".join(span.to_json() for span in spans)


async def test_a_pass_is_one_span_with_its_stages_and_their_calls(exporter: InMemorySpanExporter) -> None:
    traced = Traced(exporter)
    async with world(telemetry=telemetry(exporter)) as w:
        w.make_broker()
        w.make_user("worker")
        await w.start()
        await w.advance(10)
        [connected] = traced.passes(cause="connected")
        [connect] = [span for span in traced.roots() if span.name == "connect"]
        assert connected in traced.below(connect)
        assert traced.tree(connected) == (
            "pass",
            [("observe", ["observe"]), ("resolve", ["observe"]), "diff", "report"],
        )
        traced.clear()
        w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.advance(10)
        trees = [traced.tree(one) for one in traced.passes(cause="changes", broker="messaging/main")]
        assert ("pass", ["resolve", "diff", ("apply", ["write"] * 4), "report"]) in trees
        assert {span.name for span in traced.roots()} == {"pass"}
        objects = {name for one in traced.passes() for name in (one.attributes or {})["objects"]}  # type: ignore[union-attr]  # strings
        assert "Queue billing/invoices" in objects
        traced.clear()
        await w.advance(400)
        [resync] = traced.passes(cause="resync")
        assert resync in traced.roots()
        assert traced.tree(resync) == ("pass", [("observe", ["observe"]), "probe", "diff", "report"])
        assert "check" in {span.name for span in traced.roots()}


async def test_what_goes_wrong_shows_by_its_kind_and_never_by_its_text(exporter: InMemorySpanExporter) -> None:
    traced = Traced(exporter)
    async with world(telemetry=telemetry(exporter)) as w:
        w.make_broker()
        w.make_user("worker")
        w.make_queue("invoices", consumers=[{"name": "worker"}])
        w.broker.unreachable, w.broker.cause = True, "said by somebody"
        await w.start()
        await w.advance(10)
        failed = next(span for span in traced.roots() if span.name == "connect")
        assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "Unreachable")
        call = next(span for span in traced.below(failed) if span.name == "probe")
        assert dict(call.attributes or {}) == {
            "broker": "messaging/main",
            "operation": "probe",
            "outcome": "unreachable",
        }
        assert call.status.status_code is StatusCode.ERROR
        w.broker.unreachable, w.broker.cause = False, "nothing"
        await w.advance(400)
        assert traced.passes(cause="connected")
        for secret in {"said by somebody", *_secrets(w)}:
            assert secret not in shown(traced.spans())
        assert not any(span.events for span in traced.spans())


def _secrets(w: World) -> set[str]:
    made = w.kube.entries("billing", "worker-binding")["password"]
    assert len(made) > 20
    return {CANARY, made}


async def test_each_replica_says_which_one_it_is(exporter: InMemorySpanExporter) -> None:
    async with world(telemetry=telemetry(exporter)) as w:
        w.make_broker()
        await w.start()
    about = exporter.get_finished_spans()[0].resource.attributes
    assert (about["service.name"], about["service.instance.id"]) == ("channel-operator", "replica-1")
