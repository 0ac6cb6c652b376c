"""When a queue gets a policy, what it states, and what keeps it from being written."""

from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.policies import is_ours
from channel_operator.brokers.rabbitmq.resources import Policy, Queue, policy_id, queue_id
from channel_operator.core.model import Assembled, Problem, Resource, ResourceId
from tests.unit.rabbitmq.samples import NEWEST, changes_for, driver, resolved_queue, resources, subject

NAME = "billing.q"
POLICY = policy_id("billing.q_policy")
BY_POLICY: dict[str, Any] = {"rabbitmq": {"settings": "Policy"}}


def assembled(picture: dict[ResourceId, Resource], **fields: Any) -> Assembled:
    pure = driver()
    compiled = pure.compile(resolved_queue(NAME, **fields), NEWEST)
    return pure.assemble(POLICY, [part for part in compiled.parts if part.id == POLICY], picture, ())


def declared(**fields: Any) -> dict[ResourceId, Resource]:
    """Return the queue as this operator declares it for such a manifest."""
    found = resources(driver().compile(resolved_queue(NAME, **fields), NEWEST))
    return {queue_id(NAME): found[queue_id(NAME)]}


def foreign(**arguments: Any) -> dict[ResourceId, Resource]:
    stated = {"x-queue-type": "quorum", **{name.replace("_", "-"): value for name, value in arguments.items()}}
    return {queue_id(NAME): Queue(NAME, "quorum", arguments=tuple(sorted(stated.items())))}


def states(found: Assembled) -> dict[str, Any]:
    if found.resource is None:
        return {}
    assert isinstance(found.resource, Policy)
    return dict(found.resource.definition)


def limit(count: int) -> dict[str, Any]:
    return {"limits": {"maxMessages": count}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {"messageTTL": "1s"}, {"message-ttl": 1000}),
        ({"messageTTL": "2s"}, {"messageTTL": "1s"}, {"message-ttl": 1000}),
        ({}, {"retry": {"maxDeliveries": 3}}, {"delivery-limit": 2}),
        ({"retry": {"maxDeliveries": 5}}, {"retry": {"maxDeliveries": 3}}, {"delivery-limit": 2}),
        (limit(100), limit(50), {"max-length": 50}),
        ({}, {"limits": {"maxBytes": "1Ki"}}, {"max-length-bytes": 1024}),
        (limit(5), {"limits": {"maxMessages": 5, "overflow": "RejectNew"}}, {"overflow": "reject-publish"}),
        ({"limits": {"maxMessages": 5, "overflow": "RejectNew"}}, limit(5), {"overflow": "drop-head"}),
        (limit(5), {**limit(4), "messageTTL": "1s"}, {"max-length": 4, "message-ttl": 1000}),
    ],
)
def test_what_is_first_stated_or_lowered_later_comes_by_a_policy(before: Any, after: Any, expected: Any) -> None:
    found = assembled(declared(**before), **after)
    assert states(found) == expected
    assert driver().diff(*(declared(**m)[queue_id(NAME)] for m in (after, before))) is None
    assert isinstance(found.resource, Policy)
    assert found.resource[:4] == ("billing.q_policy", r"^billing\.q$", "quorum_queues", 100)
    assert is_ours(found.resource)


@pytest.mark.parametrize("fields", [{}, {"messageTTL": "1h", **limit(5), "retry": {"maxDeliveries": 5}}])
def test_a_queue_declared_as_its_manifest_says_has_no_policy(fields: Any) -> None:
    assert states(assembled({}, **fields)) == {}
    assert states(assembled(declared(**fields), **fields)) == {}


def test_what_only_a_new_queue_can_have_keeps_its_policy_as_it_is() -> None:
    assert assembled(declared(**limit(5)), **limit(9), messageTTL="1s").held


def test_lower_limits_on_a_queue_that_is_there_can_drop_messages() -> None:
    assert assembled(declared(), **limit(5)).destructive
    assert assembled(declared(**limit(9)), **limit(5)).destructive
    assert not assembled(declared(), messageTTL="1s").destructive


def test_a_queue_of_another_making_gets_its_dead_letter_by_policy_and_keeps_what_is_not_stated() -> None:
    assert states(assembled(foreign(x_max_length=7), deadLetter={})) == {"dead-letter-exchange": "billing.q_dlx"}
    assert states(assembled(foreign(x_max_length=7))) == {}
    assert states(assembled(foreign(x_overflow="reject-publish"))) == {}


def test_a_default_changes_no_queue_that_is_there() -> None:
    assert states(assembled(declared(), defaults={"retry": {"maxDeliveries": 5}, **limit(5)})) == {}


def test_settings_by_policy_leave_the_declaration_free_of_them() -> None:
    fields = {"messageTTL": "1s", "retry": {"maxDeliveries": 3}, "replicas": 3, **limit(5), **BY_POLICY}
    expected = {"message-ttl": 1000, "delivery-limit": 2, "max-length": 5}
    queue = declared(**fields)[queue_id(NAME)]
    assert isinstance(queue, Queue)
    assert dict(queue.arguments) == {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "billing.q_dlx",
        "x-delivery-limit": -1,
        "x-quorum-initial-group-size": 3,
    }
    assert states(assembled({}, **fields)) == expected
    assert states(assembled({queue_id(NAME): queue}, **fields)) == expected
    higher = {**fields, **limit(50), "messageTTL": "9h"}
    assert states(assembled({queue_id(NAME): queue}, **higher)) == {
        **expected,
        "max-length": 50,
        "message-ttl": 9 * 3_600_000,
    }
    assert states(assembled({queue_id(NAME): queue}, **BY_POLICY, replicas=3)) == {}
    assert driver().diff(declared(**BY_POLICY, replicas=3)[queue_id(NAME)], queue) is None


