"""Which driver serves which kind of broker: the one place that knows all of them. Decides nothing else."""

from channel_operator.api.broker import BrokerSpec
from channel_operator.brokers.base import Driver
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver

__all__ = ["create_driver"]


def create_driver(spec: BrokerSpec, operator_id: str) -> Driver | None:
    """Return the pure side for this kind of broker; None where there is none yet (the caller refuses the Broker)."""
    if spec.rabbitmq is not None:
        return RabbitMQDriver(spec, operator_id)
    return None
