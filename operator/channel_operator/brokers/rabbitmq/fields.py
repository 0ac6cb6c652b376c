"""The field table of RabbitMQ: who honours each field of each kind. Decides nothing; `support` and `compile` do.

A test sets each field and holds what happens against this table.
"""

from typing import Final

__all__ = ["RABBITMQ", "UnlistedFieldError", "field_support"]

BROKER: Final = "Broker"
OPERATOR: Final = "Operator"
"""Honoured by the operator itself: names, policies, references, Secrets."""
NOT_YET: Final = "Refused: UnsupportedByBroker"
_REFUSED: Final = "Refused: UnsupportedByBroker"
_QUORUM: Final = f"Quorum: {BROKER}; Classic: Refused: UnsupportedByBroker"
_DELAYED: Final = f"Quorum: {BROKER} (Refused: BrokerVersionTooOld below 4.3); Classic: Refused: UnsupportedByBroker"
_QUORUM_DEFAULT: Final = f"Quorum: {BROKER}; Classic: none, it is on one node"
_QUORUM_CLIENT: Final = f"Quorum: {BROKER}; Classic: Client"
_DELAYED_CLIENT: Final = f"Quorum: {BROKER} (Refused: BrokerVersionTooOld below 4.3); Classic: Client"
_PLUGIN: Final = "Refused: PluginMissing without consistent hash"
_UNUSED: Final = "Operator: for what this version refuses"

_BROKER_FIELDS: Final[dict[str, str]] = {
    "rabbitmq.managementUrls": OPERATOR,
    "rabbitmq.vhost": BROKER,
    "rabbitmq.clients.addresses": OPERATOR,
    "rabbitmq.clients.streamAddresses": OPERATOR,
    "rabbitmq.settings": BROKER,
    "rabbitmq.policyPriority": BROKER,
    "rabbitmq.onRevoke": OPERATOR,
    "rabbitmq.certificateLogin": OPERATOR,
    "kafka.bootstrapServers": NOT_YET,
    "kafka.saslMechanism": NOT_YET,
    "kafka.clients.bootstrapServers": NOT_YET,
    "kafka.clients.saslMechanism": NOT_YET,
    "kafka.clients.tlsBootstrapServers": NOT_YET,
    "kafka.principalMapping": NOT_YET,
    "credentials.passwordSecretRef.name": OPERATOR,
    "credentials.certificateSecretRef.name": OPERATOR,
    "tls.mode": OPERATOR,
    "tls.caRef.kind": OPERATOR,
    "tls.caRef.name": OPERATOR,
    "tls.caRef.key": OPERATOR,
    "tls.serverName": OPERATOR,
    "allowedNamespaces.from": OPERATOR,
    "allowedNamespaces.selector.matchLabels": OPERATOR,
    "allowedNamespaces.selector.matchExpressions.key": OPERATOR,
    "allowedNamespaces.selector.matchExpressions.operator": OPERATOR,
    "allowedNamespaces.selector.matchExpressions.values": OPERATOR,
    "naming.template": OPERATOR,
    "naming.physicalName": OPERATOR,
    "adoptableUsers": OPERATOR,
    "defaults.deletionPolicy": OPERATOR,
    "defaults.adoptionPolicy": OPERATOR,
    "defaults.replicas": _QUORUM_DEFAULT,
    "defaults.partitions": "Kafka only",
    "defaults.retry.maxDeliveries": _QUORUM_CLIENT,
    "defaults.retry.backoff.initial": _DELAYED_CLIENT,
    "defaults.retry.backoff.max": _DELAYED_CLIENT,
    "defaults.limits.maxMessages": BROKER,
    "defaults.limits.maxBytes": BROKER,
    "defaults.limits.overflow": BROKER,
    "defaults.queueType": BROKER,
    "managementPolicy": OPERATOR,
    "brake.maxDeletions": OPERATOR,
    "brake.maxRevocations": OPERATOR,
    "brake.window": OPERATOR,
    "deletionTimeout": OPERATOR,
    "resyncInterval": OPERATOR,
}

_USER_FIELDS: Final[dict[str, str]] = {
    "brokerRef.name": OPERATOR,
    "brokerRef.namespace": OPERATOR,
    "username": BROKER,
    "authentication.type": BROKER,
    "authentication.certificateSecretRef.name": BROKER,
    "passwordSecretRef.name": BROKER,
    "secret.name": OPERATOR,
    "secret.labels": OPERATOR,
    "secret.annotations": OPERATOR,
    "rotation.every": OPERATOR,
    "rotation.overlap": OPERATOR,
}

