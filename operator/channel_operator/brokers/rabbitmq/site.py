"""What of a Broker object decides how manifests become native objects on it. Decides nothing."""

from dataclasses import dataclass
from typing import Final

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.connection import RabbitMQ

__all__ = ["TAG_PREFIX", "Site"]

TAG_PREFIX: Final = "channel-operator-"
"""Users made by an operator carry this tag with its id; a tag of this kind grants nothing on RabbitMQ."""


@dataclass(frozen=True, slots=True)
class Site:
    """One Broker object on RabbitMQ, and the operator at work there."""

    spec: BrokerSpec
    rabbitmq: RabbitMQ
    tag: str
    """The mark of users made by this operator."""

    @classmethod
    def of(cls, spec: BrokerSpec, operator_id: str) -> "Site":
        """Raise ValueError for a Broker of another type."""
        if spec.rabbitmq is None:
            raise ValueError("the Broker is not of type RabbitMQ")
        return cls(spec, spec.rabbitmq, TAG_PREFIX + operator_id)
