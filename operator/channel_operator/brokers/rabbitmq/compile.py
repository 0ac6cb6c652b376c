"""The pure side of RabbitMQ: manifests to parts, parts to native objects, and the order of writing.

Decides which module speaks for which kind. Never does I/O, and never decides who may do what (core).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq import (
    describe,
    graph,
    policies,
    queues,
    shadows,
    subscriptions,
    topics,
    users,
)
from channel_operator.brokers.rabbitmq.access import assemble_permission, gives
from channel_operator.brokers.rabbitmq.arguments import same_maker
from channel_operator.brokers.rabbitmq.binding import binding_secret
from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.names import STAND_IN_SUFFIX, main_of
from channel_operator.brokers.rabbitmq.principals import principal_of
from channel_operator.brokers.rabbitmq.resources import (
    CONSISTENT_HASH,
    DIRECT,
    FANOUT,
    PERMISSION,
    POLICY,
    QUEUE,
    TOPIC,
    Exchange,
    Permission,
    Policy,
    Queue,
    User,
    queue_id,
    user_id,
)
from channel_operator.brokers.rabbitmq.site import MAX_POLICIES, Site
from channel_operator.core.accepted import (
    Compiled,
    Credential,
    Resolved,
    ResolvedQueue,
    ResolvedSubscription,
    ResolvedTopic,
    ResolvedUser,
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

__all__ = ["RabbitMQDriver"]

_ENTRIES = frozenset({FANOUT, CONSISTENT_HASH})
_TOPICS = frozenset({TOPIC, DIRECT})
"""Types of the exchanges that are made here: those with a derived name, and those of topics."""


class RabbitMQDriver:
    """Implements `brokers.base.Driver` for one Broker object."""

    contested = frozenset({POLICY})

    def __init__(self, spec: BrokerSpec, operator_id: str, max_policies: int = MAX_POLICIES) -> None:
        self._site = Site.of(spec, operator_id, max_policies)

    def compile(self, resolved: Resolved, capabilities: Capabilities) -> Compiled:
        """See `brokers.base.Driver.compile`."""
        match resolved:
            case ResolvedQueue():
                return queues.compiled(resolved, self._site, capabilities)
            case ResolvedTopic():
                return topics.compiled(resolved, self._site, capabilities)
            case ResolvedSubscription():
                return subscriptions.compiled(resolved, self._site, capabilities)
            case ResolvedUser():
                return users.compiled(resolved, self._site)

    def hold(self, subject: Subject) -> Compiled:
        """See `brokers.base.Driver.hold`."""
        match subject.key.kind:
            case Kind.BROKER_USER:
                return users.hold(subject)
            case Kind.TOPIC:
                return topics.hold(subject, self._site)
            case Kind.SUBSCRIPTION:
                return subscriptions.hold(subject, self._site)
            case _:
                return queues.hold(subject, self._site)

    def deny(self, subject: Subject) -> Compiled:
        """See `brokers.base.Driver.deny`."""
        match subject.key.kind:
            case Kind.SUBSCRIPTION:
                return subscriptions.deny(subject, self._site)
            case Kind.TOPIC:
                return topics.deny(subject, self._site)
            case _:
                return self.hold(subject)

    def withdraw(self, subject: Subject) -> Compiled:
        """See `brokers.base.Driver.withdraw`."""
        match subject.key.kind:
            case Kind.BROKER_USER:
                return users.withdraw(subject)
            case Kind.TOPIC:
                return topics.withdraw(subject)
            case Kind.SUBSCRIPTION:
                return subscriptions.withdraw(subject)
            case _:
                return queues.withdraw(subject)

    def assemble(
        self,
        rid: ResourceId,
        parts: Sequence[Part],
        picture: Mapping[ResourceId, Resource],
        held_names: Collection[str],
    ) -> Assembled:
        """See `brokers.base.Driver.assemble`."""
        observed = picture.get(rid)
        if rid.kind == PERMISSION:
            found = observed if isinstance(observed, Permission) else None
            return assemble_permission(rid.path[0], parts, found, held_names)
        if any(part.mode in {Mode.HOLD, Mode.KEEP} for part in parts):
            return Assembled(None, held=True)
        asserted = [part for part in parts if part.mode is Mode.ASSERT]
        if asserted:
            content = min(asserted, key=lambda part: part.since).content if len(asserted) > 1 else asserted[0].content
            match content:
                case User():
                    return users.assembled(content, observed, self._site)
                case policies.Demand():
                    return policies.assembled(content, picture)
                case _:
                    return Assembled(content)
        if not parts or self._is_foreign(observed):
            return Assembled(None, held=True)
        return Assembled(None, removal=next((p.content for p in parts if p.content is not None), None))

    def _is_foreign(self, observed: Resource | None) -> bool:
        """Whether a withdrawal must not touch what is there: an adopted user, an exchange of another making."""
        match observed:
            case User():
                return users.is_foreign(observed, self._site)
            case Exchange():
                return observed.type not in (_ENTRIES if main_of(observed.name) != observed.name else _TOPICS)
            case Policy():
                return not policies.is_ours(observed)
            case _:
                return False

    def gives(self, part: Part, observed: Resource | None, *, whole: bool = False) -> bool:
        """See `brokers.base.Driver.gives`."""
        return gives(part, observed if isinstance(observed, Permission) else None, whole=whole)

    def diff(self, desired: Resource, observed: Resource) -> Difference | None:
        """See `brokers.base.Driver.diff`."""
        return diff(desired, observed)

    def hindered(
        self, wanted: Sequence[Resource], picture: Mapping[ResourceId, Resource]
    ) -> Mapping[ResourceId, Problem]:
        """See `brokers.base.Driver.hindered`."""
        return shadows.hindered(wanted, picture, self._site.max_policies)

    def shows_own_making(self, desired: Resource, observed: Resource) -> bool:
        """See `brokers.base.Driver.shows_own_making`."""
        return isinstance(desired, Queue) and isinstance(observed, Queue) and same_maker(desired, observed)

    def stage(self, change: Change) -> int:
        """See `brokers.base.Driver.stage`."""
        return graph.stage(change)

    def needs(self, resource: Resource) -> Sequence[ResourceId]:
        """See `brokers.base.Driver.needs`."""
        return graph.needs(resource)

    def foreign(
        self, observed: Mapping[ResourceId, Resource], owned: Collection[ResourceId], held: Collection[ResourceId]
    ) -> list[ResourceId]:
        """See `brokers.base.Driver.foreign`."""
        return graph.foreign_bindings(observed, owned, held)

    def leftovers(self, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """See `brokers.base.Driver.leftovers`."""
        return graph.marked_users(observed, self._site.tag)

    def attached(self, rid: ResourceId, observed: Mapping[ResourceId, Resource]) -> list[ResourceId]:
        """See `brokers.base.Driver.attached`."""
        return graph.attached(rid, observed)

    def name_of(self, rid: ResourceId) -> str | None:
        """See `brokers.base.Driver.name_of`."""
        return graph.name_of(rid)

    def login_id(self, username: str) -> ResourceId:
        """See `brokers.base.Driver.login_id`."""
        return user_id(username)

    def principal(self, certificate: str) -> str:
        """See `brokers.base.Driver.principal`."""
        return principal_of(certificate, self._site.rabbitmq.certificate_login)

    def binding(
        self, username: str, credential: Credential, *, channels: Sequence[Mapping[str, Any]], ca: str | None
    ) -> Mapping[str, str]:
        """See `brokers.base.Driver.binding`."""
        return binding_secret(self._site.spec, username, credential, channels=channels, ca=ca)

    def stand_in(self, rid: ResourceId) -> ResourceId | None:
        """See `brokers.base.Driver.stand_in`."""
        # A stand-in beside the shards would take part in sharing out the keys, and their order would be lost.
        if rid.kind != QUEUE or main_of(rid.path[0]) != rid.path[0]:
            return None
        return queue_id(rid.path[0] + STAND_IN_SUFFIX)

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
