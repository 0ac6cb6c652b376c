"""Reads what a broker is and has: everything in three calls, or single objects.

Decides which calls answer a question at the least cost. Never writes.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from channel_operator.brokers.rabbitmq.graph import endpoints
from channel_operator.brokers.rabbitmq.http import READ_SECONDS, ManagementClient, path
from channel_operator.brokers.rabbitmq.parsing import capabilities, keyed_bindings, mapping, parsed, parsed_all
from channel_operator.brokers.rabbitmq.resources import BINDING, EXCHANGE, PERMISSION, POLICY, QUEUE, USER, Binding
from channel_operator.core.model import Capabilities, Observation, Resource, ResourceId
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
_SECTIONS: Final = ((QUEUE, "queues"), (EXCHANGE, "exchanges"), (BINDING, "bindings"), (POLICY, "policies"))


async def probe(client: ManagementClient) -> Capabilities:
    """Ask what the broker is. Raises Retry when the virtual host does not exist (it may come)."""
    about_vhost = path("vhosts", client.vhost)  # raises for some names: before any call is begun
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
    return capabilities(overview.data, cluster.data, client.vhost)


async def observe_vhost(client: ManagementClient) -> dict[ResourceId, Resource]:
    """Read queues, exchanges, bindings and policies of the virtual host: one call, four where it is not ASCII."""
    defined = await _definitions(client) if client.vhost.isascii() else await _lists(client)
    found: dict[ResourceId, Resource] = {}
    for kind, section in _SECTIONS:
        found.update(parsed_all(kind, _list(client, defined.get(section))))
        await asyncio.sleep(0)  # let others run between the parts of a large broker
    return found


async def _definitions(client: ManagementClient) -> Mapping[str, Any]:
    return mapping((await client.get("definitions", path("definitions", client.vhost), seconds=READ_SECONDS)).data)


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
    found.update(parsed_all(PERMISSION, _list(client, permissions.data)))
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
    return dict(parsed_all(USER, _list(client, answer.data)))


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
    return parsed(rid.kind, answer.data) if answer.ok else None


async def _bindings_between(client: ManagementClient, rid: ResourceId) -> list[tuple[Binding, str]]:
    source, kind, destination = rid.path[:3]
    target = path("bindings", client.vhost, "e", source, kind[0], destination)
    answer = await client.get("get_binding", target, accept=_ABSENT)
    return keyed_bindings(answer.data)


async def bindings_of_queue(client: ManagementClient, name: str) -> list[tuple[Binding, str]]:
    """Return what feeds a queue, each binding with the key under which the broker addresses it."""
    answer = await client.get("get_binding", path("queues", client.vhost, name, "bindings"), accept=_ABSENT)
    return keyed_bindings(answer.data)


async def read_binding_key(client: ManagementClient, rid: ResourceId) -> str | None:
    """Return the key under which the broker addresses a binding, None when there is no such binding.

    The key is the broker's own (form-encoded routing key, hash of the arguments): it cannot be computed here.
    """
    return next((key for found, key in await _bindings_between(client, rid) if found.id == rid), None)
