"""Turns what RabbitMQ's management API answers into resources and capabilities.

What has an unknown shape is left out, never guessed. Never asks anything.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from channel_operator.brokers.rabbitmq.delivery_rules import DELAYED_RETRY
from channel_operator.brokers.rabbitmq.resources import (
    BINDING,
    EXCHANGE,
    PERMISSION,
    POLICY,
    QUEUE,
    QUEUE_TYPE,
    USER,
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    User,
    arguments_of,
)
from channel_operator.core.model import Capabilities, Resource, ResourceId, Secret

__all__ = ["capabilities", "keyed_bindings", "mapping", "parsed", "parsed_all"]


def capabilities(overview: Any, cluster: Any, vhost: str) -> Capabilities:
    """Return what a broker is, by its overview and the parameter that holds its cluster's id."""
    about, parameter = mapping(overview), mapping(cluster)
    version = str(about.get("rabbitmq_version") or about.get("product_version") or "unknown")
    # Broker clusters older than their id's introduction have no such parameter; their name is the next best.
    identifier = str(parameter.get("value") or about.get("cluster_name") or "unknown")
    features = {str(entry.get("name")) for entry in _entries(about.get("exchange_types"))}
    found = Capabilities("RabbitMQ", version, f"{identifier}/{vhost}", identifier, frozenset(features))
    if found.version_numbers >= DELAYED_RETRY:
        features.add("delayed_retry")
    return Capabilities("RabbitMQ", version, found.identity, identifier, frozenset(features))


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a JSON object as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, dict))


def _queue(entry: Mapping[str, Any]) -> Queue | None:
    name = entry.get("name")
    if not isinstance(name, str):
        return None
    arguments = arguments_of(entry.get("arguments"))
    # A queue declared before 4.0 without a type carries none in its arguments.
    kind = dict(arguments).get(QUEUE_TYPE) or entry.get("type") or "classic"
    return Queue(name, str(kind), bool(entry.get("durable")), bool(entry.get("auto_delete")), arguments)


def _exchange(entry: Mapping[str, Any]) -> Exchange | None:
    name, kind = entry.get("name"), entry.get("type")
    if not isinstance(name, str) or not isinstance(kind, str) or not name:
        return None
    return Exchange(
        name,
        kind,
        bool(entry.get("durable")),
        bool(entry.get("auto_delete")),
        bool(entry.get("internal")),
        arguments_of(entry.get("arguments")),
    )


def _binding(entry: Mapping[str, Any]) -> Binding | None:
    source, destination = entry.get("source"), entry.get("destination")
    kind = entry.get("destination_type")
    # The binding to the default exchange belongs to the queue itself.
    if (
        not isinstance(source, str)
        or not source
        or not isinstance(destination, str)
        or kind not in {"queue", "exchange"}
    ):
        return None
    key = str(entry.get("routing_key") or "")
    return Binding(source, destination, str(kind), key, arguments_of(entry.get("arguments")))


def _policy(entry: Mapping[str, Any]) -> Policy | None:
    name, pattern, priority = entry.get("name"), entry.get("pattern"), entry.get("priority")
    if not isinstance(name, str) or not isinstance(pattern, str) or not isinstance(priority, int):
        return None
    return Policy(name, pattern, str(entry.get("apply-to") or "all"), priority, arguments_of(entry.get("definition")))


def _user(entry: Mapping[str, Any]) -> User | None:
    name, tags = entry.get("name"), entry.get("tags")
    if not isinstance(name, str):
        return None
    if isinstance(tags, str):  # before 3.9
        tags = [tag.strip() for tag in tags.split(",") if tag.strip()]
    return User(
        name,
        tuple(sorted(str(tag) for tag in tags)) if isinstance(tags, list) else (),
        None,
        Secret(str(entry.get("password_hash") or "")),
        str(entry.get("hashing_algorithm") or ""),
    )


def _permission(entry: Mapping[str, Any]) -> Permission | None:
    texts = [entry.get(name) for name in ("user", "configure", "write", "read")]
    if not all(isinstance(text, str) for text in texts):
        return None
    return Permission(*(str(text) for text in texts))


_PARSERS: Final = {
    QUEUE: _queue,
    EXCHANGE: _exchange,
    BINDING: _binding,
    POLICY: _policy,
    USER: _user,
    PERMISSION: _permission,
}


def parsed(kind: str, entry: Any) -> Resource | None:
    """Return one object of a kind, None where it has not the shape of one."""
    return _PARSERS[kind](mapping(entry))


def parsed_all(kind: str, entries: Any) -> Iterator[tuple[ResourceId, Resource]]:
    """Yield every object of a list that has the shape of its kind."""
    parse = _PARSERS[kind]
    for entry in _entries(entries):
        resource = parse(entry)
        if resource is not None:
            yield resource.id, resource


def keyed_bindings(entries: Any) -> list[tuple[Binding, str]]:
    """Return the bindings of a list, each with the key under which the broker addresses it."""
    pairs = ((_binding(entry), str(entry.get("properties_key") or "~")) for entry in _entries(entries))
    return [(binding, key) for binding, key in pairs if binding is not None]
