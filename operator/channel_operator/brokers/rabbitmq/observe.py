"""Reads what a broker is and has: everything in three calls, or single objects.

Decides how the broker's JSON becomes resources. What has an unknown shape is left out, never guessed. Never writes.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from channel_operator.brokers.rabbitmq.delivery_rules import DELAYED_RETRY
from channel_operator.brokers.rabbitmq.graph import endpoints
from channel_operator.brokers.rabbitmq.http import READ_SECONDS, ManagementClient, path
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
from channel_operator.core.model import (
    Capabilities,
    Observation,
    Resource,
    ResourceId,
    Secret,
)
from channel_operator.errors import Retry, Unreachable

__all__ = [
    "bindings_of_queue",
    "observe_all",
    "observe_some",
    "observe_users",
    "observe_vhost",
    "observed",
    "pays_as_a_whole",
    "probe",
    "read_binding_key",
    "read_one",
]

_SINGLE_READS: Final = 8
"""That many objects are read in one round of single calls, so that never pays to read everything."""
_WORTH: Final = 40
"""Objects of a whole broker that cost as much as one single call (measured on 4.3.6)."""
_CONCURRENCY: Final = 8
_ABSENT: Final = (HTTPStatus.NOT_FOUND,)


async def probe(client: ManagementClient) -> Capabilities:
    """Ask what the broker is. Raises Retry when the virtual host does not exist (it may come)."""
    about_vhost = path("vhosts", client.vhost)
    overview, cluster, vhost = await asyncio.gather(
        client.get("overview", path("overview") + "?disable_stats=true&enable_queue_totals=false"),
        client.get("cluster_id", path("global-parameters", "internal_cluster_id"), accept=_ABSENT),
        client.get("vhost", about_vhost, accept=_ABSENT),
    )
    if not vhost.ok:
        raise Retry(
            f'{client.where}: there is no virtual host "{client.vhost}" (spec.rabbitmq.vhost); create it at the '
            "broker, or make a Broker with another one"
        )
    about = overview.data if isinstance(overview.data, dict) else {}
    version = str(about.get("rabbitmq_version") or about.get("product_version") or "unknown")
    # Broker clusters older than their id's introduction have no such parameter; their name is the next best.
    identifier = str(_mapping(cluster.data).get("value") or about.get("cluster_name") or "unknown")
    return _capabilities(about, version, identifier, client.vhost)


def _capabilities(about: Mapping[str, Any], version: str, identifier: str, vhost: str) -> Capabilities:
    types = about.get("exchange_types")
    features = (
        {str(entry.get("name")) for entry in types if isinstance(entry, dict)} if isinstance(types, list) else set()
    )
    found = Capabilities("RabbitMQ", version, f"{identifier}/{vhost}", identifier, frozenset(features))
    if found.version_numbers >= DELAYED_RETRY:
        features.add("delayed_retry")
    return Capabilities("RabbitMQ", version, found.identity, identifier, frozenset(features))


def _mapping(value: Any) -> Mapping[str, Any]:
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


def _parsed(kind: str, entries: Any) -> Iterator[tuple[ResourceId, Resource]]:
    parse = _PARSERS[kind]
    for entry in _entries(entries):
        resource = parse(entry)
        if resource is not None:
            yield resource.id, resource


_SECTIONS: Final = ((QUEUE, "queues"), (EXCHANGE, "exchanges"), (BINDING, "bindings"), (POLICY, "policies"))


async def observe_vhost(client: ManagementClient) -> dict[ResourceId, Resource]:
    """Read queues, exchanges, bindings and policies of the virtual host: one call, four where it is not ASCII."""
    defined = await _definitions(client) if client.vhost.isascii() else await _lists(client)
    found: dict[ResourceId, Resource] = {}
    for kind, section in _SECTIONS:
        found.update(_parsed(kind, _list(client, defined.get(section))))
        await asyncio.sleep(0)  # let others run between the parts of a large broker
    return found


async def _definitions(client: ManagementClient) -> Mapping[str, Any]:
    return _mapping((await client.get("definitions", path("definitions", client.vhost), seconds=READ_SECONDS)).data)


def _list(client: ManagementClient, found: Any) -> list[Any]:
    """Return a list as RabbitMQ sends it. Anything else, from whatever answers in its place, is no empty broker."""
    if not isinstance(found, list):
        raise Unreachable(f"{client.where}: the answer is not RabbitMQ's; check that this is its management API")
    return found


async def _lists(client: ManagementClient) -> Mapping[str, Any]:
    """Read each list by itself: RabbitMQ breaks its definitions off in the middle when the name is not ASCII."""
    options = "?disable_stats=true&enable_queue_totals=false"
    sections = [section for _, section in _SECTIONS]
    answers = await asyncio.gather(
        *(
            client.get(f"list_{section}", path(section, client.vhost) + options, seconds=READ_SECONDS)
            for section in sections
        )
    )
    return {section: answer.data for section, answer in zip(sections, answers, strict=True)}


async def observe_all(client: ManagementClient) -> Observation:
    """Read the virtual host and the cluster's users: three calls, whatever their number."""
    found, users, permissions = await asyncio.gather(
        observe_vhost(client),
        observe_users(client),
        client.get("permissions", path("vhosts", client.vhost, "permissions"), seconds=READ_SECONDS),
    )
    found.update(users)
    await asyncio.sleep(0)
    found.update(_parsed(PERMISSION, _list(client, permissions.data)))
    return Observation(found)


