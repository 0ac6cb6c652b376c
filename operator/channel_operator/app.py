"""The composition root: the only place that wires everything, and the order in which it starts and stops.

Decides nothing about channels. Store first, then watch, then lead; whichever part ends first ends the process.
"""

import asyncio
import gc
import importlib
import os
import secrets
import signal
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from channel_operator import __version__
from channel_operator.api.broker import BrokerSpec
from channel_operator.brokers import registry
from channel_operator.brokers.base import WRITE_SECONDS, Connection, Driver, Recorder, Session
from channel_operator.engine.clock import SystemClock
from channel_operator.engine.connection import Addresses
from channel_operator.engine.context import Options
from channel_operator.engine.election import Elector, Leadership, LeaseTimes, Unelected
from channel_operator.engine.life import Drivers
from channel_operator.engine.manager import Manager
from channel_operator.engine.ports import BrokerFigures
from channel_operator.engine.store import Store
from channel_operator.kube import startup
from channel_operator.kube.client import KubeClient
from channel_operator.kube.events import EventPoster
from channel_operator.kube.leases import KubeLease
from channel_operator.kube.login import Credentials, LoginError
from channel_operator.kube.runtime import WatchHealth, watch
from channel_operator.kube.secrets import KubeSecrets
from channel_operator.kube.writer import Writer
from channel_operator.settings import Settings
from channel_operator.telemetry import logs
from channel_operator.telemetry.metrics import Metrics
from channel_operator.telemetry.probes import Health, LoopLag, ProbeServer
from channel_operator.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from channel_operator.telemetry.otlp import OpenTelemetry

__all__ = ["run"]

log = structlog.get_logger("channel_operator")

_COLLECT = (10_000, 5, 50)
"""When the garbage collector looks: nearly all there is lives long and has no cycles, so it seldom finds anything."""


async def run(settings: Settings) -> int:
    """Run until a signal, a lost Lease or a broken part ends it; return the exit code."""
    gc.set_threshold(*_COLLECT)
    _spare_the_collector()
    redactor = logs.configure(form=settings.log_format, level=settings.log_level)
    try:
        credentials = await Credentials.load(
            kubeconfig=settings.kubeconfig, context=settings.context, namespace=settings.namespace
        )
    except LoginError as error:
        log.error("cannot log in to the API server", why=str(error))  # noqa: TRY400  # the message says it all
        return 1
    operator = _Operator(settings, credentials, redactor)
    try:
        return await operator.run()
    finally:
        await operator.close()


def _spare_the_collector() -> None:
    """Have it leave alone what is there now and will stay: modules, and the store with thousands of objects.

    References still free them. Without this a full collection held everything up for 0.2 s with 1,000 Queues.
    """
    gc.freeze()


def _tracer(endpoint: str | None, identity: str) -> "OpenTelemetry | None":
    if endpoint is None:
        return None
    otlp = importlib.import_module("channel_operator.telemetry.otlp")  # large, and seldom asked for
    tracer: OpenTelemetry = otlp.to_endpoint(endpoint, identity)
    return tracer


