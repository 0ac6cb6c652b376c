"""Manifests and a plain view of them, for the tests of the pure core."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import API_VERSION, FINALIZER, OWNED, RECONCILE, Kind
from channel_operator.core.access import claim_of
from channel_operator.core.model import Capabilities, Key
from channel_operator.core.resolve import Standing, resolve
from channel_operator.core.view import Claim, Manifest, NamespaceInfo
from channel_operator.engine.manifests import manifest_of

REF: Mapping[str, Any] = {"brokerRef": {"name": "main", "namespace": "messaging"}}
MAIN = Key(Kind.BROKER, "messaging", "main")
CAPABILITIES = Capabilities("RabbitMQ", "4.3.6", "cluster//", "cluster", frozenset({"x-consistent-hash"}))
DISABLED = {RECONCILE: "Disabled"}
KAFKA: dict[str, Any] = {"rabbitmq": None, "kafka": {"bootstrapServers": ["kafka:9093"]}}

_DEFAULTS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.BROKER: {
        "rabbitmq": {"managementUrls": ["https://rabbitmq:15671"]},
        "credentials": {"passwordSecretRef": {"name": "login"}},
        "allowedNamespaces": {"from": "All"},
    },
    Kind.BROKER_USER: REF,
    Kind.QUEUE: REF,
    Kind.TOPIC: REF,
    Kind.SUBSCRIPTION: {"topicRef": {"name": "events"}},
}


def manifest(
    kind: Kind,
    name: str,
    namespace: str = "billing",
    *,
    age: int = 0,
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    deleted: bool = False,
    owned: str | None = None,
    **fields: Any,
) -> Manifest:
    """Parse a manifest; a greater `age` is older. `owned`: it has our finalizer and this owner record."""
    stamp = f"2026-01-01T00:{59 - age:02}:00Z"
    meta: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{namespace}-{name}",
        "generation": 1,
        "creationTimestamp": stamp,
        "resourceVersion": "1",
        "annotations": {**(annotations or {}), **({OWNED: owned} if owned else {})},
        "finalizers": [FINALIZER] if owned else [],
    }
    if deleted:
        meta["deletionTimestamp"] = stamp
    spec = {**_DEFAULTS[kind], **fields}
    return manifest_of(
        {"apiVersion": API_VERSION, "kind": str(kind), "metadata": meta, "spec": spec, "status": status or {}}
    )


def broker(name: str = "main", namespace: str = "messaging", **fields: Any) -> Manifest:
    """Return a Broker that admits all namespaces unless told otherwise."""
    return manifest(Kind.BROKER, name, namespace, age=59, **fields)


def broker_spec(**fields: Any) -> BrokerSpec:
    """Return the spec of such a Broker."""
    spec = broker(**fields).spec
    assert isinstance(spec, BrokerSpec)
    return spec


def user(name: str, namespace: str = "billing", **fields: Any) -> Manifest:
    """Return a BrokerUser."""
    return manifest(Kind.BROKER_USER, name, namespace, **fields)


def queue(name: str = "invoices", namespace: str = "billing", **fields: Any) -> Manifest:
    """Return a Queue."""
    return manifest(Kind.QUEUE, name, namespace, **fields)


@dataclass
class PlainView:
    """Implements `core.view.View` over a handful of manifests, without indexes."""

    manifests: dict[Key, Manifest] = field(default_factory=dict)
    namespaces: dict[str, NamespaceInfo] = field(default_factory=dict)
    known: dict[Key, Capabilities] = field(default_factory=dict)
    login: str | None = "operator"
    found: dict[Key, tuple[str, ...]] = field(default_factory=dict)

    def get(self, key: Key) -> Manifest | None:
        return self.manifests.get(key)

    def dependants(self, key: Key) -> Collection[Key]:
        return [m.key for m in self.manifests.values() if key in m.refs.others]

    def namespace(self, name: str) -> NamespaceInfo | None:
        return self.namespaces.get(name)

    def holder(self, claim: Claim) -> Key | None:
        claimants = [m for m in self.manifests.values() if claim_of(m, self) == claim]
        return min(claimants, key=lambda m: m.since).key if claimants else None

    def capabilities(self, broker: Key) -> Capabilities | None:
        return self.known.get(broker)

    def own_user(self, broker: Key) -> str | None:
        assert broker.kind is Kind.BROKER
        return self.login

    def logins(self, user: Key) -> tuple[str, ...] | None:
        return self.found.get(user)

    def brokers_with_identity(self, identity: str) -> Collection[Manifest]:
        return [self.manifests[key] for key, known in self.known.items() if known.identity == identity]


def view(
    *manifests: Manifest,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    annotations: Mapping[str, Mapping[str, str]] | None = None,
) -> PlainView:
    """Return a view of these manifests and of every namespace they live in."""
    names: Iterable[str] = {m.key.namespace for m in manifests} | set(labels or {}) | set(annotations or {})
    infos = {n: NamespaceInfo(n, (labels or {}).get(n, {}), (annotations or {}).get(n, {})) for n in names}
    return PlainView({m.key: m for m in manifests}, infos)


def check(
    found: Manifest, seen: PlainView, *, grace_over: bool = True
) -> tuple[Standing, list[tuple[str, str, str | None, str, bool]]]:
    """Return the standing and the problems, each as (reason, condition, field, message, stalled)."""
    seen.manifests.setdefault(found.key, found)
    answer = resolve(found, seen, grace_over=grace_over)
    return answer.standing, [(str(p.reason), str(p.condition), p.field, p.message, p.stalled) for p in answer.problems]
