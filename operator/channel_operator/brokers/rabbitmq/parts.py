"""The words an object says on RabbitMQ: assert, withdraw, hold, grant. Decides nothing of what is said."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.graph import holds_data
from channel_operator.brokers.rabbitmq.resources import permission_id
from channel_operator.core.accepted import Compiled, Grant, Role, Subject
from channel_operator.core.model import Mode, Part, Problem, Removal, Resource, ResourceId

__all__ = ["asserted", "granted", "held", "kept_grants", "refused", "unfed", "unwanted", "withdrawn"]


def asserted(resource: Resource, subject: Subject) -> Part:
    """Say: it should be as this."""
    return Part(resource.id, subject.key, Mode.ASSERT, resource, subject.since)


def held(ids: Iterable[ResourceId], subject: Subject) -> tuple[Part, ...]:
    """Say: these stay as they are."""
    return tuple(Part(rid, subject.key, Mode.HOLD, None, subject.since) for rid in ids)


def withdrawn(ids: Iterable[ResourceId], subject: Subject) -> list[Part]:
    """Withdraw these; what holds data only where `removal` says how, else it is just let go."""
    return [
        Part(rid, subject.key, Mode.WITHDRAW, subject.removal if holds_data(rid) else None, subject.since)
        for rid in ids
        if subject.removal is not None or not holds_data(rid)
    ]


def unfed(ids: Iterable[ResourceId], subject: Subject) -> list[Part]:
    """Withdraw what leads messages in, in any case: whether or not what they led into stays."""
    return [Part(rid, subject.key, Mode.WITHDRAW, Removal.REGARDLESS, subject.since) for rid in sorted(ids)]


def unwanted(ids: Iterable[ResourceId], subject: Subject) -> list[Part]:
    """Withdraw what a living object does not ask for (any more).

    Taking a field out of a manifest is no consent to lose messages: what holds some stays until it is empty.
    """
    if subject.removal is not None:
        subject = replace(subject, removal=Removal.DELETE_IF_EMPTY)
    return withdrawn(ids, subject)


def granted(grants: Iterable[Grant], access: Mapping[Role, Access], subject: Subject) -> list[Part]:
    """Give every user of the lists what its roles come to; `access`: what each role may write and read."""
    given: dict[str, Access] = {}
    for grant in grants:
        for username in grant.usernames:
            before, more = given.get(username, Access()), access[grant.role]
            given[username] = Access(before.write | more.write, before.read | more.read)
    return [
        Part(permission_id(user), subject.key, Mode.ASSERT, content, subject.since)
        for user, content in sorted(given.items())
    ]


def kept_grants(access: Access, subject: Subject) -> list[Part]:
    """Say: of this, the users that the manifest lists keep what they have."""
    return [Part(permission_id(user), subject.key, Mode.KEEP, access, subject.since) for user in sorted(subject.listed)]


def refused(hold: Compiled, problems: tuple[Problem, ...]) -> Compiled:
    """Say that what there is stays, and why nothing else is done."""
    return replace(hold, problems=problems)
