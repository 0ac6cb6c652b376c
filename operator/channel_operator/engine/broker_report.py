"""Keeps what is known of one broker and has the Broker object say it: status, finalizer, events.

Decides when it is said: at once when something happened to the broker, at most every few seconds while its channels
come and go. What it says is `engine.broker_status`.
"""

from collections.abc import Collection, Mapping

import structlog

from channel_operator.api.broker import BrokerSpec, TlsMode
from channel_operator.api.meta import RECONCILE_AT
from channel_operator.api.reasons import EventReason
from channel_operator.brokers.base import Connection
from channel_operator.core import naming, policy
from channel_operator.core.model import (
    Capabilities,
    Key,
    Problem,
    ResourceId,
)
from channel_operator.core.report import changed_fields
from channel_operator.core.view import Manifest
from channel_operator.engine.broker_status import BrokerFacts, broker_status, count_channels
from channel_operator.engine.certificates import not_after
from channel_operator.engine.context import Context
from channel_operator.engine.outage import OutageCause
from channel_operator.engine.state import BrokerState

__all__ = ["BrokerReport"]

log = structlog.get_logger(__name__)

PAUSE = 5.0
"""Seconds between two writes of a Broker's status while its channels come and go."""


class BrokerReport:
    """The Broker object's side of one loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._capabilities: Capabilities | None = None
        self._problem: Problem | None = None
        self._outage = OutageCause()
        self._data_plane = OutageCause()
        self._uid: str | None = None
        self._replaced: str | None = None
        self._orphans: list[str] = []
        self._observed: str | None = None
        self.observed_at: float | None = None
        self.busy_since: float | None = None
        self._asked: str | None = None
        self._told_at: float | None = None
        self._due_at: float | None = None
        self._told_token: str | None = None
        self._warned_tls: str | None = None
        self.certificates: dict[str, float] = {}
        """Which → notAfter, of all that this broker was met with; kept while it is away."""

    # -- what happened -------------------------------------------------------------------------------------------

    async def connected(
        self, manifest: Manifest, connection: Connection, capabilities: Capabilities, data_plane: str | None
    ) -> None:
        """Take in that the broker answers: what it is, and whether it is another one than before."""
        if self._uid != manifest.uid:
            self._uid, self._replaced = manifest.uid, None
        self.certificates = {}
        self.met({which: pem for which, pem in (("ca", connection.ca), ("client", connection.certificate)) if pem})
        before = manifest.status.get("identity")
        if before and before != capabilities.identity:
            self._replaced = before
            text = (
                f"Another broker answers: identity {before} before, {capabilities.identity} now. Nothing is withdrawn."
            )
            await self._event(manifest, EventReason.BROKER_REPLACED, text, warning=True)
        self._capabilities = capabilities
        self._problem = None
        self._data_plane.over()
        self.data_plane(data_plane)
        log.info("connected", broker=self._context.name, product=capabilities.product, version=capabilities.version)
        await self._warn_tls(manifest)
        self._due_at = self._context.clock.monotonic()

    def met(self, certificates: Mapping[str, str]) -> None:
        """Take in the certificates (PEM) in use, by what they are for."""
        ends = {which: not_after(pem) for which, pem in certificates.items()}
        self.certificates |= {which: end for which, end in ends.items() if end is not None}

    async def served(self) -> None:
        """Take in that everything was looked at and written once: only that ends an outage."""
        was_down = self._outage.told is not None
        self._outage.over()
        manifest = self._context.store.get(self._context.broker)
        if was_down and manifest is not None:
            await self._event(manifest, EventReason.BROKER_RECOVERED, f"Broker {self._context.name} answers again.")

    async def _warn_tls(self, manifest: Manifest) -> None:
        spec = manifest.spec
        if (
            not isinstance(spec, BrokerSpec)
            or spec.tls.mode is not TlsMode.DISABLED
            or self._warned_tls == manifest.uid
        ):
            return
        self._warned_tls = manifest.uid
        text = "spec.tls.mode is Disabled: passwords and messages cross the network unencrypted."
        await self._event(manifest, EventReason.TLS_DISABLED, text, warning=True)

    async def down(self, problem: Problem | None, outage: str | None) -> None:
        """Take in that the broker cannot be worked with."""
        manifest = self._context.store.get(self._context.broker)
        first = outage is not None and self._outage.told is None
        self._problem = problem
        if manifest is None:
            return
        if outage is None:
            self._outage.over()
        else:
            self._outage.hear(outage, generation=manifest.generation, now=self._context.clock.monotonic())
        if first:
            log.warning("the broker went away", broker=self._context.name, why=outage)
            await self._event(manifest, EventReason.BROKER_UNREACHABLE, outage or "", warning=True)
        self._due_at = self._context.clock.monotonic()
        self.tell()

    def data_plane(self, problem: str | None) -> None:
        """Take in what the data plane answered."""
        before, now = self._data_plane.told, self._context.clock.monotonic()
        if problem is None:
            self._data_plane.over()
        else:
            manifest = self._context.store.get(self._context.broker)
            self._data_plane.hear(problem, generation=manifest.generation if manifest is not None else 0, now=now)
        if self._data_plane.told != before:
            self._due_at = now

    def observed(self, state: BrokerState) -> None:
        """Take in that the whole broker was looked at."""
        self._observed = self._context.now()
        self.observed_at = self._context.clock.now().timestamp()
        self._orphans = self._find_orphans(state)

    def _find_orphans(self, state: BrokerState) -> list[str]:
        """Return names within the naming prefixes of known namespaces that no manifest speaks of."""
        manifest = self._context.store.get(self._context.broker)
        if manifest is None or not isinstance(manifest.spec, BrokerSpec):
            return []
        # Users of ours belong to the whole cluster: other Brokers may stand for them, and what none does is removed.
        owned: Collection[ResourceId] = {*state.desired.ids(), *state.driver.leftovers(state.picture)}
        found = set()
        for rid in state.picture:
            name = state.driver.name_of(rid) if rid not in owned else None
            namespace = naming.namespace_of(manifest.spec, name) if name is not None else None
            if namespace is not None and self._context.store.namespace(namespace) is not None:
                found.add(str(rid))
        return sorted(found)

    @property
    def orphans(self) -> int | None:
        """How many objects no manifest names; None before the broker was looked at."""
        return None if self.observed_at is None else len(self._orphans)

    def up(self) -> Mapping[str, bool]:
        """Return which planes answer."""
        answers = self._capabilities is not None and self._outage.told is None and self._problem is None
        return {"management": answers, "data": answers and self._data_plane.told is None}

    def busy(self) -> None:
        """Note that a pass begins."""
        self.busy_since = self._context.clock.now().timestamp()

    def idle(self) -> None:
        """Note that it ended, and that the numbers of channels may have changed."""
        self.busy_since = None
        if self._due_at is None:
            now = self._context.clock.monotonic()
            self._due_at = now if self._told_at is None else max(now, self._told_at + PAUSE)

    def asked_to_look(self, manifest: Manifest) -> bool:
        """Whether the annotation reconcile-at has a new value."""
        before, self._asked = self._asked, manifest.annotations.get(RECONCILE_AT, "")
        return before is not None and before != self._asked

    # -- saying it -----------------------------------------------------------------------------------------------

    def due_in(self) -> float | None:
        """Return in how many seconds the status may be written, None if nothing is to be said."""
        return None if self._due_at is None else max(0.0, self._due_at - self._context.clock.monotonic())

    def tell(self) -> None:
        """Have the status written if it is time, the finalizer set, or taken away when nothing depends on it."""
        store, key = self._context.store, self._context.broker
        manifest = store.get(key)
        if manifest is None:
            return
        if self._asked is None:
            self._asked = manifest.annotations.get(RECONCILE_AT, "")
        # Counted only where they matter: this runs after every pass.
        wanted = manifest.deleted is not None or self._capabilities is None
        dependants = self._dependants() if wanted else []
        if manifest.deleted is not None:
            if (not dependants or policy.is_released_by_force(manifest)) and policy.has_finalizer(manifest):
                self._context.claims.release(key)
            if not policy.has_finalizer(manifest):
                return
            self._due_at = self._context.clock.monotonic()
        elif dependants or self._capabilities is not None:
            self.keep_finalizer(manifest)
        # What the brake says is not put off: somebody is waited for.
        if self._context.brake_state().token == self._told_token and (
            self._due_at is None or self._due_at > self._context.clock.monotonic()
        ):
            return
        self._due_at, self._told_token = None, self._context.brake_state().token
        self._told_at = self._context.clock.monotonic()
        self._write(manifest, dependants)

    def _dependants(self) -> list[Key]:
        store = self._context.store
        found = [(key, store.get(key)) for key in store.on_broker(self._context.broker)]
        return [key for key, manifest in found if manifest is not None and policy.has_finalizer(manifest)]

    def keep_finalizer(self, manifest: Manifest) -> None:
        """Have the Broker stay until those that depend on it are gone."""
        if (
            manifest.deleted is None
            and not policy.has_finalizer(manifest)
            and not self._context.claims.in_flight(manifest.key)
        ):
            self._context.claims.claim(manifest.key, None)

    def _write(self, manifest: Manifest, dependants: list[Key]) -> None:
        store = self._context.store
        manifests = [m for k in store.on_broker(manifest.key) if (m := store.get(k)) is not None]
        facts = BrokerFacts(
            manifest,
            self._context.now(),
            self._capabilities,
            self._problem,
            self._outage.told,
            self._data_plane.told,
            self._replaced,
            count_channels(manifests),
            self._orphans,
            self._observed,
            dependants,
            self._context.brake_state(),
        )
        status = broker_status(facts)
        if self._observed is not None and changed_fields(manifest.status, status):
            status["lastObservedTime"] = self._observed
        result = "success" if self._problem is None and self._outage.told is None else "waiting"
        self._context.statuses.want(manifest.key, manifest.uid, status, result)

    async def _event(self, manifest: Manifest, reason: EventReason, text: str, *, warning: bool = False) -> None:
        await self._context.statuses.event(manifest.key, manifest.uid, reason, text, warning=warning)
