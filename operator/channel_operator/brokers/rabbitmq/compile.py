"""The pure side of RabbitMQ: manifests to parts, parts to native objects, and the order of writing.

Decides what a Queue and a BrokerUser are on RabbitMQ. Never does I/O, and never decides who may do what (core).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq import describe, graph
from channel_operator.brokers.rabbitmq.access import Access, assemble_permission
from channel_operator.brokers.rabbitmq.binding import binding_secret
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.resources import (
    PERMISSION,
    Binding,
    Exchange,
    Permission,
    User,
    permission_id,
    user_id,
)
from channel_operator.brokers.rabbitmq.settings import dead_letter_queue, effective, main_queue
from channel_operator.brokers.rabbitmq.support import enforcement, queue_problems, user_problems
from channel_operator.core.accepted import (
    Compiled,
    Grant,
    Resolved,
    ResolvedQueue,
    ResolvedUser,
    Role,
    Subject,
)
from channel_operator.core.model import (
    Assembled,
    Capabilities,
    Change,
    Difference,
    Mode,
    Part,
    Problem,
    Resource,
    ResourceId,
)

__all__ = ["TAG_PREFIX", "RabbitMQDriver"]

TAG_PREFIX = "channel-operator-"
"""Users made by an operator carry this tag with its id; a tag of this kind grants nothing on RabbitMQ."""

_FANOUT = "fanout"


class RabbitMQDriver:
    """Implements `brokers.base.Driver` for one Broker object."""

    def __init__(self, spec: BrokerSpec, operator_id: str) -> None:
        if spec.rabbitmq is None:
            raise ValueError("the Broker is not of type RabbitMQ")
        self._spec = spec
        self._rabbitmq = spec.rabbitmq
        self._tag = TAG_PREFIX + operator_id

    def compile(self, resolved: Resolved, capabilities: Capabilities) -> Compiled:
        """See `brokers.base.Driver.compile`."""
        match resolved:
            case ResolvedQueue():
                return self._compile_queue(resolved, capabilities)
            case ResolvedUser():
                return self._compile_user(resolved)

    def _compile_queue(self, resolved: ResolvedQueue, capabilities: Capabilities) -> Compiled:
        subject, spec = resolved.subject, resolved.spec
        problems = queue_problems(
            spec,
            resolved.stated,
            capabilities,
            default_type=self._spec.defaults.queue_type,
            default_settings=self._rabbitmq.settings,
        )
        if problems:
            return self._refused(subject, problems)
        names = ChannelNames.of(subject.name)
        parts = [
            _assert(Exchange(names.entry, _FANOUT), subject),
            _assert(main_queue(names, spec, resolved.stated), subject),
            _assert(Binding(names.entry, names.queue), subject),
        ]
        if spec.dead_letter is not None:
            parts += [
                _assert(Exchange(names.dead_letter_exchange, _FANOUT), subject),
                _assert(dead_letter_queue(names), subject),
                _assert(Binding(names.dead_letter_exchange, names.dead), subject),
            ]
        else:
            parts += _withdrawals(names.dead_ids, subject)
        parts += _grant_parts(resolved.grants, names, subject)
        queues = [names.queue, names.dead] if spec.dead_letter is not None else [names.queue]
        return Compiled(
            tuple(parts),
            names=frozenset(names),
            enforcement=enforcement(spec, capabilities),
            address=self._address(names, queues),
            effective=effective(spec, resolved.stated),
            coordinates=_coordinates(names),
        )

    def _compile_user(self, resolved: ResolvedUser) -> Compiled:
        subject = resolved.subject
        problems = user_problems(resolved.spec)
        if problems:
            return self._refused(subject, problems)
        user = User(subject.name, (self._tag,), resolved.password)
        base = Part(permission_id(subject.name), subject.key, Mode.ASSERT, Access(), subject.since)
        return Compiled((_assert(user, subject), base), names=frozenset({subject.name}))

    def _refused(self, subject: Subject, problems: tuple[Problem, ...]) -> Compiled:
        held = self.hold(subject)
        return replace(held, problems=problems)

    def _address(self, names: ChannelNames, queues: list[str]) -> Mapping[str, Any]:
        native = {"vhost": self._rabbitmq.vhost, "exchange": names.entry, "queues": queues}
        return {"name": names.queue, "rabbitmq": native}

    def hold(self, subject: Subject) -> Compiled:
        """See `brokers.base.Driver.hold`."""
        if subject.key.kind is Kind.BROKER_USER:
            ids: tuple[ResourceId, ...] = (user_id(subject.name), permission_id(subject.name))
            footprint = frozenset({subject.name})
            address: Mapping[str, Any] = {}
            coordinates: Mapping[Role, Mapping[str, Any]] = {}
        else:
            names = ChannelNames.of(subject.name)
            ids, footprint = names.main_ids + names.dead_ids, frozenset(names)
            address, coordinates = self._address(names, [names.queue]), _coordinates(names)
        parts = tuple(Part(rid, subject.key, Mode.HOLD, None, subject.since) for rid in ids)
        return Compiled(parts, names=footprint, address=address, coordinates=coordinates)

    def withdraw(self, subject: Subject) -> Compiled:
        """See `brokers.base.Driver.withdraw`.

        A retained queue keeps its exchanges and bindings too: it stays the channel it was, so a manifest that comes
        back finds everything in place, and whoever else publishes to it loses nothing.
        """
        if subject.key.kind is Kind.BROKER_USER:
            ids = (user_id(subject.name), permission_id(subject.name))
            return Compiled(tuple(_withdrawals(ids, subject)), names=frozenset({subject.name}))
        names = ChannelNames.of(subject.name)
        if subject.removal is None:
            return Compiled((), names=frozenset(names))
        parts = _withdrawals(names.main_ids + names.dead_ids, subject)
        return Compiled(tuple(parts), names=frozenset(names))

    def assemble(
        self, rid: ResourceId, parts: Sequence[Part], observed: Resource | None, held_names: Collection[str]
    ) -> Assembled:
        """See `brokers.base.Driver.assemble`."""
        if rid.kind == PERMISSION:
            found = observed if isinstance(observed, Permission) else None
            return assemble_permission(rid.path[0], parts, found, held_names)
        if any(part.mode is Mode.HOLD for part in parts):
            return Assembled(None, held=True)
        asserted = [part for part in parts if part.mode is Mode.ASSERT]
        if asserted:
            content = min(asserted, key=lambda part: part.since).content if len(asserted) > 1 else asserted[0].content
            return self._assembled_user(content, observed) if isinstance(content, User) else Assembled(content)
        if not parts or self._is_foreign(observed):
            return Assembled(None, held=True)
        return Assembled(None, removal=next((p.content for p in parts if p.content is not None), None))

    def _assembled_user(self, wanted: User, observed: Resource | None) -> Assembled:
        """Settle what depends on the user that is there: a mark that an adopted user has not, an unread password."""
        if not isinstance(observed, User):
            return Assembled(wanted, held=wanted.password is None)
        if not observed.tags and wanted.name in self._spec.adoptable_users:
            return Assembled(wanted._replace(tags=()))
        return Assembled(wanted)

    def _is_foreign(self, observed: Resource | None) -> bool:
        """Whether a withdrawal must not touch what is there: an adopted user, an exchange of another making."""
        match observed:
            case User():
                return observed.tags != (self._tag,)
            case Exchange():
                return observed.type != _FANOUT
            case _:
                return False

    def diff(self, desired: Resource, observed: Resource) -> Difference | None:
        """See `brokers.base.Driver.diff`."""
        return diff(desired, observed)

    def stage(self, change: Change) -> int:
        """See `brokers.base.Driver.stage`."""
        return graph.stage(change)

    def foreign(self, observed: Mapping[ResourceId, Resource], owned: Collection[ResourceId]) -> list[ResourceId]:
        """See `brokers.base.Driver.foreign`."""
        return graph.foreign_bindings(observed, owned)

    def leftovers(self, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """See `brokers.base.Driver.leftovers`."""
        return graph.marked_users(observed, self._tag)

    def attached(self, rid: ResourceId, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """See `brokers.base.Driver.attached`."""
        return graph.attached(rid, observed)

    def name_of(self, rid: ResourceId) -> str | None:
        """See `brokers.base.Driver.name_of`."""
        return graph.name_of(rid)

    def binding(self, user: Resolved, *, channels: Sequence[Mapping[str, Any]], ca: str | None) -> Mapping[str, str]:
        """See `brokers.base.Driver.binding`."""
        if not isinstance(user, ResolvedUser) or user.password is None:
            raise ValueError("only a user whose password is known has a binding")
        return binding_secret(self._spec, user.subject.name, user.password, channels=channels, ca=ca)

    def user_facts(self, ids: Collection[ResourceId], observed: Mapping[ResourceId, Resource]) -> Mapping[str, Any]:
        """See `brokers.base.Driver.user_facts`."""
        found = next((p for p in map(observed.get, ids) if isinstance(p, Permission)), None)
        if found is None:
            return {"permissionBytes": None}
        return {
            "permissionBytes": {name: len(getattr(found, name).encode()) for name in ("configure", "write", "read")}
        }

    def describe(self, change: Change) -> str:
        """See `brokers.base.Driver.describe`."""
        return describe.describe(change)


def _coordinates(names: ChannelNames) -> Mapping[Role, Mapping[str, Any]]:
    """Return what clients of each role need to know: it follows from the names, so it holds for a queue on hold too."""
    return {
        Role.PRODUCER: {"exchange": names.entry},
        Role.CONSUMER: {"queues": [names.queue]},
        Role.DEAD_LETTER_CONSUMER: {"queues": [names.dead]},
    }


def _assert(resource: Resource, subject: Subject) -> Part:
    return Part(resource.id, subject.key, Mode.ASSERT, resource, subject.since)


def _withdrawals(ids: tuple[ResourceId, ...], subject: Subject) -> list[Part]:
    """Withdraw these; what holds data only where `removal` says how, else it is just let go."""
    return [
        Part(rid, subject.key, Mode.WITHDRAW, subject.removal if graph.holds_data(rid) else None, subject.since)
        for rid in ids
        if subject.removal is not None or not graph.holds_data(rid)
    ]


def _grant_parts(grants: Sequence[Grant], names: ChannelNames, subject: Subject) -> list[Part]:
    write: dict[str, set[str]] = {}
    read: dict[str, set[str]] = {}
    for grant in grants:
        match grant.role:
            case Role.PRODUCER:
                write.setdefault(grant.username, set()).add(names.entry)
            case Role.CONSUMER:
                read.setdefault(grant.username, set()).add(names.queue)
            case Role.DEAD_LETTER_CONSUMER:
                read.setdefault(grant.username, set()).add(names.dead)
    return [
        Part(
            permission_id(user),
            subject.key,
            Mode.ASSERT,
            Access(frozenset(write.get(user, ())), frozenset(read.get(user, ()))),
            subject.since,
        )
        for user in sorted(write.keys() | read.keys())
    ]
