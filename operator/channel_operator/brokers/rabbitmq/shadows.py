"""Policies of others, and how many of ours there may be: what stands in the way of a policy.

RabbitMQ applies one policy to a queue, that of the highest priority (documentation "Policies"). Decides whether ours
would hold, and whether it would push aside what somebody else's states. Never changes a policy that is not ours.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from channel_operator.api.reasons import ConditionType, Reason
from channel_operator.brokers.rabbitmq.access import escaped
from channel_operator.brokers.rabbitmq.policies import is_ours
from channel_operator.brokers.rabbitmq.resources import Policy
from channel_operator.core.model import Problem, Resource, ResourceId

__all__ = ["hindered"]

_EVERY: Final = frozenset({"all", "queues"})
_STREAMS_ONLY: Final = frozenset({"max-age", "stream-max-segment-size-bytes", "stream-filter-size-bytes"})
"""A policy with a key that a queue's type does not know is not applied to it at all (proven on 4.0.5 and 4.3.6)."""
_MANY: Final = 3
_INVOLVED: Final = re.compile(r"\)[*+{]|\[\[:|\\[QEKRXg]|\(\?[^:]")
"""Patterns that Python could read otherwise than RabbitMQ, or take for ever over."""


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> re.Pattern[str] | None:
    """Return the compiled pattern; None where it is not certain what RabbitMQ makes of it."""
    if _INVOLVED.search(pattern) or sum(pattern.count(sign) for sign in "*+{") >= _MANY:
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _applies(other: Policy, wanted: Policy, queue: str) -> bool:
    """Whether somebody else's policy is for the queue of ours. In doubt it is."""
    if other.apply_to not in _EVERY and other.apply_to != wanted.apply_to:
        return False
    if wanted.apply_to != "streams" and not _STREAMS_ONLY.isdisjoint(key for key, _ in other.definition):
        return False
    matcher = _matcher(other.pattern)
    return matcher is None or matcher.search(queue) is not None


def _shadow(wanted: Policy, others: Iterable[Policy], *, is_new: bool) -> str | None:
    """Say which policy overrides ours or would be pushed aside by it, and what to do; None = neither."""
    queue = wanted.name.rpartition("_")[0]
    example = queue if wanted.pattern.endswith(f"{escaped(queue)}$") else f"{queue}_0"
    # One that bears the name of ours is no rival: where that name is ours, ours comes in its place.
    rivals = [other for other in others if other.id != wanted.id and _applies(other, wanted, example)]
    above = max((other for other in rivals if other.priority >= wanted.priority), key=_priority, default=None)
    if above is not None:
        return (
            f'Policy "{above.name}" (priority {above.priority}) at the broker overrides the policy "{wanted.name}" '
            f"(priority {wanted.priority}) that queue {queue} needs. Have its pattern leave this queue out, or have "
            "the Broker's owner raise spec.rabbitmq.policyPriority."
        )
    if not is_new:
        return None
    below = max(rivals, key=_priority, default=None)
    lost = sorted({key for key, _ in below.definition} - {key for key, _ in wanted.definition}) if below else []
    if below is None or not lost:
        return None
    return (
        f'The policy "{wanted.name}" that queue {queue} needs would push aside policy "{below.name}" '
        f"(priority {below.priority}) at the broker, which states {', '.join(lost)} for it. Have its pattern leave "
        "this queue out, or make it an operator policy, which RabbitMQ applies besides."
    )


def _priority(policy: Policy) -> int:
    return policy.priority


def hindered(
    wanted: Sequence[Resource], picture: Mapping[ResourceId, Resource], limit: int
) -> Mapping[ResourceId, Problem]:
    """Return which of these policies, the oldest owner's first, cannot be had, and why."""
    policies = [one for one in wanted if isinstance(one, Policy)]
    if not policies:
        return {}
    there = [one for one in picture.values() if isinstance(one, Policy)]
    others = [one for one in there if not is_ours(one)]
    count = len(there) - len(others)
    found: dict[ResourceId, Problem] = {}
    for policy in policies:
        is_new = policy.id not in picture
        shadow = _shadow(policy, others, is_new=is_new) if others else None
        if shadow is not None:
            found[policy.id] = Problem(Reason.POLICY_SHADOWED, shadow, ConditionType.PROGRAMMED)
        elif is_new and count >= limit:
            text = (
                f'The policy "{policy.name}" would be one more than the {limit} that --max-policies allows this '
                "operator on the virtual host, since each slows the broker down. State the settings when the queue is "
                "created, with spec.rabbitmq.settings Arguments, or have the limit raised."
            )
            found[policy.id] = Problem(Reason.TOO_MANY_POLICIES, text, ConditionType.PROGRAMMED)
        else:
            count += is_new
    return found
