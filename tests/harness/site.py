"""One Broker with a vhost and namespaces of its own: what a test needs to be alone in a shared cluster.

It makes manifests and the platform team's part. It asserts nothing.
"""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from channel_operator.api.meta import API_VERSION
from tests.harness.amqp import Client
from tests.harness.bindings import wait_binding
from tests.harness.cluster import Cluster
from tests.harness.kubeapi import Object
from tests.lab.rabbitmq import RabbitMQ

__all__ = ["Site", "platform_objects"]

_numbers = itertools.count(1)


def platform_objects(rabbitmq: RabbitMQ, namespace: str) -> list[Object]:
    """Return what a Broker refers to: the administrator's credentials and the authority of RabbitMQ's certificate."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "rabbitmq-admin", "namespace": namespace},
            "stringData": {"username": rabbitmq.admin_user, "password": rabbitmq.admin_password},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "rabbitmq-ca", "namespace": namespace},
            "data": {"ca.crt": rabbitmq.ca_pem},
        },
    ]


class Site:
    """A Broker named `main` in a namespace of its own, on a vhost of its own. `start` makes it."""

    def __init__(
        self,
        cluster: Cluster,
        rabbitmq: RabbitMQ,
        *,
        vhost: str | None = None,
        management_port: int | None = None,
        amqps_port: int | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        """Prepare it. The ports lead through proxies; `spec` is merged over the Broker's (top level)."""
        self.cluster = cluster
        self.rabbitmq = rabbitmq
        self.vhost = vhost or f"site-{next(_numbers)}"
        self.label = {"site": self.vhost if self.vhost.isascii() and self.vhost.isalnum() else f"s{next(_numbers)}"}
        self._ports = (management_port or rabbitmq.management_port, amqps_port or rabbitmq.amqps_port)
        self._spec = dict(spec or {})
        self.home = ""
        """Namespace of the Broker."""

    @property
    def broker_ref(self) -> dict[str, str]:
        """The reference to the Broker."""
        return {"name": "main", "namespace": self.home}

    def start(self, *, wait: bool = True) -> "Site":
        """Make the vhost, the namespace, the Secrets and the Broker; wait until it is Ready."""
        if self.vhost != "/":
            self.make_vhost()
        self.home = self.cluster.namespace("messaging", self.label)
        self.cluster.apply(*platform_objects(self.rabbitmq, self.home), self.broker())
        if wait:
            self.cluster.wait_ready("Broker", self.home, "main")
        return self

    def make_vhost(self) -> None:
        """Make the vhost and let the administrator in."""
        user = quote(self.rabbitmq.admin_user, safe="")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.rabbitmq.api("PUT", f"/api/vhosts/{self.path}", {})
        self.rabbitmq.api("PUT", f"/api/permissions/{self.path}/{user}", everything)

    @property
    def path(self) -> str:
        """The vhost as a segment of the management API's paths."""
        return quote(self.vhost, safe="")

    def broker(self, **spec: Any) -> Object:
        """Return the Broker's manifest; `spec` is merged over it (top level)."""
        management, amqps = self._ports
        rabbitmq = {
            "managementUrls": [f"https://localhost:{management}"],
            "vhost": self.vhost,
            "clients": {
                "addresses": [f"localhost:{amqps}"],
                "streamAddresses": [f"localhost:{self.rabbitmq.stream_tls_port}"],
            },
        }
        whole = {
            "rabbitmq": rabbitmq,
            "credentials": {"passwordSecretRef": {"name": "rabbitmq-admin"}},
            "tls": {"caRef": {"kind": "ConfigMap", "name": "rabbitmq-ca", "key": "ca.crt"}},
            "allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": self.label}},
            **self._spec,
            **spec,
        }
        return manifest("Broker", self.home, "main", whole)

    def namespace(self, prefix: str = "team", *, admitted: bool = True) -> str:
        """Make a namespace, by default one that the Broker admits."""
        return self.cluster.namespace(prefix, self.label if admitted else {})

    def user(self, namespace: str, name: str, **spec: Any) -> Object:
        """Return a BrokerUser's manifest."""
        return manifest("BrokerUser", namespace, name, {"brokerRef": self.broker_ref, **spec})

    def queue(self, namespace: str, name: str, **spec: Any) -> Object:
        """Return a Queue's manifest."""
        return manifest("Queue", namespace, name, {"brokerRef": self.broker_ref, **spec})

    def topic(self, namespace: str, name: str, **spec: Any) -> Object:
        """Return a Topic's manifest."""
        return manifest("Topic", namespace, name, {"brokerRef": self.broker_ref, **spec})

    def subscription(self, namespace: str, name: str, topic: tuple[str, str], **spec: Any) -> Object:
        """Return the manifest of a Subscription to a Topic, given as namespace and name."""
        ref = {"namespace": topic[0], "name": topic[1]}
        return manifest("Subscription", namespace, name, {"topicRef": ref, **spec})

    def binding(self, namespace: str, user: str) -> dict[str, str]:
        """Return the entries of a user's binding Secret, once it is there."""
        return wait_binding(self.cluster, namespace, user)

    @contextmanager
    def client(self, namespace: str, user: str) -> Iterator[Client]:
        """Connect as a BrokerUser with its binding Secret."""
        self.cluster.wait_ready("BrokerUser", namespace, user)
        with Client(self.binding(namespace, user)) as connected:
            yield connected

    # -- what the broker has -------------------------------------------------------------------------------------

    def rabbit(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API; `{vhost}` in the path stands for this site's, encoded."""
        return self.rabbitmq.api(method, path.replace("{vhost}", self.path), body)

    def native_queues(self) -> dict[str, Object]:
        """Return the vhost's queues by name."""
        return {one["name"]: one for one in self.rabbit("GET", "/api/queues/{vhost}")}

    def bound_to(self, queue: str) -> set[tuple[str, str]]:
        """Return what feeds a queue: source exchange and routing key, without the default exchange."""
        found = self.rabbit("GET", f"/api/queues/{{vhost}}/{quote(queue, safe='')}/bindings")
        return {(one["source"], one["routing_key"]) for one in found if one["source"]}

    def ready_messages(self, queue: str) -> int:
        """Return how many messages of a queue wait for a consumer, counted by the queue itself and now.

        What the management API counts of a quorum queue may be one tick of 5 s old.
        """
        admin = {
            "host": "localhost",
            "port": str(self.rabbitmq.amqps_port),
            "certificates": self.rabbitmq.ca_pem,
            "virtual-host": self.vhost,
            "username": self.rabbitmq.admin_user,
            "password": self.rabbitmq.admin_password,
        }
        with Client(admin) as connected:
            return int(connected.connection.channel().queue_declare(queue, passive=True).method.message_count)

    def purge(self) -> None:
        """Empty every queue of the vhost; a stream cannot be emptied."""
        for name in [name for name, one in self.native_queues().items() if one["type"] != "stream"]:
            self.rabbit("DELETE", f"/api/queues/{{vhost}}/{quote(name, safe='')}/contents")

    def permissions(self) -> dict[str, Object]:
        """Return the vhost's permissions by user, without the administrator's."""
        found = self.rabbit("GET", "/api/vhosts/{vhost}/permissions")
        return {one["user"]: one for one in found if one["user"] != self.rabbitmq.admin_user}


def manifest(kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Object:
    """Return a manifest of one of the operator's kinds."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": dict(spec)}
