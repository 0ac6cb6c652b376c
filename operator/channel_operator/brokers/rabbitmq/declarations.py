"""How each object is written to the management API. Decides paths and bodies, never whether or when."""

import base64
import hashlib
import secrets
from typing import Any, Final

from channel_operator.brokers.rabbitmq.http import path
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    User,
    plain_arguments,
)
from channel_operator.core.model import Resource, ResourceId, Secret

__all__ = ["body_of", "connections_path", "hashed", "listed", "object_path"]

_HASHING: Final = "rabbit_password_hashing_sha256"


def hashed(password: Secret) -> str:
    """Return RabbitMQ's salted form (documentation "Passwords"): base64 of 4 random bytes and sha256(salt + password).

    The broker never sees the password itself that way.
    """
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.reveal().encode()).digest()).decode()


def object_path(vhost: str, rid: ResourceId) -> str:
    """Return the address of an object; for a binding that of all bindings between its two ends."""
    match rid.kind:
        case "Queue":
            return path("queues", vhost, rid.path[0])
        case "Exchange":
            return path("exchanges", vhost, rid.path[0])
        case "Binding":
            source, kind, destination = rid.path[:3]
            return path("bindings", vhost, "e", source, kind[0], destination)
        case "Policy":
            return path("policies", vhost, rid.path[0])
        case "User":
            return path("users", rid.path[0])
        case "Permission":
            return path("permissions", vhost, rid.path[0])
        case _:
            raise ValueError(f"{rid.kind} is no object of RabbitMQ")


def connections_path(user: str) -> str:
    """Return the address of all connections of a user (RabbitMQ 3.11 and newer)."""
    return path("connections", "username", user)


def body_of(resource: Resource) -> dict[str, Any]:
    """Return what to send. Every property is stated: RabbitMQ makes a queue without `durable` transient."""
    match resource:
        case Queue():
            return {
                "durable": resource.durable,
                "auto_delete": resource.auto_delete,
                "arguments": plain_arguments(resource.arguments),
            }
        case Exchange():
            return {
                "type": resource.type,
                "durable": resource.durable,
                "auto_delete": resource.auto_delete,
                "internal": resource.internal,
                "arguments": plain_arguments(resource.arguments),
            }
        case Binding():
            return {"routing_key": resource.routing_key, "arguments": plain_arguments(resource.arguments)}
        case Policy():
            return {
                "pattern": resource.pattern,
                "apply-to": resource.apply_to,
                "priority": resource.priority,
                "definition": plain_arguments(resource.definition),
            }
        case User():
            return {**_login(resource), "tags": ",".join(resource.tags)}
        case Permission():
            return {"configure": resource.configure, "write": resource.write, "read": resource.read}
        case _:
            raise ValueError(f"{resource.id} is no object of RabbitMQ")


def _login(user: User) -> dict[str, str]:
    """Return what a user logs in with; one that states nothing of it would lose its password at the broker."""
    if user.password is not None:
        return {"password_hash": hashed(user.password), "hashing_algorithm": _HASHING}
    if user.password_hash is not None:
        # An empty hash is stated too: only that makes a user without a password on every version.
        return {"password_hash": user.password_hash.reveal(), "hashing_algorithm": user.algorithm or _HASHING}
    raise ValueError("a user is written with its password only")


def listed(resource: Exchange | Binding) -> tuple[str, dict[str, Any]]:
    """Return the section of a definitions document and the entry in it."""
    if isinstance(resource, Exchange):
        return "exchanges", {"name": resource.name, **body_of(resource)}
    ends = {
        "source": resource.source,
        "destination": resource.destination,
        "destination_type": resource.destination_type,
    }
    return "bindings", {**ends, **body_of(resource)}
