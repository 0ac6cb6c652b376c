"""The life of one Broker: connect, look at everything, serve dirty keys, resync, and come back after an outage.

Decides when to connect, when to look at the whole broker and how long to wait; what is written is the reconciler's.
One broker's trouble never touches another's loop.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from channel_operator.api.meta import Kind
from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.api.values import seconds
from channel_operator.core import policy
from channel_operator.core.model import Key, Observation, Problem
from channel_operator.core.resolve import broker_problems
from channel_operator.core.view import Manifest
from channel_operator.engine.broker_report import BrokerReport
from channel_operator.engine.connection import read_connection
from channel_operator.engine.context import Context
from channel_operator.engine.life import Drivers, Live, NotAcceptedError, ReconnectError
from channel_operator.engine.offline import Offline
from channel_operator.engine.reconciler import Reconciler
from channel_operator.engine.reports import Reports
from channel_operator.errors import Blocked, CredentialsRefused, OperatorError, Retry

__all__ = ["BATCH", "BrokerLoop"]

log = structlog.get_logger(__name__)

BATCH = 500
"""Keys of one pass, at most."""
CHECK_SECONDS = 5.0
"""Longest time for which the regular look at a Broker's Secrets may hold its loop up."""
LONGEST_BACKOFF = 30.0
"""Seconds between tries to reach a broker."""

NAMED = 10
"""Objects that a trace names, at most, of those that a pass is about."""


