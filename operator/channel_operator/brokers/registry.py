"""Which driver serves which kind of broker: the one place that knows all of them. Decides nothing else."""

from channel_operator.api.broker import BrokerSpec
from channel_operator.brokers.base import Connection, Driver, Recorder, Session
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.session import RabbitMQSession

__all__ = ["create_driver", "open_session"]


def create_driver(spec: BrokerSpec, operator_id: str) -> Driver | None:
    """Return the pure side for this kind of broker; None where there is none yet (the caller refuses the Broker)."""
    if spec.rabbitmq is not None:
        return RabbitMQDriver(spec, operator_id)
    return None


def open_session(connection: Connection, recorder: Recorder) -> Session:
    """Return the I/O side for a Broker that has a driver. Nothing is connected before its first call."""
    if connection.spec.rabbitmq is None:
        raise ValueError("there is no driver for this kind of broker")
    return RabbitMQSession(connection, recorder)
