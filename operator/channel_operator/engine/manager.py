"""One loop per Broker: starts them, feeds them dirty keys, ends them when nothing is left to do.

Decides which loop a key belongs to. Loops run only while this replica leads; the store is kept warm on every replica.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from channel_operator.engine.bindings import Bindings
from channel_operator.engine.brokerless import Brokerless
from channel_operator.engine.claims import Claims
from channel_operator.engine.clock import Clock
from channel_operator.engine.context import Context, Options
from channel_operator.engine.figures import broker_figures, brokerless_figures
from channel_operator.engine.life import Drivers
from channel_operator.engine.loop import BrokerLoop
from channel_operator.engine.ports import BrokerFigures, KubeWriter, SecretStore, Telemetry
from channel_operator.engine.schedule import Schedule
from channel_operator.engine.statuses import Statuses
from channel_operator.engine.store import Store

__all__ = ["Manager"]

log = structlog.get_logger(__name__)


class Manager:
    """Owns the loops. `leads()` is asked again right before anything is written."""

    def __init__(
        self,
        store: Store,
        writer: KubeWriter,
        secrets: SecretStore,
        clock: Clock,
        telemetry: Telemetry,
        drivers: Drivers,
        options: Options,
        *,
        leads: Callable[[], bool],
    ) -> None:
        self.store = store
        self._writer = writer
        self._secrets = secrets
        self._clock = clock
        self._telemetry = telemetry
        self._drivers = drivers
        self._options = options
        self._leads = leads
        self._loops: dict[Key, BrokerLoop] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._routes: dict[Key, Key] = {}
        self._running = False
        self.statuses = Statuses(store, writer, clock, telemetry, leads=leads)
        claims = self._claims(lambda _key: None, lambda key: self.dirty([key]))
        self._brokerless = Brokerless(store, self.statuses, claims, clock)
        store.listener = self.dirty

    async def run(self) -> None:
        """Lead: run the loops of all brokers until cancelled."""
        self._running = True
        statuses = asyncio.create_task(self.statuses.pipeline.run(), name="statuses")
        sweep = asyncio.create_task(self._sweep(), name="sweep")
        brokerless = asyncio.create_task(self._brokerless.run(), name="brokerless")
        try:
            self.dirty(self.store.keys())
            for broker in self.store.brokers():
                self._loop(broker)
            await asyncio.gather(statuses, sweep, brokerless)
        finally:
            self._running = False
            tasks = [statuses, sweep, brokerless, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def dirty(self, keys: Collection[Key]) -> None:
        """Hand each key to the loop of its broker, the former one too if it moved."""
        routed: dict[Key, list[Key]] = {}
        for key in keys:
            manifest = self.store.get(key)
            before = self._routes.get(key)
            target = key if key.kind is Kind.BROKER else manifest.refs.broker if manifest is not None else None
            if manifest is None:
                self._routes.pop(key, None)
            elif target is not None:
                self._routes[key] = target
            else:
                self._routes.pop(key, None)
                if self._running:
                    self._brokerless.add(key)
            for broker in {before, target} - {None}:
                if broker is not None:
                    routed.setdefault(broker, []).append(key)
        if self._running:
            for broker, dirty in routed.items():
                self._loop(broker).context.schedule.add(dirty)

    def figures(self) -> list[BrokerFigures]:
        """Return the gauges of all brokers, and of what has none."""
        served = {broker: loop for broker, loop in self._loops.items() if self.store.get(broker) is not None}
        found = [broker_figures(loop.context, loop.report) for loop in served.values()]
        return [*found, brokerless_figures(self.store, served.__contains__)]

    def quiet(self) -> bool:
        """Whether nothing is dirty and nothing is on its way."""
        return len(self.statuses.pipeline) == 0 and all(
            sum(loop.context.schedule.depth().values()) == 0
            and not len(loop.context.claims.pipeline)
            and not len(loop.context.bindings.pipeline)
            for loop in self._loops.values()
        )

    def _loop(self, broker: Key) -> BrokerLoop:
        loop = self._loops.get(broker)
        if loop is None:
            loop = self._make(broker)
            self._loops[broker] = loop
            task = asyncio.create_task(loop.run(), name=f"broker {broker.namespace}/{broker.name}")
            task.add_done_callback(lambda done: self._ended(broker, done))
            self._tasks[broker] = task
        return loop

    def _make(self, broker: Key) -> BrokerLoop:
        schedule = Schedule(self._clock)

        def again(key: Key) -> None:
            schedule.add([key])

        def later(key: Key) -> None:
            schedule.retry(key, 0.1)

        context = Context(
            broker=broker,
            options=self._options,
            store=self.store,
            clock=self._clock,
            schedule=schedule,
            statuses=self.statuses,
            claims=self._claims(again, later),
            bindings=Bindings(self.store, self._secrets, self._clock, leads=self._leads, changed=again),
            secrets=self._secrets,
            telemetry=self._telemetry,
            leads=self._leads,
        )
        return BrokerLoop(context, self._drivers)

    def _claims(self, done: Callable[[Key], None], conflict: Callable[[Key], None]) -> Claims:
        return Claims(self.store, self._writer, self._clock, leads=self._leads, done=done, conflict=conflict)

    def _ended(self, broker: Key, task: asyncio.Task[None]) -> None:
        self._loops.pop(broker, None)
        self._tasks.pop(broker, None)
        self._telemetry.forget(f"{broker.namespace}/{broker.name}")
        if not task.cancelled() and task.exception() is not None:
            log.error("a broker's loop ended", broker=f"{broker.namespace}/{broker.name}", exc_info=task.exception())

    async def _sweep(self) -> None:
        """Find, by metadata, what vanished while no watch looked."""
        interval = self._options.resync or 300.0
        while True:
            await self._clock.sleep(interval)
            known = self.store.snapshot()
            try:
                bodies = await self._writer.list_metadata()
            except Exception as error:  # noqa: BLE001  # whatever it is, the next sweep tries again
                log.warning("the sweep failed", why=type(error).__name__)
                continue
            self.store.keep_only(bodies, known)
            self._end_idle_loops()

    def _end_idle_loops(self) -> None:
        """End the loops of Brokers that are gone and that nothing names any more."""
        wanted = self.store.brokers()
        for broker, task in list(self._tasks.items()):
            if broker not in wanted:
                task.cancel()
