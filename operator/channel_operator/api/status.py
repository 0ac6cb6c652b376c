"""What the operator says of an object: conditions and findings, the same values for the CRDs and for the reporter.

Decides shape and bounds. Never decides what is true.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from channel_operator.api.effective import Effective
from channel_operator.api.schema import Model, Text, elements, model

__all__ = [
    "MAX_GRANTS",
    "MAX_PLANNED",
    "Address",
    "ChannelGrant",
    "ChannelStatus",
    "Condition",
    "ConditionStatus",
    "EnforcedBy",
    "EnforcementEntry",
    "GrantState",
    "KafkaAddress",
    "Line",
    "Moment",
    "Name",
    "Origin",
    "PlanStatus",
    "RabbitMQAddress",
    "Sentence",
    "Status",
    "Total",
    "Word",
]

MAX_GRANTS: Final = 50
MAX_PLANNED: Final = 20
"""Longest lists of a status; the counts beside them are of everything."""

Word = Annotated[str, Text(max_length=64, min_length=0)]
Name = Annotated[str, Text(max_length=512, min_length=0)]
Sentence = Annotated[str, Text(max_length=1024, min_length=0)]
Line = Annotated[str, Text(max_length=4096, min_length=0)]
Total = Annotated[int, Field(ge=0)]


def _with_zone(stamp: str) -> str:
    if datetime.fromisoformat(stamp).tzinfo is None:
        raise ValueError("a time without a zone")
    return stamp


Moment = Annotated[str, AfterValidator(_with_zone), Field(json_schema_extra={"format": "date-time"})]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class EnforcedBy(StrEnum):
    """Who honours a field."""

    BROKER = "Broker"
    CLIENT = "Client"


class Origin(StrEnum):
    """How the object on the broker came to belong to the manifest."""

    CREATED = "Created"
    ADOPTED = "Adopted"


class GrantState(StrEnum):
    """What became of an entry in producers or consumers."""

    GRANTED = "Granted"
    MISSING = "Missing"
    NOT_PERMITTED = "NotPermitted"
    ON_OTHER_BROKER = "OnOtherBroker"
    TOO_MANY = "TooMany"


@model
class Condition(Model):
    """One aspect of the state, as all of Kubernetes writes it."""

    type: Annotated[str, Text(max_length=316)]
    """What it is about, for instance Ready."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Text(max_length=1024)]
    """Why, in one word of a closed list: see docs/api.md."""
    message: Annotated[str, Text(max_length=32768, min_length=0)]
    """Why, and what to do, in words."""
    last_transition_time: Moment
    """When `status` last changed."""
    observed_generation: int | None = None
    """metadata.generation that it is about."""


_Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


@model
class Status(Model):
    """What every kind's status starts with."""

    observed_generation: int = -1
    """metadata.generation that the conditions are about; -1 before the first look."""
    conditions: _Conditions = ()
    """What is known, one condition an aspect."""


@model
class RabbitMQAddress(Model):
    """Where the channel is on RabbitMQ."""

    vhost: Name | None = None
    """Virtual host."""
    exchange: Name | None = None
    """Exchange to publish to; of a Subscription the one of its Topic, from which its messages come."""
    queues: Annotated[tuple[Name, ...], elements("atomic", at_most=256)] = ()
    """Queues to consume from."""


@model
class KafkaAddress(Model):
    """Where the channel is on Kafka."""

    topic: Name | None = None
    """Topic."""
    group: Name | None = None
    """Consumer group."""


@model
class Address(Model):
    """Where the channel is on the broker."""

    name: Name
    """Name of the main object."""
    rabbitmq: RabbitMQAddress | None = None
    """On RabbitMQ."""
    kafka: KafkaAddress | None = None
    """On Kafka."""


@model
class EnforcementEntry(Model):
    """Who honours a field, where that is worth knowing."""

    field: Name
    """The field, for instance spec.retry.backoff."""
    by: EnforcedBy
    """Broker or Client."""
    note: Sentence | None = None
    """What that means."""


@model
class ChannelGrant(Model):
    """What became of one entry in producers or consumers."""

    user: Name
    """The BrokerUser, as namespace/name."""
    role: Word
    """What it may do here: Producer, Consumer, DeadLetterConsumer."""
    state: GrantState
    """Granted, Missing, NotPermitted, OnOtherBroker or TooMany."""


@model
class PlanStatus(Model):
    """What would change on the broker."""

    summary: Sentence
    """All of it in one line."""
    changes: Annotated[tuple[Line, ...], elements("atomic", at_most=MAX_PLANNED)] = ()
    """The first changes, one line each."""


@model
class ChannelStatus(Status):
    """What the operator found and did."""

    broker: Name | None = None
    """The Broker, as namespace/name."""
    address: Address | None = None
    """Where the channel is on the broker."""
    effective: Effective | None = None
    """What holds, defaults included."""
    enforcement: Annotated[tuple[EnforcementEntry, ...], elements("atomic", at_most=64)] = ()
    """Fields of which it is worth knowing who honours them."""
    origin: Origin | None = None
    """Created: made by the operator. Adopted: it existed and was taken over."""
    broker_id: Name | None = None
    """The broker's own id of the object (Kafka topic id)."""
    grants: Annotated[tuple[ChannelGrant, ...], elements("atomic", at_most=MAX_GRANTS)] = ()
    """What became of producers and consumers, the first of them."""
    grant_count: Total | None = None
    """How many grants there are."""
    plan: PlanStatus | None = None
    """What would change: under managementPolicy Observe, or when a change is blocked."""
