"""What of a Broker object decides how manifests become native objects on it. Decides nothing."""

from dataclasses import dataclass
from typing import Final

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.connection import RabbitMQ

__all__ = ["MAX_POLICIES", "TAG_PREFIX", "Site"]

TAG_PREFIX: Final = "channel-operator-"
"""Users made by an operator carry this tag with its id; a tag of this kind grants nothing on RabbitMQ."""


MAX_POLICIES: Final = 100
"""Policies of ours on one virtual host unless the operator is told otherwise: each slows the broker down."""


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