_QUEUE_FIELDS: Final[dict[str, str]] = {
    "brokerRef.name": OPERATOR,
    "brokerRef.namespace": OPERATOR,
    "physicalName": BROKER,
    "managementPolicy": OPERATOR,
    "adoptionPolicy": OPERATOR,
    "deletionPolicy": OPERATOR,
    "requireBrokerEnforcement": OPERATOR,
    "ordering": f"None, Strict: {BROKER}; PerKey: {BROKER} ({_PLUGIN})",
    "shards": BROKER,
    "orderingKey.header": BROKER,
    "retry.maxDeliveries": _QUORUM,
    "retry.backoff.initial": _DELAYED,
    "retry.backoff.max": _DELAYED,
    "deadLetter.queueRef.name": BROKER,
    "deadLetter.consumers.name": BROKER,
    "deadLetter.consumers.namespace": BROKER,
    "deadLetter.strategy": f"AtMostOnce: {BROKER}; AtLeastOnce: {_QUORUM}",
    "messageTTL": BROKER,
    "limits.maxMessages": BROKER,
    "limits.maxBytes": BROKER,
    "limits.overflow": BROKER,
    "ackTimeout": f"{BROKER} (Refused: UnsupportedByBroker for Classic from 4.3)",
    "replicas": _QUORUM,
    "producers.name": BROKER,
    "producers.namespace": BROKER,
    "consumers.name": BROKER,
    "consumers.namespace": BROKER,
    "rabbitmq.type": BROKER,
    "rabbitmq.settings": BROKER,
    "rabbitmq.maxPriority": f"Classic: {BROKER}; Quorum: Refused: UnsupportedByBroker",
}

_LOG: Final = f"Log: {BROKER}; FanOut: {_REFUSED}"

_TOPIC_FIELDS: Final[dict[str, str]] = {
    "brokerRef.name": OPERATOR,
    "brokerRef.namespace": OPERATOR,
    "physicalName": BROKER,
    "managementPolicy": OPERATOR,
    "adoptionPolicy": OPERATOR,
    "deletionPolicy": OPERATOR,
    "requireBrokerEnforcement": OPERATOR,
    "storage": BROKER,
    "partitions": _LOG,
    "growFrom": "Refused: ImmutableOnBroker",
    "retention.time": _LOG,
    "retention.bytes": _LOG,
    "compaction": f"None: {BROKER}; KeepLatest: {_REFUSED}",
    "replicas": _LOG,
    "producers.name": BROKER,
    "producers.namespace": BROKER,
    "subscribers.from": OPERATOR,
    "subscribers.selector.matchLabels": OPERATOR,
    "subscribers.selector.matchExpressions.key": OPERATOR,
    "subscribers.selector.matchExpressions.operator": OPERATOR,
    "subscribers.selector.matchExpressions.values": OPERATOR,
    "rabbitmq.streamProducers": _LOG,
}

_ONLY_QUEUES: Final = ("brokerRef", "producers", "consumers.namespace")

_OF_SUBSCRIPTIONS: Final[dict[str, str]] = {
    **{name: text for name, text in _QUEUE_FIELDS.items() if not name.startswith(_ONLY_QUEUES)},
    "filter.routingKeys": BROKER,
    "deadLetter.strategy": f"AtMostOnce: {BROKER}; AtLeastOnce: {_REFUSED}",
    "limits.overflow": f"DropOldest: {BROKER}; RejectNew: {_REFUSED}",
}
_OF_ANY: Final = ("physicalName", "managementPolicy", "adoptionPolicy", "deletionPolicy", "requireBroker", "consumers")

_SUBSCRIPTION_FIELDS: Final[dict[str, str]] = {
    **{
        name: text if name.startswith(_OF_ANY) else f"FanOut: {text} / Log: {_REFUSED}"
        for name, text in _OF_SUBSCRIPTIONS.items()
    },
    "filter.routingKeys": f"FanOut: {BROKER} / Log: Refused: FiltersUnsupported",
    "ordering": f"FanOut: {_QUEUE_FIELDS['ordering']} / Log: None, Strict: {BROKER}; PerKey: {_REFUSED}",
    "topicRef.name": OPERATOR,
    "topicRef.namespace": OPERATOR,
    "startFrom.position": f"Latest: {BROKER}; others: FanOut: {_REFUSED} / Log: Client",
    "startFrom.timestamp": f"FanOut: {_REFUSED} / Log: Client",
}

RABBITMQ: Final = {
    "Broker": _BROKER_FIELDS,
    "BrokerUser": _USER_FIELDS,
    "Queue": _QUEUE_FIELDS,
    "Topic": _TOPIC_FIELDS,
    "Subscription": _SUBSCRIPTION_FIELDS,
}


class UnlistedFieldError(Exception):
    """A field of the API of which the table does not say who honours it."""

    def __init__(self, kind: str, field: str) -> None:
        super().__init__(
            f"{kind} {field}: nothing says who honours this field on RabbitMQ. Add a line for it to the table of "
            f"{kind} in operator/channel_operator/brokers/rabbitmq/fields.py."
        )


def field_support(kind: str, field: str) -> str:
    """Return who honours a field on RabbitMQ; Kafka's own are refused. UnlistedFieldError if the table lacks it."""
    found = RABBITMQ[kind].get(field)
    if found is None and field.startswith("kafka."):
        return NOT_YET
    if found is None:
        raise UnlistedFieldError(kind, field)
    return found