def test_a_default_that_held_at_creation_stays_in_the_policy() -> None:
    fields: dict[str, Any] = {**BY_POLICY, "defaults": limit(5)}
    assert states(assembled(declared(**fields), **fields)) == {"max-length": 5}
    assert states(assembled(foreign(), **fields)) == {}, "somebody else's queue was not made with it"


def test_a_policy_comes_before_its_new_queue_and_goes_after_it() -> None:
    pure = driver()
    resolved = resolved_queue(NAME, **BY_POLICY, **limit(5))
    made = changes_for(pure, [(resolved.subject.key, pure.compile(resolved, NEWEST))], {})
    stages = {str(change.id): change.stage for change in made}
    assert stages["Policy billing.q_policy"] < stages["Queue billing.q"]
    picture = {change.id: change.desired for change in made if change.desired is not None}
    gone = changes_for(pure, [(resolved.subject.key, pure.withdraw(subject(NAME)))], picture)
    stages = {str(change.id): change.stage for change in gone}
    assert stages["Policy billing.q_policy"] > stages["Queue billing.q"]
    assert pure.describe(next(c for c in made if c.id == POLICY)) == "+ policy billing.q_policy (max-length 5)"


# -- what stands in the way -----------------------------------------------------------------------------------------


def mine(name: str = NAME, **definition: Any) -> Policy:
    escaped = name.replace(".", r"\.")
    stated = tuple(sorted((key.replace("_", "-"), value) for key, value in definition.items()))
    return Policy(f"{name}_policy", f"^{escaped}$", "quorum_queues", 100, stated)


def other(pattern: str = "^billing", priority: int = 200, apply_to: str = "all", **definition: Any) -> Policy:
    content = definition or {"max-length": 5}
    return Policy("theirs", pattern, apply_to, priority, tuple((k.replace("_", "-"), v) for k, v in content.items()))


def hindered(*there: Policy, wanted: Policy | None = None, **site: Any) -> Problem | None:
    pure = driver(**site)
    one = wanted or mine(max_length=5)
    return pure.hindered([one], {policy.id: policy for policy in there}).get(one.id)


@pytest.mark.parametrize(
    "policy",
    [
        other(),
        other(priority=100),
        other("^billing\\.q$", apply_to="quorum_queues"),
        other("q", apply_to="queues"),
        other("((b+)+)+x"),
        other("a*b*c*d*"),
        other("[[:alpha:]]"),
        other("("),
    ],
)
def test_somebody_elses_policy_of_no_lower_priority_overrides_ours(policy: Policy) -> None:
    found = hindered(policy)
    assert found is not None
    assert (found.reason, found.condition) == ("PolicyShadowed", "Programmed")
    assert 'Policy "theirs"' in found.message
    assert "billing.q_policy" in found.message
    assert hindered(policy, mine(max_length=5)) is not None, "ours is there already, and does not hold"


@pytest.mark.parametrize(
    "policy",
    [
        other("^shop"),
        other(apply_to="classic_queues"),
        other(apply_to="exchanges"),
        other(max_age="1h"),
        other(priority=5, max_length=7),
    ],
)
def test_a_policy_that_is_not_for_the_queue_or_states_nothing_more_is_no_matter(policy: Policy) -> None:
    assert hindered(policy) is None


def test_ours_does_not_push_aside_what_somebody_else_states() -> None:
    found = hindered(other(priority=0, expires=5))
    assert found is not None
    assert found.reason == "PolicyShadowed"
    assert "expires" in found.message
    assert hindered(other(priority=0, expires=5), mine(max_length=5)) is None, "it was there first"


def test_there_are_only_so_many_policies_and_the_oldest_keep_theirs() -> None:
    pure = type(driver())(driver()._site.spec, "op", 2)
    there = {policy.id: policy for policy in (mine("a.a", x=1), other("^z"))}
    wanted = [mine("a.a", x=2), mine("a.b", x=1), mine("a.c", x=1)]
    found = pure.hindered(wanted, there)
    assert set(found) == {wanted[2].id}
    assert found[wanted[2].id].reason == "TooManyPolicies"
    assert "--max-policies" in found[wanted[2].id].message


@pytest.mark.parametrize(
    "policy",
    [
        Policy("billing.q", r"^billing\.q$", "all", 1, ()),
        Policy("billing.q_policy", "^billing", "all", 1, ()),
        Policy("_policy", "", "all", 1, ()),
    ],
)
def test_a_policy_of_another_form_is_not_ours_to_remove(policy: Policy) -> None:
    assert not is_ours(policy)
    pure = driver()
    parts = [part for part in pure.withdraw(subject(NAME)).parts if part.id == POLICY]
    assert pure.assemble(POLICY, parts, {POLICY: policy}, ()).held
    assert assembled({POLICY: policy, **declared()}).held
