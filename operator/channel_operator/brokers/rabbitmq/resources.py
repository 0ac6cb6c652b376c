"""RabbitMQ's native objects as values: queue, exchange, binding, policy, user, permission.

Decides what identifies each object and what it is called in an id. Never decides what should exist, and does no I/O.
"""

import json
from typing import Any, Final, NamedTuple

from channel_operator.core.model import ResourceId, Secret

__all__ = [
    "BINDING",
    "CONSISTENT_HASH",
    "DEAD_LETTER_EXCHANGE",
    "DEAD_LETTER_STRATEGY",
    "DELIVERY_LIMIT",
    "DIRECT",
    "EXCHANGE",
    "FANOUT",
    "HASH_HEADER",
    "MAX_AGE",
    "NO_PASSWORD",
    "PERMISSION",
    "POLICY",
    "QUEUE",
    "QUEUE_TYPE",
    "SEGMENT_BYTES",
    "SUPER_STREAM",
    "TOPIC",
    "USER",
    "Arguments",
    "Binding",
    "Exchange",
    "Permission",
    "Policy",
    "Queue",
    "User",
    "arguments_of",
    "binding_id",
    "exchange_id",
    "permission_id",
    "plain_arguments",
    "policy_id",
    "queue_id",
    "user_id",
]

QUEUE: Final = "Queue"
EXCHANGE: Final = "Exchange"
BINDING: Final = "Binding"
POLICY: Final = "Policy"
USER: Final = "User"
PERMISSION: Final = "Permission"

FANOUT: Final = "fanout"
TOPIC: Final = "topic"
DIRECT: Final = "direct"
CONSISTENT_HASH: Final = "x-consistent-hash"
"""Type of an exchange (plugin rabbitmq_consistent_hash_exchange) that keeps messages with one key on one queue."""

QUEUE_TYPE: Final = "x-queue-type"
DELIVERY_LIMIT: Final = "x-delivery-limit"
DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
DEAD_LETTER_STRATEGY: Final = "x-dead-letter-strategy"
MAX_AGE: Final = "x-max-age"
SEGMENT_BYTES: Final = "x-stream-max-segment-size-bytes"
SUPER_STREAM: Final = "x-super-stream"
"""Argument of the exchange of a super stream."""
HASH_HEADER: Final = "hash-header"
"""Argument of a consistent-hash exchange: the header that is the key, in place of the routing key."""

Arguments = tuple[tuple[str, Any], ...]
"""Optional arguments of a declaration, sorted by name, values hashable."""


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    if isinstance(value, dict):
        return tuple(sorted((str(k), _frozen(v)) for k, v in value.items()))
    return value


def arguments_of(given: Any) -> Arguments:
    """Return arguments as the broker's JSON states them in canonical form; anything but an object has none."""
    if not isinstance(given, dict):
        return ()
    return tuple(sorted((str(name), _frozen(value)) for name, value in given.items()))


def plain_arguments(arguments: Arguments) -> dict[str, Any]:
    """Return arguments as the JSON object to send. Only flat values are ever sent."""
    return dict(arguments)


def queue_id(name: str) -> ResourceId:
    """Return the id of a queue of the vhost."""
    return ResourceId(QUEUE, (name,))


def exchange_id(name: str) -> ResourceId:
    """Return the id of an exchange of the vhost."""
    return ResourceId(EXCHANGE, (name,))


def binding_id(
    source: str, destination: str, *, to_exchange: bool = False, routing_key: str = "", arguments: Arguments = ()
) -> ResourceId:
    """Return the id of a binding: RabbitMQ identifies one by all five properties, its arguments included."""
    kind = "exchange" if to_exchange else "queue"
    stated = json.dumps(arguments, sort_keys=True) if arguments else ""
    return ResourceId(BINDING, (source, kind, destination, routing_key, stated))


def policy_id(name: str) -> ResourceId:
    """Return the id of a policy of the vhost."""
    return ResourceId(POLICY, (name,))


def user_id(name: str) -> ResourceId:
    """Return the id of a user of the cluster."""
    return ResourceId(USER, (name,))


def permission_id(user: str) -> ResourceId:
    """Return the id of a user's permission on the vhost (there is one for each user and vhost)."""
    return ResourceId(PERMISSION, (user,))


class Queue(NamedTuple):
    """A queue. `flexible`: arguments the manifest does not state itself, so an existing queue may differ in them.

    `by_policy`: what its declaration leaves to its policy, under the names of arguments.
    """

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    arguments: Arguments = ()
    flexible: frozenset[str] = frozenset()
    by_policy: Arguments = ()

    @property
    def id(self) -> ResourceId:
        """`Queue <name>`."""
        return ResourceId(QUEUE, (self.name,))

    @property
    def holds_data(self) -> bool:
        """Messages wait in it."""
        return True


class Exchange(NamedTuple):
    """An exchange."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Arguments = ()

    @property
    def id(self) -> ResourceId:
        """`Exchange <name>`."""
        return ResourceId(EXCHANGE, (self.name,))

    @property
    def holds_data(self) -> bool:
        """An exchange only routes."""
        return False


class Binding(NamedTuple):
    """A binding of a queue or an exchange (`destination_type`) to a source exchange."""

    source: str
    destination: str
    destination_type: str = "queue"
    routing_key: str = ""
    arguments: Arguments = ()

    @property
    def id(self) -> ResourceId:
        """All five properties identify it."""
        return binding_id(
            self.source,
            self.destination,
            to_exchange=self.destination_type == "exchange",
            routing_key=self.routing_key,
            arguments=self.arguments,
        )

    @property
    def holds_data(self) -> bool:
        """A binding only routes."""
        return False


class Policy(NamedTuple):
    """A policy. `apply_to`: quorum_queues, classic_queues, streams, queues, exchanges or all; `definition` by key."""

    name: str
    pattern: str
    apply_to: str
    priority: int
    definition: Arguments

    @property
    def id(self) -> ResourceId:
        """`Policy <name>`."""
        return ResourceId(POLICY, (self.name,))

    @property
    def holds_data(self) -> bool:
        """A policy only says how."""
        return False


NO_PASSWORD: Final = Secret("")
"""The password hash of a user that no password lets in."""


class User(NamedTuple):
    """A user of the cluster.

    `password` is what we want or have written; None = unknown here. Observed users carry `password_hash` (base64 of
    salt and digest, RabbitMQ documentation "Passwords") and `algorithm` instead. The hash is empty where there is no
    password at all: such a user can log in by certificate only.
    """

    name: str
    tags: tuple[str, ...] = ()
    password: Secret | None = None
    password_hash: Secret | None = None
    algorithm: str = ""

    @property
    def has_no_password(self) -> bool:
        """Whether it is known to have none."""
        return self.password is None and self.password_hash == NO_PASSWORD

    @property
    def id(self) -> ResourceId:
        """`User <name>`."""
        return ResourceId(USER, (self.name,))

    @property
    def holds_data(self) -> bool:
        """No messages belong to a user."""
        return False


class Permission(NamedTuple):
    """What a user may do on the vhost: three regular expressions over the names of queues and exchanges."""

    user: str
    configure: str
    write: str
    read: str

    @property
    def id(self) -> ResourceId:
        """`Permission <user>`."""
        return ResourceId(PERMISSION, (self.user,))

    @property
    def holds_data(self) -> bool:
        """A right holds nothing."""
        return False
