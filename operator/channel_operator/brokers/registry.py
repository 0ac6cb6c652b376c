"""Which driver serves which kind of broker, and what each honours: the one place that knows all of them."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.manifest import SPECS
from channel_operator.api.schema import Model, alias
from channel_operator.brokers.base import Connection, Driver, FieldSupport, Recorder, Session
from channel_operator.brokers.rabbitmq import roundtrip
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.fields import field_support
from channel_operator.brokers.rabbitmq.session import RabbitMQSession
from channel_operator.brokers.rabbitmq.site import MAX_POLICIES

__all__ = ["create_driver", "field_table", "open_session", "round_trip"]


def create_driver(spec: BrokerSpec, operator_id: str, max_policies: int = MAX_POLICIES) -> Driver | None:
    """Return the pure side for this kind of broker; None where there is none yet (the caller refuses the Broker)."""
    if spec.rabbitmq is not None:
        return RabbitMQDriver(spec, operator_id, max_policies)
    return None


def open_session(connection: Connection, recorder: Recorder) -> Session:
    """Return the I/O side for a Broker that has a driver. Nothing is connected before its first call."""
    if connection.spec.rabbitmq is None:
        raise ValueError("there is no driver for this kind of broker")
    return RabbitMQSession(connection, recorder)


def round_trip(binding: Mapping[str, str], text: str, seconds: float) -> None:
    """Send one message with a binding Secret's entries and receive it back, as an application would, over TLS.

    The user is the only producer and consumer of one empty Queue. Blocks; each step may take so many seconds. Raises
    OperatorError with what went wrong.
    """
    if binding.get("type") != "rabbitmq":
        raise ValueError("there is no driver for this kind of broker")
    roundtrip.round_trip(binding, text, seconds)


def field_table() -> list[FieldSupport]:
    """Return who honours each leaf field of each kind on each broker with a driver, in the order of the manifests.

    Leaves of lists are named without an index: `producers.name`.
    """
    return [
        FieldSupport(kind, leaf, {"RabbitMQ": field_support(kind, leaf)})
        for kind, spec in SPECS.items()
        for leaf in _leaves(spec)
    ]


def _leaves(model: type[Any], prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(model):
        name = prefix + alias(field.name)
        inner = _model_in(field.type)
        if inner is None:
            yield name
        else:
            yield from _leaves(inner, f"{name}.")


def _model_in(annotation: Any) -> type[Model] | None:
    """Find the model within optional, annotated and list types."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
