"""What of a Broker object decides how manifests become native objects on it, and whose a user of the cluster is."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.connection import RabbitMQ

__all__ = ["MAX_POLICIES", "TAG_PREFIX", "Site", "is_made_by"]

TAG_PREFIX: Final = "channel-operator-"
"""Users made by an operator carry this tag with its id; a tag of this kind grants nothing on RabbitMQ."""


MAX_POLICIES: Final = 100
"""Policies of ours on one virtual host unless the operator is told otherwise: each slows the broker down."""


def is_made_by(tag: str, tags: Collection[str]) -> bool:
    """Whether a user with these tags was made by the operator with this mark, whatever tags were added by hand.

    A user that bears the mark of two operators is nobody's: each would take it from the other.
    """
    return tag in tags and not any(other.startswith(TAG_PREFIX) and other != tag for other in tags)


@dataclass(frozen=True, slots=True)
class Site:
    """One Broker object on RabbitMQ, and the operator at work there."""

    spec: BrokerSpec
    rabbitmq: RabbitMQ
    tag: str
    """The mark of users made by this operator."""
    max_policies: int = MAX_POLICIES

    @classmethod
    def of(cls, spec: BrokerSpec, operator_id: str, max_policies: int = MAX_POLICIES) -> "Site":
        """Raise ValueError for a Broker of another type."""
        if spec.rabbitmq is None:
            raise ValueError("the Broker is not of type RabbitMQ")
        return cls(spec, spec.rabbitmq, TAG_PREFIX + operator_id, max_policies)
