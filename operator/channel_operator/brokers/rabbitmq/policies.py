"""The policy of one channel: its name, the queues it is for, what it states, and how to tell it from those of others.

Decides its content from what is wanted and from what their declarations fixed. Never decides whether it may be
written (`shadows`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from channel_operator.brokers.rabbitmq.access import escaped
from channel_operator.brokers.rabbitmq.arguments import for_policy, for_policy_alone, immutable, policy_key
from channel_operator.brokers.rabbitmq.parts import withdrawn
from channel_operator.brokers.rabbitmq.resources import Policy, Queue, policy_id, queue_id
from channel_operator.core.accepted import Subject
from channel_operator.core.model import Assembled, Mode, Part, Resource, ResourceId

__all__ = ["Demand", "assembled", "difference", "is_ours", "part_for", "policy_name", "withdrawal"]

_SUFFIX: Final = "_policy"
_SHARDS: Final = "_[0-9]{1,3}"
_APPLY_TO: Final = {"quorum": "quorum_queues", "classic": "classic_queues", "stream": "streams"}
_LENGTHS: Final = ("max-length", "max-length-bytes")


class Demand(NamedTuple):
    """What an owner says of its policy: the queues as they should be, one or the shards, which differ by name only.

    `main` is the channel's name. `alone`: everything that a policy can state goes there.
    """

    main: str
    queues: tuple[Queue, ...]
    priority: int
    alone: bool = False


def policy_name(queue: str) -> str:
    """Return what the policy of a queue is called."""
    return queue + _SUFFIX


def _pattern(main: str, *, shards: bool) -> str:
    """Match one queue by its exact name, or the shards, whose names nothing else may have."""
    return f"^{escaped(main)}{_SHARDS if shards else ''}$"


def is_ours(policy: Policy) -> bool:
    """Whether a policy has the form of ours: it is for the queues of one channel, whose name its own repeats."""
    main = policy.name.removesuffix(_SUFFIX)
    return main != policy.name and policy.pattern in {_pattern(main, shards=shards) for shards in (False, True)}


def part_for(main: str, queues: Sequence[Queue], subject: Subject, *, priority: int, alone: bool) -> Part:
    """Say: what the declaration of these queues does not bring about, their policy does."""
    content = Demand(main, tuple(queues), priority, alone)
    return Part(policy_id(policy_name(main)), subject.key, Mode.ASSERT, content, subject.since)


def withdrawal(queue: str, subject: Subject) -> list[Part]:
    """Say: the policy of this queue goes, in order with the queue."""
    return withdrawn([policy_id(policy_name(queue))], subject)


def assembled(demand: Demand, picture: Mapping[ResourceId, Resource]) -> Assembled:
    """Return the policy that a queue needs; none where its declaration says all.

    What only a new queue can have holds the rest back too: half of an edit could do what nobody asked for.
    """
    definition: dict[str, Any] = {}
    there: list[Queue] = []
    for wanted in demand.queues:
        found = picture.get(queue_id(wanted.name))
        queue = found if isinstance(found, Queue) else None
        if queue is not None:
            there.append(queue)
            if immutable(wanted, queue):
                return Assembled(None, held=True)
        definition |= for_policy_alone(wanted, queue) if demand.alone else for_policy(wanted, queue)
    name = policy_name(demand.main)
    if not definition:
        present = picture.get(policy_id(name))
        return Assembled(None, held=isinstance(present, Policy) and not is_ours(present))
    pattern = _pattern(demand.main, shards=demand.queues[0].name != demand.main)
    stated = tuple(sorted(definition.items()))
    policy = Policy(name, pattern, _APPLY_TO[demand.queues[0].type], demand.priority, stated)
    return Assembled(policy, destructive=any(_drops_messages(policy, queue) for queue in there))


def _drops_messages(policy: Policy, queue: Queue) -> bool:
    """Whether a length that it states is below what the queue's declaration allows: the oldest messages would go."""
    fixed = {policy_key(argument): value for argument, value in queue.arguments}
    stated = {name: value for name, value in policy.definition if name in _LENGTHS}
    return any(fixed.get(name) is None or value < fixed[name] for name, value in stated.items())


def difference(desired: Policy, observed: Policy) -> tuple[str, ...]:
    """Return what differs, in RabbitMQ's words: a policy is read by those who know its own."""
    fields = [
        f"{name} {getattr(observed, name)} → {getattr(desired, name)}"
        for name in ("pattern", "apply_to", "priority")
        if getattr(observed, name) != getattr(desired, name)
    ]
    want, have = dict[str, Any](desired.definition), dict[str, Any](observed.definition)
    fields += [
        f"{key} {have.get(key, 'none')} → {want.get(key, 'none')}"
        for key in sorted(want.keys() | have.keys())
        if want.get(key) != have.get(key)
    ]
    return tuple(fields)
