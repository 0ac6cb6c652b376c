"""What a Subscription is on RabbitMQ: what its consumers read, bound to the exchange of its Topic.

Decides its native objects and who gets which name. Never decides who may do what (core).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import Storage
from channel_operator.brokers.rabbitmq import delivery, stream_readers
from channel_operator.brokers.rabbitmq.names import ChannelNames
from channel_operator.brokers.rabbitmq.parts import asserted, granted, held, refused, unfed, unwanted, withdrawn
from channel_operator.brokers.rabbitmq.policies import part_for, policy_name, withdrawal
from channel_operator.brokers.rabbitmq.resources import Binding, policy_id, queue_id
from channel_operator.brokers.rabbitmq.settings import effective, left_to_policy
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.subscription_rules import subscription_enforcement, subscription_problems
from channel_operator.brokers.rabbitmq.support import client_enforced
from channel_operator.core.accepted import Compiled, ResolvedSubscription, Subject
from channel_operator.core.model import Capabilities, Resource, ResourceId

__all__ = ["compiled", "deny", "hold", "withdraw"]

EVERYTHING = "#"
"""The pattern of routing keys that a topic exchange takes for all of them."""


def compiled(resolved: ResolvedSubscription, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Subscription."""
    if stream_readers.is_reader(resolved.subject):
        return stream_readers.compiled(resolved, site, capabilities)
    subject, spec = resolved.subject, resolved.spec
    names = ChannelNames.of(subject.name)
    dead = delivery.dead_letters(names, spec, resolved.dead_letter)
    notes = subscription_enforcement(resolved, capabilities)
    problems = subscription_problems(resolved, capabilities)
    if spec.require_broker_enforcement:
        problems += client_enforced(notes)
    if problems:
        return refused(hold(subject, site), problems)
    bindings = _bindings(subject)
    queues = delivery.queues(names, spec, resolved.stated)
    wanted: list[Resource] = [*queues, *_way_in(names, spec), *bindings]
    parts = [asserted(one, subject) for one in (*wanted, *dead.wanted)]
    parts += unwanted((*dead.unwanted, *delivery.beyond(names, spec)), subject)
    priority, alone = site.rabbitmq.policy_priority, left_to_policy(spec)
    parts.append(part_for(names.queue, queues, subject, priority=priority, alone=alone))
    told = _told_bindings(subject) | delivery.told_dead_letters(names, subject)
    parts += unfed(told - {one.id for one in (*bindings, *dead.wanted)}, subject)
    parts += granted(resolved.grants, delivery.consumer_access(names, spec), subject)
    read = names.queues(delivery.shards_of(spec))
    return Compiled(
        tuple(parts),
        names=frozenset({names.queue}),
        enforcement=notes,
        address=_address(subject, [*read, dead.own] if dead.own else read, site),
        effective={
            **effective(spec, resolved.stated),
            **delivery.shown_dead_letters(resolved.dead_letter),
            "storage": str(Storage.FAN_OUT),
            "routingKeys": list(_routing_keys(spec)),
        },
        coordinates=delivery.consumer_coordinates(names, read),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Subscription on hold."""
    if stream_readers.is_reader(subject):
        return stream_readers.hold(subject, site)
    return _kept(subject, site, held(_all_bindings(subject), subject))


def deny(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Subscription that is not admitted: its queue stays, and nothing flows into it any more."""
    if stream_readers.is_reader(subject):
        return stream_readers.deny(subject, site)
    return _kept(subject, site, unfed(_all_bindings(subject), subject))


def _kept(subject: Subject, site: Site, bindings: Sequence[Any]) -> Compiled:
    names, read = ChannelNames.of(subject.name), _read(subject)
    ids = [*names.main_ids(delivery.shards_held(subject)), *names.dead_ids, policy_id(policy_name(names.queue))]
    return Compiled(
        (*held(ids, subject), *bindings),
        names=frozenset({names.queue}),
        address=_address(subject, read, site),
        coordinates=delivery.consumer_coordinates(names, read),
    )


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted Subscription.

    Its bindings go in any case: a queue that nobody reads would fill the disk. Its messages go by its policy.
    """
    if stream_readers.is_reader(subject):
        return stream_readers.withdraw()
    names = ChannelNames.of(subject.name)
    ids = [*map(queue_id, _read(subject)), *names.dead_ids, *sorted(delivery.told_dead_letters(names, subject))]
    if isinstance(subject.spec, SubscriptionSpec):
        ids += [one.id for one in _way_in(names, subject.spec)]
    gone = [*withdrawn(ids, subject), *withdrawal(names.queue, subject)] if subject.removal is not None else []
    return Compiled((*gone, *unfed(_all_bindings(subject), subject)), names=frozenset({names.queue}))


def _read(subject: Subject) -> tuple[str, ...]:
    return ChannelNames.of(subject.name).queues(delivery.shards_held(subject))


def _way_in(names: ChannelNames, spec: SubscriptionSpec) -> list[Resource]:
    """Return what spreads the messages of one key over shards; a single queue is bound to the topic itself."""
    if delivery.shards_of(spec) is None:
        return []
    return [delivery.entry_exchange(names, spec), *delivery.feeds(names, spec)]


def _routing_keys(spec: SubscriptionSpec) -> tuple[str, ...]:
    keys = spec.filter.routing_keys if spec.filter is not None else ()
    return tuple(dict.fromkeys(keys)) or (EVERYTHING,)


def _bindings(subject: Subject) -> list[Binding]:
    """Return how the manifest has it bound to its Topic; nothing while either cannot be read."""
    if subject.topic is None or not isinstance(subject.spec, SubscriptionSpec):
        return []
    return [_binding(subject, subject.topic.name, key) for key in _routing_keys(subject.spec)]


def _binding(subject: Subject, exchange: str, key: str) -> Binding:
    names = ChannelNames.of(subject.name)
    if delivery.shards_held(subject) is None:
        return Binding(exchange, names.queue, routing_key=key)
    return Binding(exchange, names.entry, "exchange", routing_key=key)


def _told_bindings(subject: Subject) -> set[ResourceId]:
    """Return how it was bound when its status was last written: by another filter, or to a Topic that has gone."""
    native = (subject.told.get("address") or {}).get("rabbitmq") or {}
    keys = (subject.told.get("effective") or {}).get("routingKeys") or ()
    exchange = native.get("exchange")
    return {_binding(subject, exchange, key).id for key in keys} if exchange else set()


def _all_bindings(subject: Subject) -> Iterable[ResourceId]:
    return sorted({binding.id for binding in _bindings(subject)} | _told_bindings(subject))


def _address(subject: Subject, queues: Sequence[str], site: Site) -> Mapping[str, Any]:
    exchange = subject.topic.name if subject.topic is not None else None
    native = {"vhost": site.rabbitmq.vhost, "exchange": exchange, "queues": list(queues)}
    return {"name": subject.name, "rabbitmq": native}
