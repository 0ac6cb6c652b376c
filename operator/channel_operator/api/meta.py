"""Names of the API group: kinds, plurals, annotations, finalizer.

Decides nothing; the one place where these words are spelt.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "ACCESS_KINDS",
    "API_VERSION",
    "CATEGORY",
    "CHANNEL_KINDS",
    "DELETION_POLICY",
    "FINALIZER",
    "FORCE_RELEASE",
    "GROUP",
    "OWNED",
    "PLURALS",
    "RECONCILE",
    "RECONCILE_AT",
    "RECREATE",
    "RELEASE_BRAKE",
    "ROTATE",
    "SHORT_NAMES",
    "VERSION",
    "Kind",
]

GROUP: Final = "channel-operator.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "channels"


class Kind(StrEnum):
    """A kind of the API group; the value is the `kind` of a manifest."""

    BROKER = "Broker"
    BROKER_USER = "BrokerUser"
    QUEUE = "Queue"
    TOPIC = "Topic"
    SUBSCRIPTION = "Subscription"


CHANNEL_KINDS: Final = frozenset({Kind.QUEUE, Kind.TOPIC, Kind.SUBSCRIPTION})
"""Kinds that carry messages and list who may use them."""

ACCESS_KINDS: Final = frozenset({Kind.BROKER, Kind.BROKER_USER})
"""Kinds that connect to a broker or stand for a principal on it."""

PLURALS: Final[dict[Kind, str]] = {
    Kind.BROKER: "brokers",
    Kind.BROKER_USER: "brokerusers",
    Kind.QUEUE: "queues",
    Kind.TOPIC: "topics",
    Kind.SUBSCRIPTION: "subscriptions",
}

SHORT_NAMES: Final[dict[Kind, str]] = {
    Kind.BROKER: "brk",
    Kind.BROKER_USER: "bru",
    Kind.QUEUE: "chq",
    Kind.TOPIC: "cht",
    Kind.SUBSCRIPTION: "chsub",
}

FINALIZER: Final = f"{GROUP}/cleanup"

# Written by the operator.
OWNED: Final = f"{GROUP}/owned"

# Written by users.
RECONCILE_AT: Final = f"{GROUP}/reconcile-at"
RECONCILE: Final = f"{GROUP}/reconcile"
RELEASE_BRAKE: Final = f"{GROUP}/release-brake"
FORCE_RELEASE: Final = f"{GROUP}/force-release"
RECREATE: Final = f"{GROUP}/recreate"
ROTATE: Final = f"{GROUP}/rotate"
DELETION_POLICY: Final = f"{GROUP}/deletion-policy"
