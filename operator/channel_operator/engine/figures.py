"""Counts what the gauges of a broker show, whenever somebody asks. Decides nothing and must be quick.

Objects whose Broker does not exist, or is not known yet, are counted together: nobody else would see them.
"""

from collections.abc import Callable, Collection
from datetime import datetime

from channel_operator.api.meta import Kind
from channel_operator.core import policy
from channel_operator.core.model import Key
from channel_operator.core.report import is_ready
from channel_operator.core.view import Manifest
from channel_operator.engine.broker_report import BrokerReport
from channel_operator.engine.certificates import not_after
from channel_operator.engine.context import Context
from channel_operator.engine.ports import NO_BROKER, BrokerFigures
from channel_operator.engine.store import Store

__all__ = ["broker_figures", "brokerless_figures"]


def broker_figures(context: Context, report: BrokerReport) -> BrokerFigures:
    """Return what the gauges of one broker show."""
    store = context.store
    found = [m for key in store.on_broker(context.broker) if (m := store.get(key)) is not None]
    broker = store.get(context.broker)
    stamps = [(manifest.status.get("credentials") or {}).get("issuedAt") for manifest in found]
    ends = [end for manifest in found if (end := _certificate_end(context, manifest.key)) is not None]
    return BrokerFigures(
        broker=context.name,
        # One that was told to be left alone is not asked, so nobody is to be woken for it.
        up={} if broker is not None and policy.is_disabled(broker) else report.up(),
        depth={priority.name.lower(): count for priority, count in context.schedule.depth().items()},
        resources=_by_readiness(found),
        deleting_since=_oldest_deletions(found if broker is None else [broker, *found]),
        observed_at=report.observed_at,
        in_progress_since=report.busy_since,
        orphans=report.orphans,
        brake_engaged=context.brake_state().engaged,
        oldest_credential_at=min((_seconds(stamp) for stamp in stamps if stamp), default=None),
        certificates={**report.certificates, **({"user": min(ends)} if ends else {})},
    )


def brokerless_figures(store: Store, is_served: Callable[[Key], bool]) -> BrokerFigures:
    """Return the same of all objects whose Broker is not served."""
    found = [
        manifest
        for key in store.keys()  # noqa: SIM118  # a method of the store, not of a dict
        if key.kind is not Kind.BROKER
        and (manifest := store.get(key)) is not None
        and (manifest.refs.broker is None or not is_served(manifest.refs.broker))
    ]
    return BrokerFigures(NO_BROKER, resources=_by_readiness(found), deleting_since=_oldest_deletions(found))


def _by_readiness(manifests: Collection[Manifest]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for manifest in manifests:
        if manifest.key.kind is not Kind.BROKER:
            ready = "true" if is_ready(manifest.status, manifest.generation) else "false"
            counts[manifest.key.kind, ready] = counts.get((manifest.key.kind, ready), 0) + 1
    return counts


def _oldest_deletions(manifests: Collection[Manifest]) -> dict[str, float]:
    oldest: dict[str, float] = {}
    for manifest in manifests:
        if manifest.deleted is not None:
            since = _seconds(manifest.deleted)
            oldest[manifest.key.kind] = min(since, oldest.get(manifest.key.kind, since))
    return oldest


def _certificate_end(context: Context, key: Key) -> float | None:
    issued = context.bindings.of(key).issued if key.kind is Kind.BROKER_USER else None
    return not_after(issued.credential.certificate) if issued is not None else None


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