class BrokerLoop:
    """Runs until cancelled."""

    def __init__(self, context: Context, drivers: Drivers) -> None:
        self.context = context
        self.report = BrokerReport(context)
        self._drivers = drivers
        self._offline = Offline(context)
        self._live: Live | None = None
        self._failed = 0

    async def run(self) -> None:
        """Run one life of the broker after the other; an outage ends a life."""
        context = self.context
        lines = (context.claims.pipeline, context.claims.releases, context.bindings.pipeline)
        pipelines = [asyncio.create_task(line.run()) for line in lines]
        try:
            while True:
                if not context.leads():
                    # Another replica may be at work on this broker already; it says how things are.
                    await context.clock.sleep(1.0)
                    continue
                problem, outage = await self._one_life()
                await self._close()
                await self._wait(problem, outage)
        finally:
            for task in pipelines:
                task.cancel()
            await asyncio.gather(*pipelines, return_exceptions=True)
            await self._close()

    async def _one_life(self) -> tuple[Problem | None, str | None]:
        """Connect and serve; return what ended it: something wrong with the Broker object, or an outage."""
        try:
            with self.context.span("connect"):
                await self._connect()
            await self._serve()
        except ReconnectError:
            return None, None
        except NotAcceptedError as error:
            return error.problem, None
        except Blocked as error:
            kind = ConditionType.REACHABLE
            if not isinstance(error, CredentialsRefused) and error.reason == Reason.CREDENTIALS_INVALID:
                kind = ConditionType.RESOLVED_REFS
            return Problem(Reason(error.reason), str(error), kind, error.field), None
        except Retry as error:
            return None, str(error)
        except OperatorError as error:
            return None, str(error)
        except Exception:
            log.exception("bug", broker=self.context.name)
            self.context.telemetry.reconciled(Kind.BROKER, "error", None)
            return None, "an error in the operator, see its log; it tries again"
        return None, None

    async def _connect(self) -> None:
        """Get as far as knowing the broker and its whole content. Raises what stands in the way."""
        manifest = self._accepted()
        options = self.context.options
        connection = await read_connection(
            manifest, self.context.secrets, operator_id=options.operator_id, addresses=options.addresses
        )
        driver = self._drivers.create(connection.spec, options.operator_id)
        if driver is None:
            text = "This kind of broker is not supported by this version of the operator yet."
            raise NotAcceptedError(Problem(Reason.UNSUPPORTED_BY_BROKER, text))
        session = self._drivers.open(connection, self.context.telemetry.broker(self.context.name))
        try:
            capabilities = await session.probe()
            await self.report.connected(manifest, connection, capabilities, await session.probe_data_plane())
            self.report.met(session.certificates())
            self.context.store.learnt(self.context.broker, capabilities, connection.username)
            self._accepted()
        except BaseException:
            await session.close()
            raise
        reconciler = Reconciler(self.context, driver)
        self._live = Live(connection, session, capabilities, reconciler, Reports(reconciler, connection.ca))
        await self._take_over(self._live)
        self._failed = 0

    def _accepted(self) -> Manifest:
        manifest = self.context.store.get(self.context.broker)
        if manifest is None:
            raise NotAcceptedError(None)
        problems = broker_problems(manifest, self.context.store)
        if problems:
            raise NotAcceptedError(problems[0])
        if policy.is_disabled(manifest):
            text = "Hands off: the annotation channel-operator.dev/reconcile is Disabled."
            raise NotAcceptedError(Problem(Reason.DISABLED, text, ConditionType.REACHABLE, stalled=False))
        return manifest

    async def _take_over(self, live: Live) -> None:
        """Look at all objects before anything is assembled: a partial view would narrow what users may do."""
        with self.context.span("pass", cause="connected"):
            observation = await self._observe(live)
            self.context.schedule.take_all()
            keys = self._keys()
            await self._pass(live, live.reconciler.take_over(keys, observation, live.session, live.capabilities))
        await self.report.served()
        self.report.observed(live.reconciler.state)
        self.report.tell()

    async def _serve(self) -> None:
        live, clock = self._live, self.context.clock
        if live is None:
            return
        next_resync = clock.monotonic() + self._interval(live)
        next_check = clock.monotonic() + self.context.options.broker_secret_sweep
        while True:
            if clock.monotonic() >= next_resync:
                await self._resync(live)
                next_resync = clock.monotonic() + self._interval(live)
            if clock.monotonic() >= next_check:
                with self.context.span("check"):
                    await self._check(live)
                next_check = clock.monotonic() + self.context.options.broker_secret_sweep
            quiet = self.report.due_in()
            until = min(next_resync, next_check) - clock.monotonic()
            if await self.context.schedule.wait(max(0.0, until if quiet is None else min(until, quiet))):
                keys = self.context.schedule.take(BATCH)
                if self.context.broker in keys:
                    keys.remove(self.context.broker)
                    await self._broker_changed(live)
                if keys:
                    with self.context.span("pass", cause="changes", keys=len(keys), objects=_named(keys)):
                        await self._pass(live, live.reconciler.run(keys, live.session, live.capabilities))
            self.report.tell()

    async def _pass(self, live: Live, work: Coroutine[Any, Any, None]) -> None:
        """Do work and report what came of it.

        When the broker goes away in the middle nothing is told of it here, since part of it was not even tried: this
        life ends, and whatever has work pending says so.
        """
        self.report.busy()
        try:
            await work
        finally:
            self.report.idle()
        with self.context.span("report"):
            await live.reports.tell(live.reconciler.state.take_affected())

    async def _observe(self, live: Live) -> Observation:
        with self.context.span("observe"):
            return await live.session.observe(None)

    async def _resync(self, live: Live) -> None:
        with self.context.span("pass", cause="resync"):
            observation = await self._observe(live)
            if await live.session.probe() != live.capabilities:
                # Wiped, replaced or upgraded between two calls: an empty broker must not pass for drift on the old one.
                log.info("another broker answers, connecting anew", broker=self.context.name)
                raise ReconnectError
            await self._pass(live, live.reconciler.resync(observation, live.session, live.capabilities))
        self.report.observed(live.reconciler.state)
        self.report.tell()

    async def _check(self, live: Live) -> None:
        """Read the Broker's Secrets again, ask the data plane, and look at some users' Secrets: nothing is watched."""
        manifest = self._accepted()
        options = self.context.options
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                connection = await read_connection(
                    manifest, self.context.secrets, operator_id=options.operator_id, addresses=options.addresses
                )
        except (Retry, TimeoutError) as error:
            # An API server that is away says nothing about the broker: what was read last still serves.
            log.warning("cannot read the Broker's Secrets", broker=self.context.name, why=str(error) or "no answer")
            connection = live.connection
        if connection != live.connection:
            log.info("credentials or certificates changed, connecting anew", broker=self.context.name)
            raise ReconnectError
        data_plane = await live.session.probe_data_plane()
        if data_plane is not None:
            await live.session.probe()  # the Broker shall not say that its other side answers without having asked
        self.report.data_plane(data_plane)
        self.report.met(live.session.certificates())
        share = options.broker_secret_sweep / options.secrets_sweep
        users = [key for key in self._keys() if key.kind is Kind.BROKER_USER]
        for key in users:
            if self.context.clock.jitter.random() < share:
                self.context.bindings.sweep(key)

    async def _broker_changed(self, live: Live) -> None:
        """Take in a change of the Broker object. Raises ReconnectError when the session no longer fits it."""
        manifest = self._accepted()
        if manifest.spec != live.connection.spec:
            raise ReconnectError
        if live.reconciler.brake.waits:
            with self.context.span("pass", cause="brake"):
                await self._pass(live, live.reconciler.run((), live.session, live.capabilities))
        if self.report.asked_to_look(manifest):
            with self.context.span("check"):
                await self._check(live)
            await self._resync(live)

    def _keys(self) -> list[Key]:
        return list(self.context.store.on_broker(self.context.broker))

    def _interval(self, live: Live) -> float:
        stated = self.context.options.resync
        base: float = stated if stated is not None else seconds(live.connection.spec.resync_interval)
        return float(base * self.context.clock.jitter.uniform(0.9, 1.1))

    # -- not connected -------------------------------------------------------------------------------------------

    async def _wait(self, problem: Problem | None, outage: str | None) -> None:
        """Tell what is wrong, then wait for a change of the Broker or for the next try."""
        if problem is None and outage is None and self.context.store.get(self.context.broker) is not None:
            return
        if not self.context.leads():
            return
        await self.report.down(problem, outage)
        await self._offline.tell(self._keys(), problem, outage)
        longest = self._pause(problem, outage)
        clock = self.context.clock
        until = clock.monotonic() + longest
        while (left := until - clock.monotonic()) > 0:
            if not await self.context.schedule.wait(left):
                continue
            keys = self.context.schedule.take(BATCH)
            await self._offline.tell([k for k in keys if k != self.context.broker], problem, outage)
            self.report.tell()
            if self.context.broker in keys:
                return

    def _pause(self, problem: Problem | None, outage: str | None) -> float:
        if outage is None:
            return self.context.options.broker_secret_sweep if problem is not None else 3600.0
        self._failed += 1
        return min(LONGEST_BACKOFF, 0.25 * 2.0 ** min(self._failed, 8)) * self.context.clock.jitter.uniform(0.7, 1.0)

    async def _close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            await live.reconciler.close()
            await live.session.close()


def _named(keys: Sequence[Key]) -> list[str]:
    return [str(key) for key in keys[:NAMED]]
