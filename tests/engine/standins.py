"""What stands in for the engine's surroundings in a small world: counts, a broker that refuses, a driver with a bug."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from channel_operator.api.broker import BrokerSpec
from channel_operator.brokers.base import Driver, NoRecorder, Recorder
from channel_operator.brokers.fake import FakeBroker, FakeSession
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.core.accepted import Compiled, Resolved
from channel_operator.core.model import Capabilities, Change, Outcome, ResourceId
from channel_operator.engine.ports import Attribute
from channel_operator.errors import OperatorError
from channel_operator.telemetry.tracing import NoTracer

__all__ = ["ChoosySession", "Counts", "FlawedDriver"]


class Counts:
    """Telemetry that remembers what the tests ask for."""

    def __init__(self) -> None:
        self.detected: Counter[str] = Counter()
        self.corrected: Counter[str] = Counter()
        self.results: Counter[tuple[str, str]] = Counter()

    def reconciled(self, kind: str, result: str, seconds: float | None) -> None:
        assert seconds is None or seconds >= 0
        self.results[kind, result] += 1

    def drift_detected(self, broker: str, resource: str, count: int = 1) -> None:
        assert broker
        self.detected[resource] += count

    def drift_corrected(self, broker: str, resource: str, count: int = 1) -> None:
        assert broker
        self.corrected[resource] += count

    def span(self, name: str, **attributes: Attribute) -> AbstractContextManager[None]:
        return NoTracer().span(name, **attributes)

    def leading(self, leader: bool) -> None:
        del leader

    def broker(self, broker: str) -> Recorder:
        del broker
        return NoRecorder()

    def forget(self, broker: str) -> None:
        del broker


class ChoosySession(FakeSession):
    """A session to a broker that refuses some writes."""

    def __init__(
        self, driver: Driver, broker: FakeBroker, recorder: Recorder, refuses: Mapping[ResourceId, OperatorError]
    ) -> None:
        super().__init__(driver, broker, recorder)
        self._refuses = refuses

    async def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        refuses = dict(self._refuses)  # a test may change its mind while this is under way
        done = await super().apply([change for change in changes if change.id not in refuses])
        outcomes = {outcome.change.id: outcome for outcome in done}
        for change in changes:
            if change.id in refuses:
                outcomes[change.id] = Outcome(change, change.observed, refuses[change.id])
        return [outcomes[change.id] for change in changes]

    async def close(self) -> None:
        for _ in range(20):  # closing takes a moment, in which others go on
            await asyncio.sleep(0)
        await super().close()


class FlawedDriver(RabbitMQDriver):
    """The real driver, with a bug that shows for one native name: the one `fails_for` says at that moment."""

    def __init__(self, spec: BrokerSpec, operator_id: str, fails_for: Callable[[], str | None]) -> None:
        super().__init__(spec, operator_id)
        self._fails_for = fails_for

    def compile(self, resolved: Resolved, capabilities: Capabilities) -> Compiled:
        if resolved.subject.name == self._fails_for():
            raise ZeroDivisionError
        return super().compile(resolved, capabilities)
