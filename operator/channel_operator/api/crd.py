"""Makes the CustomResourceDefinitions from the models.

Decides names, columns, selectable fields and the frame around spec and status. Never decides a field of a kind.
"""

from functools import cache
from typing import Any, Final, NamedTuple

from channel_operator.api.manifest import SPECS
from channel_operator.api.meta import CATEGORY, GROUP, PLURALS, SHORT_NAMES, VERSION, Kind
from channel_operator.api.schema import RULES
from channel_operator.api.status_access import STATUSES
from channel_operator.api.structural import immutability, schema_of, unmarked

__all__ = ["DESCRIPTIONS", "MAX_NAME", "Column", "columns", "crd", "spec_schema", "status_schema"]

Schema = dict[str, Any]

MAX_NAME: Final[dict[Kind, int]] = {
    Kind.BROKER: 63,
    # Namespace (63), separator, fixed prefix (at most 62) and the longest derived ending stay below Kafka's 249
    # characters for a topic and RabbitMQ's 255 bytes for anything.
    Kind.BROKER_USER: 115,
    Kind.QUEUE: 115,
    Kind.TOPIC: 115,
    Kind.SUBSCRIPTION: 115,
}
"""Longest `metadata.name` of each kind."""

DESCRIPTIONS: Final[dict[Kind, str]] = {
    Kind.BROKER: (
        "A connection to one RabbitMQ virtual host or one Kafka cluster: how to reach it, which namespaces may use it, "
        "and what holds where their manifests say nothing."
    ),
    Kind.BROKER_USER: (
        "A principal on a broker. Its credentials land in a Secret in the same namespace, ready to be mounted. What it "
        "may do is decided by the channels that list it."
    ),
    Kind.QUEUE: "A point-to-point channel: each message goes to one consumer.",
    Kind.TOPIC: "A publish-subscribe channel: each message goes to every Subscription.",
    Kind.SUBSCRIPTION: "A durable subscription to a Topic, possibly in another namespace.",
}

_SELECTABLE: Final[dict[Kind, tuple[str, ...]]] = {
    Kind.BROKER: (),
    Kind.BROKER_USER: (".spec.brokerRef.name",),
    Kind.QUEUE: (".spec.brokerRef.name",),
    Kind.TOPIC: (".spec.brokerRef.name",),
    Kind.SUBSCRIPTION: (".spec.topicRef.name",),
}


class Column(NamedTuple):
    """A column of `kubectl get`; `wide` ones appear with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


def _condition(name: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{name}")].{field}'


# Of any kind namespace/name: a Subscription takes the Broker of its Topic, which only the status knows.
_BROKER: Final = ".status.broker"
_STATE: Final = (Column("Ready", _condition("Ready", "status")), Column("Reason", _condition("Ready", "reason")))
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
_MESSAGE: Final = Column("Message", _condition("Ready", "message"), wide=True)


def columns(kind: Kind) -> tuple[Column, ...]:
    """Return what `kubectl get` shows of a kind, from left to right."""
    if kind is Kind.BROKER:
        found: tuple[Column, ...] = (
            Column("Type", ".status.product"),
            Column("Version", ".status.version"),
            Column("Channels", ".status.channels.total", "integer"),
        )
        return (*found, *_STATE, _AGE, _MESSAGE)
    if kind is Kind.BROKER_USER:
        found = (
            Column("Broker", _BROKER),
            Column("Username", ".status.username"),
            Column("Secret", ".status.binding.name"),
            Column("Grants", ".status.grantCount", "integer"),
        )
        return (*found, *_STATE, _AGE, _MESSAGE)
    return (
        Column("Broker", _BROKER),
        Column("Address", ".status.address.name"),
        *_STATE,
        _AGE,
        Column("Origin", ".status.origin", wide=True),
        Column("Deletion", ".status.effective.deletionPolicy", wide=True),
        _MESSAGE,
    )


@cache
def spec_schema(kind: Kind) -> Schema:
    """Return the schema of a spec, with the generator's marks. Shared: do not change it."""
    schema = schema_of(SPECS[kind])
    rules = [*schema.get(RULES, ()), *(rule.schema() for rule in immutability(schema))]
    return {**schema, RULES: rules}


@cache
def status_schema(kind: Kind) -> Schema:
    """Return the schema of a status. Shared: do not change it.

    `status` itself has a default, so that a fresh object reads as not yet looked at instead of as current.
    """
    return {**unmarked(schema_of(STATUSES[kind])), "default": {"observedGeneration": -1}}


def crd(kind: Kind) -> Schema:
    """Return the whole CustomResourceDefinition of a kind."""
    metadata: Schema = {"name": f"{PLURALS[kind]}.{GROUP}"}
    if kind is Kind.BROKER_USER:
        metadata["labels"] = {"servicebinding.io/provisioned-service": "true"}
    names = {
        "kind": kind.value,
        "listKind": f"{kind.value}List",
        "plural": PLURALS[kind],
        "singular": kind.value.lower(),
        "shortNames": [SHORT_NAMES[kind]],
        "categories": [CATEGORY],
    }
    spec = {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [_version(kind)]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


def _version(kind: Kind) -> Schema:
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printed(column) for column in columns(kind)],
    }
    if _SELECTABLE[kind]:
        version["selectableFields"] = [{"jsonPath": path} for path in _SELECTABLE[kind]]
    return {**version, "schema": {"openAPIV3Schema": _root(kind)}}


def _printed(column: Column) -> Schema:
    printed: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**printed, "priority": 1} if column.wide else printed


def _root(kind: Kind) -> Schema:
    root: Schema = {
        "description": DESCRIPTIONS[kind],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.value},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": MAX_NAME[kind]}}},
            "spec": unmarked(spec_schema(kind)),
            "status": status_schema(kind),
        },
    }
    if rules := [rule.schema() for rule in SPECS[kind].ROOT_RULES]:
        root[RULES] = rules
    return root
