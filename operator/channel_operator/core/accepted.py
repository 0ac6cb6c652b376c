"""What an accepted object is to a driver, and what the driver makes of it: resolved in, compiled out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from channel_operator.api import Spec
from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import TopicSpec
from channel_operator.core.model import Key, Part, Problem, Removal, Secret

__all__ = [
    "Compiled",
    "Credential",
    "Enforcement",
    "Grant",
    "Login",
    "Resolved",
    "ResolvedQueue",
    "ResolvedSubscription",
    "ResolvedTopic",
    "ResolvedUser",
    "Role",
    "Subject",
]


class Role(StrEnum):
    """What a BrokerUser may do on a channel."""

    PRODUCER = "Producer"
    CONSUMER = "Consumer"
    DEAD_LETTER_CONSUMER = "DeadLetterConsumer"


class Grant(NamedTuple):
    """One right of one user on one channel: what the owner listed, with the reference resolved.

    `usernames`: the native users that the user stands for at present; while credentials change there are several.
    """

    user: Key
    usernames: tuple[str, ...]
    role: Role


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client proves itself with: a password, or a certificate (a PEM chain) with its key.

    `slot`: what the native name ends in that it is for; see `core.rotation`.
    """

    password: Secret | None = None
    certificate: str | None = None
    private_key: Secret | None = None
    slot: str = ""


class Login(NamedTuple):
    """One native user that a BrokerUser stands for.

    `password` None: not read yet, so what the broker has is taken as right; one that logs in by certificate has none.
    `leaves`: it is a former one and goes, at once (DELETE) or when nobody is connected (DELETE_IF_EMPTY).
    """

    name: str
    password: Secret | None = None
    by_certificate: bool = False
    leaves: Removal | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of an object even when its spec cannot be read: enough to hold or to withdraw what it has.

    `name` is the native name of its main object (queue, exchange, topic, user). `removal`: how what holds data goes
    when the object is deleted; None = Retain. `spec`: what it should be, defaults included, where it can be read.
    """

    key: Key
    name: str
    since: tuple[str, str]
    removal: Removal | None = None
    spec: Spec | None = None
    topic: "Subject | None" = None
    """Of a Subscription: the Topic it names, where that is there."""
    listed: frozenset[str] = frozenset()
    """Native names of the users that its lists name, readable even where the rest of the spec is not."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Its status as last written: what it has on the broker by what it was, whatever it is to be now."""


@dataclass(frozen=True, slots=True)
class ResolvedQueue:
    """An accepted Queue: references looked up, defaults applied, every grant that may be given."""

    subject: Subject
    spec: QueueSpec
    """The effective spec: what the manifest states, completed by the defaults of Broker and namespace."""
    stated: QueueSpec
    """The manifest's own spec. What is in `spec` but not here came from a default, and a changed default never makes
    an existing queue wrong."""
    grants: tuple[Grant, ...] = ()
    dead_letter: Subject | None = None
    """The Queue that `spec.deadLetter.queueRef` names."""


@dataclass(frozen=True, slots=True)
class ResolvedTopic:
    """An accepted Topic; see ResolvedQueue."""

    subject: Subject
    spec: TopicSpec
    stated: TopicSpec
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedSubscription:
    """An accepted Subscription with the Topic that admits it; see ResolvedQueue."""

    subject: Subject
    spec: SubscriptionSpec
    stated: SubscriptionSpec
    topic: Subject
    grants: tuple[Grant, ...] = ()
    dead_letter: Subject | None = None
    """The Queue that `spec.deadLetter.queueRef` names."""


@dataclass(frozen=True, slots=True)
class ResolvedUser:
    """An accepted BrokerUser. The first of `logins` is the one that its binding Secret names."""

    subject: Subject
    spec: BrokerUserSpec
    logins: tuple[Login, ...]


Resolved = ResolvedQueue | ResolvedTopic | ResolvedSubscription | ResolvedUser


class Enforcement(NamedTuple):
    """Who honours a field. `by` is `Broker` or `Client`; `note` says what that means for the user."""

    field: str
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Compiled:
    """One object's say on the broker, and what its status shows of it.

    `names`: of a channel, the main native names under which it owns what it has; what derives from them is its own too
    (a driver tells by the form of a name). Grants match channels only, so a user has none. The footprint of a hold:
    small, however many parts the object has.
    `address` is `status.address` as it will be written.
    """

    parts: tuple[Part, ...]
    names: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    enforcement: tuple[Enforcement, ...] = ()
    address: Mapping[str, Any] = field(default_factory=dict)
    effective: Mapping[str, Any] = field(default_factory=dict)
    coordinates: Mapping[Role, Mapping[str, Any]] = field(default_factory=dict)
    """What a client of each role needs to know, for `channels.json`: `{"exchange": …}` or `{"queues": […]}`."""
