"""What is put in place: one Broker on a virtual host of its own, users, and channels that grant them.

Decides names and manifests only. Five channels share a producer and a consumer, so a permission pattern stays well
below the broker's 1,024 bytes and every user has rights on several channels, as in life. An object is known by its
name, whose letter says what it is: q Queue, t Topic, s Subscription, p producer, c consumer.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from channel_operator.api.meta import API_VERSION, Kind

__all__ = ["GROUP", "SUBSCRIPTIONS", "Queues", "Topics", "Workload", "kind_of"]

GROUP: Final = 5
"""Queues, or Topics, whose users are the same."""
SUBSCRIPTIONS: Final = 3
"""Of each Topic; each is read by another user."""
_KINDS: Final = {
    "q": Kind.QUEUE,
    "t": Kind.TOPIC,
    "s": Kind.SUBSCRIPTION,
    "p": Kind.BROKER_USER,
    "c": Kind.BROKER_USER,
}
_WITHOUT_LIMIT: Final = 100_000


def kind_of(name: str) -> Kind:
    """Return the kind of an object."""
    return _KINDS[name[0]]


def _number(name: str) -> int:
    return int(name[2:])


def _named(letter: str, *numbers: int) -> list[str]:
    return [f"{letter}-{number:04d}" for number in numbers]


@dataclass(frozen=True, slots=True)
class Workload(ABC):
    """`name` is namespace, virtual host and prefix of all native names; sizes are multiples of GROUP."""

    name: str
    size: int
    """Number of Queues or Topics."""
    first: int = 0
    """Number of the first: a workload can go on where another on the same Broker ends."""
    bare: bool = False
    """Without users."""

    def __post_init__(self) -> None:
        """Refuse sizes that would leave a group incomplete."""
        if self.size % GROUP or self.first % GROUP:
            raise ValueError(f"{self.size} or {self.first} is not a multiple of {GROUP}")

    @property
    def numbers(self) -> range:
        """Numbers of the Queues or Topics."""
        return range(self.first, self.first + self.size)

    @property
    def groups(self) -> range:
        """Numbers of the groups."""
        return range(self.first // GROUP, (self.first + self.size) // GROUP)

    @property
    def users(self) -> list[str]:
        """Names of the BrokerUsers, producers and consumers."""
        return [] if self.bare else [user for group in self.groups for user in self.users_of(group)]

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of the channels; what another one needs comes before it."""

    @abstractmethod
    def group_of(self, name: str) -> int:
        """Return the group of a channel."""

    @abstractmethod
    def channels_of(self, group: int) -> list[str]:
        """Return the channels of a group."""

    @abstractmethod
    def users_of(self, group: int) -> list[str]:
        """Return the users of a group's channels."""

    @abstractmethod
    def granted(self, user: str) -> list[str]:
        """Return the channels that a user may use."""

    @abstractmethod
    def spec(self, name: str) -> dict[str, Any]:
        """Return the spec of a channel."""

    @abstractmethod
    def shift(self, name: str) -> Mapping[str, int]:
        """Return by how much each letter's numbers differ from those of the first object of this one's sort."""

    def needs(self, name: str) -> str | None:
        """Return the channel that must be at the broker before this one: the Topic of a Subscription."""
        return _named("t", _number(name) // SUBSCRIPTIONS)[0] if name[0] == "s" else None

    def native(self, user: str, channel: str) -> str:
        """Return what a producer may write to or a consumer read: the producer of a Queue has an exchange."""
        return f"{self.name}.{channel}{'_in' if channel[0] == 'q' and user[0] == 'p' else ''}"

    def manifest(self, name: str) -> dict[str, Any]:
        """Return the manifest of a channel."""
        return self._object(kind_of(name), name, self.spec(name))

    def user(self, name: str) -> dict[str, Any]:
        """Return the manifest of one BrokerUser."""
        return self._object(Kind.BROKER_USER, name, {"brokerRef": {"name": "broker"}})

    def broker(self, management_url: str, address: str) -> dict[str, Any]:
        """Return the Broker's manifest. Its brake lets everything go: that all is deleted here is what is asked for."""
        spec: dict[str, Any] = {
            "rabbitmq": {
                "managementUrls": [management_url],
                "vhost": self.name,
                "clients": {"addresses": [address]},
            },
            "credentials": {"passwordSecretRef": {"name": "broker-login"}},
            "tls": {"caRef": {"kind": "ConfigMap", "name": "broker-ca", "key": "ca.crt"}},
            "brake": {"maxDeletions": _WITHOUT_LIMIT, "maxRevocations": _WITHOUT_LIMIT},
        }
        return self._object(Kind.BROKER, "broker", spec)

    def _object(self, kind: Kind, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": spec}

    def _listed(self, role: str, users: list[str]) -> dict[str, Any]:
        return {} if self.bare else {role: [{"name": user} for user in users]}


class Queues(Workload):
    """Queues; each five have a producer and a consumer."""

    __slots__ = ()

    def more(self, size: int) -> Self:
        """Return further Queues with users of their own on the same Broker."""
        return type(self)(self.name, size, self.first + self.size)

    @property
    def names(self) -> list[str]:
        """Names of the Queues."""
        return _named("q", *self.numbers)

    def group_of(self, name: str) -> int:
        """Return the group of a Queue."""
        return _number(name) // GROUP

    def channels_of(self, group: int) -> list[str]:
        """Return the five Queues of a group."""
        return _named("q", *range(GROUP * group, GROUP * (group + 1)))

    def users_of(self, group: int) -> list[str]:
        """Return producer and consumer of a group."""
        return _named("p", group) + _named("c", group)

    def granted(self, user: str) -> list[str]:
        """Return the Queues that a user may use."""
        return self.channels_of(_number(user))

    def spec(self, name: str) -> dict[str, Any]:
        """Return the spec of a Queue."""
        group = self.group_of(name)
        return {
            "brokerRef": {"name": "broker"},
            **self._listed("producers", _named("p", group)),
            **self._listed("consumers", _named("c", group)),
        }

    def shift(self, name: str) -> Mapping[str, int]:
        """Return what to add to the numbers of Queue 0, or of the users of group 0."""
        group = self.group_of(name) if name[0] == "q" else _number(name)
        return {"q": _number(name) if name[0] == "q" else GROUP * group, "p": group, "c": group}


class Topics(Workload):
    """Topics with three Subscriptions each; each five Topics have a producer, and three consumers, one of each third.

    They are deleted with all they have.
    """

    __slots__ = ()

    @property
    def names(self) -> list[str]:
        """Names of the Topics, then of the Subscriptions."""
        subscriptions = range(SUBSCRIPTIONS * self.first, SUBSCRIPTIONS * (self.first + self.size))
        return _named("t", *self.numbers) + _named("s", *subscriptions)

    def _topic(self, name: str) -> int:
        return _number(name) if name[0] == "t" else _number(name) // SUBSCRIPTIONS

    def group_of(self, name: str) -> int:
        """Return the group of a Topic or Subscription."""
        return self._topic(name) // GROUP

    def channels_of(self, group: int) -> list[str]:
        """Return five Topics and their Subscriptions."""
        part = Topics(self.name, GROUP, GROUP * group)
        return part.names

    def users_of(self, group: int) -> list[str]:
        """Return the producer and the consumers of a group."""
        return _named("p", group) + _named("c", *range(SUBSCRIPTIONS * group, SUBSCRIPTIONS * (group + 1)))

    def granted(self, user: str) -> list[str]:
        """Return a producer's Topics, or one Subscription of each of them."""
        if user[0] == "p":
            return _named("t", *range(GROUP * _number(user), GROUP * (_number(user) + 1)))
        group, which = divmod(_number(user), SUBSCRIPTIONS)
        return _named("s", *(SUBSCRIPTIONS * (GROUP * group + index) + which for index in range(GROUP)))

    def spec(self, name: str) -> dict[str, Any]:
        """Return the spec of a Topic or Subscription."""
        group = self.group_of(name)
        if name[0] == "t":
            spec = {"brokerRef": {"name": "broker"}, **self._listed("producers", _named("p", group))}
        else:
            consumer = SUBSCRIPTIONS * group + _number(name) % SUBSCRIPTIONS
            topic = {"name": self.needs(name)}
            spec = {"topicRef": topic, **self._listed("consumers", _named("c", consumer))}
        return {**spec, "deletionPolicy": "Delete"}

    def shift(self, name: str) -> Mapping[str, int]:
        """Return what to add to the numbers of Topic 0 or Subscription 0, or of the users of group 0."""
        number = _number(name)
        if name[0] == "p":
            return {"p": number, "t": GROUP * number}
        if name[0] == "c":
            group, which = divmod(number, SUBSCRIPTIONS)
            return {"c": number, "t": GROUP * group, "s": SUBSCRIPTIONS * GROUP * group + which}
        group, topic = self.group_of(name), self._topic(name)
        which = number - SUBSCRIPTIONS * topic
        return {"t": topic, "s": number, "p": group, "c": SUBSCRIPTIONS * group + which}