def pays_as_a_whole(count: int, size: int) -> bool:
    """Whether reading all of `size` objects is cheaper than `count` of them one by one."""
    return count > max(_SINGLE_READS, size // _WORTH)


async def observe_some(client: ManagementClient, ids: Collection[ResourceId]) -> Observation:
    """Read just these objects, one call for each; none for a binding between ends of which one is missing."""
    found = await _read_each(client, [rid for rid in ids if rid.kind != BINDING])
    missing = frozenset(rid for rid in ids if rid.kind != BINDING) - found.keys()
    bindings = [rid for rid in ids if rid.kind == BINDING and missing.isdisjoint(endpoints(rid))]
    return _asked(ids, found | await _read_each(client, bindings), complete=False)


async def _read_each(client: ManagementClient, ids: Sequence[ResourceId]) -> dict[ResourceId, Resource]:
    gate = asyncio.Semaphore(_CONCURRENCY)

    async def read(rid: ResourceId) -> Resource | None:
        async with gate:
            return await read_one(client, rid)

    found = await asyncio.gather(*(read(rid) for rid in ids))
    return {rid: one for rid, one in zip(ids, found, strict=True) if one is not None}


def observed(everything: Observation, ids: Collection[ResourceId]) -> Observation:
    """Return a look at the whole broker as the answer to a question about these objects."""
    return _asked(ids, everything.resources, complete=True)


def _asked(ids: Collection[ResourceId], resources: dict[ResourceId, Resource], *, complete: bool) -> Observation:
    return Observation(resources, complete=complete, missing=frozenset(ids) - resources.keys())


async def observe_users(client: ManagementClient) -> dict[ResourceId, Resource]:
    """Read all users of the cluster: one call."""
    answer = await client.get("users", path("users"), seconds=READ_SECONDS)
    return dict(_parsed(USER, _list(client, answer.data)))


async def read_one(client: ManagementClient, rid: ResourceId) -> Resource | None:
    """Read one object, None when it does not exist."""
    match rid.kind:
        case "Queue":
            target = path("queues", client.vhost, rid.path[0]) + "?disable_stats=true&enable_queue_totals=false"
        case "Exchange":
            target = path("exchanges", client.vhost, rid.path[0])
        case "Policy":
            target = path("policies", client.vhost, rid.path[0])
        case "User":
            target = path("users", rid.path[0])
        case "Permission":
            target = path("permissions", client.vhost, rid.path[0])
        case _:
            return next((found for found, _ in await _bindings_between(client, rid) if found.id == rid), None)
    answer = await client.get(f"get_{rid.kind.lower()}", target, accept=_ABSENT)
    return _PARSERS[rid.kind](_mapping(answer.data)) if answer.ok else None


async def _bindings_between(client: ManagementClient, rid: ResourceId) -> list[tuple[Binding, str]]:
    source, kind, destination = rid.path[:3]
    target = path("bindings", client.vhost, "e", source, kind[0], destination)
    answer = await client.get("get_binding", target, accept=_ABSENT)
    return _keyed(answer.data)


def _keyed(entries: Any) -> list[tuple[Binding, str]]:
    pairs = ((_binding(entry), str(entry.get("properties_key") or "~")) for entry in _entries(entries))
    return [(binding, key) for binding, key in pairs if binding is not None]


async def bindings_of_queue(client: ManagementClient, name: str) -> list[tuple[Binding, str]]:
    """Return what feeds a queue, each binding with the key under which the broker addresses it."""
    answer = await client.get("get_binding", path("queues", client.vhost, name, "bindings"), accept=_ABSENT)
    return _keyed(answer.data)


async def read_binding_key(client: ManagementClient, rid: ResourceId) -> str | None:
    """Return the key under which the broker addresses a binding, None when there is no such binding.

    The key is the broker's own (form-encoded routing key, hash of the arguments): it cannot be computed here.
    """
    return next((key for found, key in await _bindings_between(client, rid) if found.id == rid), None)