class _Operator:
    """All parts of one process."""

    def __init__(self, settings: Settings, credentials: Credentials, redactor: Redactor) -> None:
        self.redactor = redactor
        self.settings = settings
        self.credentials = credentials
        self.clock = SystemClock()
        self.identity = settings.identity or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self.tracer = _tracer(settings.tracing_endpoint, self.identity)
        self.metrics = Metrics(self.tracer)
        self.metrics.figures_from(self._figures)
        self.client = KubeClient(credentials, self.metrics)
        # Renewing the Lease never queues behind anything else.
        self.lease_client = KubeClient(credentials, self.metrics)
        self.events = EventPoster(self.client, self.clock, instance=self.identity)
        self.writer = Writer(self.client, self.events, settings.namespaces)
        self.store = Store()
        self.stop = asyncio.Event()
        self.health = WatchHealth(settings.namespaces, self.metrics)
        self.leadership, self._elector = self._election()
        self.manager: Manager | None = None
        self.lag = LoopLag(self.clock)
        checks = Health(
            started=(self._unfilled,),
            ready=(self._unfilled, self._not_watching),
            alive=(self.lag.check, self._stale_lease),
        )
        self.probes = ProbeServer(self.metrics, checks)
        self._filled = False

    def _election(self) -> tuple[Leadership, Elector | None]:
        if not self.settings.leader_election:
            return Unelected(), None
        lease = KubeLease(self.lease_client, self.credentials.namespace, self.settings.lease)
        times = LeaseTimes(
            self.settings.lease_duration, self.settings.lease_renew_deadline, self.settings.lease_retry_period
        )
        elector = Elector(lease, self.clock, identity=self.identity, times=times)
        return elector, elector

    async def run(self) -> int:
        """Start the parts in order, wait for the first that ends, stop them all."""
        log.info(
            "starting", version=__version__, identity=self.identity, namespaces=list(self.settings.namespaces) or "all"
        )
        try:
            await self.probes.start(self.settings.metrics_address, self.settings.health_address)
        except OSError as error:
            why = error.strerror or str(error)
            log.error("cannot listen; see --metrics-address and --health-address", why=why)  # noqa: TRY400  # no fault of the code
            return 1
        stopper = asyncio.create_task(self.stop.wait(), name="stop")
        # kopf sets signals up later and hands them back; until then they are ours.
        self._own_signals()
        tasks: list[asyncio.Task[Any]] = [stopper]
        try:
            filled = asyncio.create_task(self._fill(), name="fill")
            await asyncio.wait({stopper, filled}, return_when=asyncio.FIRST_COMPLETED)
            if not filled.done():
                filled.cancel()
                return 0
            filled.result()
            tasks += self._start()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return self._verdict(stopper, tasks)
        finally:
            await self._shut_down(tasks)

    def _own_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)

    def _start(self) -> list[asyncio.Task[Any]]:
        """Start what runs beside each other. The order matters to kopf: it must not be older than our own tasks."""
        work: list[tuple[str, Coroutine[Any, Any, Any]]] = [
            ("lag", self.lag.run()),
            ("events", self.events.run()),
            ("lead", self._lead()),
        ]
        if self._elector is not None:
            work.append(("election", self._elector.run()))
        watching = watch(
            self.store,
            connection=self.credentials,
            namespaces=self.settings.namespaces,
            stop=self.stop,
            health=self.health,
            on_signal=self.stop.set,
        )
        return [asyncio.create_task(coroutine, name=name) for name, coroutine in [*work, ("watch", watching)]]

    def _verdict(self, stopper: asyncio.Task[Any], tasks: list[asyncio.Task[Any]]) -> int:
        if stopper.done():
            log.info("stopping")
            return 0
        for task in tasks:
            if task.done():
                error = None if task.cancelled() else task.exception()
                log.error("a part of the operator ended; the process ends", part=task.get_name(), exc_info=error)
        return 1

    async def _shut_down(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Finish or cancel what is in flight within a bound, then give the Lease back. A timer ends what hangs."""
        timer = threading.Timer(self.settings.shutdown_grace + 5.0, os._exit, args=(1,))
        timer.daemon = True
        timer.start()
        self.stop.set()
        for task in tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.settings.shutdown_grace):
                await asyncio.gather(*tasks, return_exceptions=True)
        await self.events.flush(1.0)
        if self._elector is not None:
            await self._elector.release()
        timer.cancel()

    async def close(self) -> None:
        """Close what is open."""
        if self.tracer is not None:
            await self.tracer.close()
        await self.probes.close()
        await self.lease_client.close()
        await self.client.close()

    # -- probes --------------------------------------------------------------------------------------------------

    def _unfilled(self) -> str | None:
        return None if self._filled else "the store is not filled yet"

    def _not_watching(self) -> str | None:
        down = self.health.down
        return f"watches that are not up: {', '.join(down)}" if down else None

    def _stale_lease(self) -> str | None:
        """Tell that a leader hangs: its Lease is long out of date, and a live one would have ended itself."""
        if self._elector is None or not self.leadership.leading.is_set():
            return None
        age = self._elector.renewal_age()
        return f"the Lease was last renewed {age:.0f} s ago" if age > 2 * self.settings.lease_duration else None

    # -- store and leadership ------------------------------------------------------------------------------------

    async def _fill(self) -> None:
        """Fill the store from a full LIST before anything watches: a partly filled store looks like deletions."""
        await startup.patiently("list", self._relist, self.clock)
        self._filled = True
        _spare_the_collector()
        log.info("the store is filled", objects=len(self.store.keys()))

    async def _relist(self) -> None:
        known = self.store.snapshot()
        self.store.replace(await self.writer.list_all(), known)

    async def _lead(self) -> None:
        """Once this replica leads and a fresh LIST agrees with the store, run the loops of all brokers."""
        await self.leadership.leading.wait()
        self.metrics.leading(True)  # noqa: FBT003  # the name of the method says what it is
        try:
            operator_id = self.settings.operator_id
            if operator_id is None:
                whose = partial(startup.operator_id, self.client, self.credentials.namespace)
                operator_id = await startup.patiently("operator id", whose, self.clock)
            await startup.patiently("list", self._relist, self.clock)
            await self._settled()
            self.manager = Manager(
                self.store,
                self.writer,
                KubeSecrets(self.client),
                self.clock,
                self.metrics,
                Drivers(self._create_driver, self._open_session),
                Options(
                    operator_id=operator_id,
                    addresses=Addresses(self.settings.allowed_broker_hosts, self.settings.only_allowed_broker_hosts),
                    resync=self.settings.resync_interval,
                    ref_grace=self.settings.ref_grace,
                    secrets_sweep=self.settings.secrets_sweep,
                    broker_secret_sweep=self.settings.broker_secret_sweep,
                    sees_everything=not self.settings.namespaces,
                ),
                leads=self.leadership.is_leader,
            )
            log.info("leading", operator_id=operator_id)
            await self.manager.run()
        finally:
            self.metrics.leading(False)  # noqa: FBT003  # the name of the method says what it is

    def _create_driver(self, spec: BrokerSpec, operator_id: str) -> Driver | None:
        """Make the pure side of a broker, within the limits that this operator was given."""
        return registry.create_driver(spec, operator_id, self.settings.max_policies)

    def _open_session(self, connection: Connection, recorder: Recorder) -> Session:
        """Open a session; its secrets are masked wherever a library might log them."""
        for secret in (connection.password, connection.private_key):
            if secret is not None:
                self.redactor.remember(secret)
        return registry.open_session(connection, recorder)

    async def _settled(self) -> None:
        """Wait until no late write of a leader that vanished can still arrive: one broker write time-out."""
        if self._elector is not None and self._elector.succeeded_silent_leader:
            await self.clock.sleep(WRITE_SECONDS)

    def _figures(self) -> list[BrokerFigures]:
        return self.manager.figures() if self.manager is not None else []
