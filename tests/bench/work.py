"""What is put in place: one Broker on a virtual host of its own, users, and Queues that grant them.

Decides names and manifests only. Five Queues share a producer and a consumer, so a permission pattern stays well below
the broker's 1,024 bytes and every user has rights on several channels, as in life.
"""

from dataclasses import dataclass
from typing import Any

from channel_operator.api.meta import API_VERSION, Kind

__all__ = ["QUEUES_PER_PAIR", "Workload"]

QUEUES_PER_PAIR = 5


@dataclass(frozen=True, slots=True)
class Workload:
    """`name` is namespace, virtual host and prefix of all native names; sizes are multiples of QUEUES_PER_PAIR."""

    name: str
    size: int
    """Number of Queues."""
    first: int = 0
    """Number of the first Queue: a workload can go on where another on the same Broker ends."""

    def __post_init__(self) -> None:
        """Refuse sizes that would leave a pair incomplete."""
        if self.size % QUEUES_PER_PAIR or self.first % QUEUES_PER_PAIR:
            raise ValueError(f"{self.size} or {self.first} is not a multiple of {QUEUES_PER_PAIR}")

    def more(self, size: int) -> "Workload":
        """Return further Queues with users of their own on the same Broker."""
        return Workload(self.name, size, self.first + self.size)

    @property
    def numbers(self) -> range:
        """Numbers of the Queues."""
        return range(self.first, self.first + self.size)

    @property
    def queues(self) -> list[str]:
        """Names of the Queues."""
        return [f"q-{number:04d}" for number in self.numbers]

    @property
    def pairs(self) -> range:
        """Numbers of the pairs of a producer and a consumer."""
        return range(self.first // QUEUES_PER_PAIR, (self.first + self.size) // QUEUES_PER_PAIR)

    @property
    def users(self) -> list[str]:
        """Names of the BrokerUsers, producers and consumers."""
        return [f"{role}-{pair:04d}" for pair in self.pairs for role in "pc"]

    @staticmethod
    def queues_of(pair: int) -> list[str]:
        """Names of the Queues that a pair may use."""
        return [f"q-{pair * QUEUES_PER_PAIR + index:04d}" for index in range(QUEUES_PER_PAIR)]

    def queue(self, number: int) -> dict[str, Any]:
        """Return the manifest of one Queue."""
        pair = number // QUEUES_PER_PAIR
        return self._object(
            Kind.QUEUE,
            f"q-{number:04d}",
            {
                "brokerRef": {"name": "broker"},
                "producers": [{"name": f"p-{pair:04d}"}],
                "consumers": [{"name": f"c-{pair:04d}"}],
            },
        )

    def user(self, name: str) -> dict[str, Any]:
        """Return the manifest of one BrokerUser."""
        return self._object(Kind.BROKER_USER, name, {"brokerRef": {"name": "broker"}})

    def broker(self, management_url: str, address: str) -> dict[str, Any]:
        """Return the Broker's manifest."""
        return self._object(
            Kind.BROKER,
            "broker",
            {
                "rabbitmq": {
                    "managementUrls": [management_url],
                    "vhost": self.name,
                    "clients": {"addresses": [address]},
                },
                "credentials": {"passwordSecretRef": {"name": "broker-login"}},
                "tls": {"caRef": {"kind": "ConfigMap", "name": "broker-ca", "key": "ca.crt"}},
            },
        )

    def _object(self, kind: Kind, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": self.name}
        return {"apiVersion": API_VERSION, "kind": str(kind), "metadata": metadata, "spec": spec}
