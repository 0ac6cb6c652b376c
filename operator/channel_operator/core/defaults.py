"""Completes a manifest by what its Broker says where it says nothing.

Decides which default holds. What is settled at creation stays: a default that is changed, added or removed later never
makes an existing channel differ from its manifest. What held at creation is remembered in `status.effective`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from channel_operator.api import Spec
from channel_operator.api.broker import BrokerDefaults, BrokerSpec
from channel_operator.api.common import Backoff, Limits, Overflow, QueueType, Retry, SettingsMode
from channel_operator.api.delivery import QueueRabbitMQ
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import Storage, TopicSpec
from channel_operator.core import policy
from channel_operator.core.view import Manifest
from channel_operator.errors import InvalidManifest

__all__ = ["complete", "completed", "settled"]

_Consumed = TypeVar("_Consumed", bound=QueueSpec | SubscriptionSpec)


def settled(manifest: Manifest) -> Mapping[str, Any] | None:
    """Return what held when the object was made, None while it is not made yet."""
    if policy.owner_record(manifest.annotations) is None:
        return None
    effective: Mapping[str, Any] | None = manifest.status.get("effective") or None
    return effective


def completed(manifest: Manifest, broker: BrokerSpec) -> Spec | None:
    """Return an object's spec as it is meant; None where the manifest cannot be read."""
    made_with = settled(manifest)
    try:
        return _completed(manifest, broker, made_with)
    except ValueError:
        if made_with is None:
            raise
        # Somebody else wrote that status: no channel can have been made so.
        return _completed(manifest, broker, None)


def _completed(manifest: Manifest, broker: BrokerSpec, made_with: Mapping[str, Any] | None) -> Spec | None:
    match manifest.spec:
        case InvalidManifest():
            return None
        case QueueSpec() | SubscriptionSpec() as stated:
            spec = complete(stated, broker.defaults, made_with)
            return spec if broker.rabbitmq is None else _with_native(spec, broker, made_with)
        case TopicSpec() as stated if broker.rabbitmq is not None:
            return _topic(stated, broker.defaults, made_with)
        case stated:
            return stated


def complete(spec: _Consumed, defaults: BrokerDefaults, made_with: Mapping[str, Any] | None) -> _Consumed:
    """Return the Queue or Subscription as it is meant.

    `made_with`: see `settled`; without it the Broker's defaults of today hold.
    """
    if made_with is not None:
        defaults = replace(
            defaults,
            retry=_retry(made_with.get("retry")),
            limits=_limits(made_with.get("limits")),
            replicas=made_with.get("replicas"),
        )
    return replace(
        spec,
        retry=spec.retry if spec.retry is not None else defaults.retry,
        limits=spec.limits if spec.limits is not None else defaults.limits,
        replicas=spec.replicas if spec.replicas is not None else defaults.replicas,
    )


def _topic(spec: TopicSpec, defaults: BrokerDefaults, made_with: Mapping[str, Any] | None) -> TopicSpec:
    """Return the Topic as it is meant on RabbitMQ; only a log is kept on several nodes."""
    storage = spec.storage or Storage.FAN_OUT
    replicas = spec.replicas
    if replicas is None and storage is Storage.LOG:
        replicas = defaults.replicas if made_with is None else made_with.get("replicas")
    return replace(spec, storage=storage, replicas=replicas)


def _with_native(spec: _Consumed, broker: BrokerSpec, made_with: Mapping[str, Any] | None) -> _Consumed:
    """State what holds on RabbitMQ: as the manifest says, as when the queue was made, as the Broker says today."""
    stated = spec.rabbitmq if spec.rabbitmq is not None else QueueRabbitMQ()
    made = (made_with or {}).get("rabbitmq") or {}
    kind, mode = broker.defaults.queue_type, broker.rabbitmq.settings if broker.rabbitmq else SettingsMode.ARGUMENTS
    if made_with is not None:
        kind = QueueType(made["type"]) if made.get("type") in set(QueueType) else kind
        mode = SettingsMode.POLICY if made.get("settings") == SettingsMode.POLICY else SettingsMode.ARGUMENTS
    return replace(spec, rabbitmq=replace(stated, type=stated.type or kind, settings=stated.settings or mode))


def _retry(made_with: Mapping[str, Any] | None) -> Retry | None:
    if not made_with:
        return None
    backoff = made_with.get("backoff")
    return Retry(
        max_deliveries=made_with.get("maxDeliveries"),
        backoff=Backoff(initial=backoff.get("initial"), max=backoff.get("max")) if backoff else None,
    )


def _limits(made_with: Mapping[str, Any] | None) -> Limits | None:
    if not made_with:
        return None
    overflow = made_with.get("overflow")
    size = made_with.get("maxBytes")
    return Limits(
        max_messages=made_with.get("maxMessages"),
        max_bytes=size if size is None else str(size),
        overflow=Overflow(overflow) if overflow is not None else None,
    )
