"""From desired and observed to a plan: what is written, what waits for its record, what cannot be had."""

from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.resources import Queue, User, queue_id, user_id
from channel_operator.core.desired import Desired
from channel_operator.core.diff import leaders, plan
from channel_operator.core.model import (
    Action,
    Key,
    Plan,
    Removal,
    Resource,
    ResourceId,
    by_stage,
)
from channel_operator.core.resolve import resolve
from channel_operator.core.view import Manifest
from tests.unit.core.samples import CAPABILITIES, broker, broker_spec, queue, user, view

QUEUE = Key(Kind.QUEUE, "billing", "invoices")
WORKER = Key(Kind.BROKER_USER, "billing", "worker")
DRIVER = RabbitMQDriver(broker_spec(), "op")
NAME = "billing.invoices"


def planned(
    *manifests: Manifest,
    picture: dict[ResourceId, Resource] | None = None,
    records: set[Key] | None = None,
    ours: set[Key] | None = None,
) -> Plan:
    """Plan for these manifests; `records`: whose owner record stands (all, unless stated)."""
    seen, desired = view(broker(), *manifests), Desired(DRIVER)
    for found in manifests:
        resolution = resolve(found, seen, grace_over=True)
        assert resolution.resolved is not None or resolution.subject is not None
        if resolution.resolved is not None:
            desired.put(found.key, DRIVER.compile(resolution.resolved, CAPABILITIES), held=False)
        elif resolution.subject is not None:
            desired.put(found.key, DRIVER.withdraw(resolution.subject), held=False)
    desired.assemble(desired.ids(), picture or {})
    keys = {m.key for m in manifests}
    return plan(
        desired.ids(),
        desired,
        picture or {},
        DRIVER,
        may_write=(keys if records is None else records).__contains__,
        was_made_by_us=(ours or set()).__contains__,
    )


def test_nothing_there_means_everything_is_made_in_stages() -> None:
    found = planned(queue(deadLetter={}))
    assert {change.action for change in found.changes} == {Action.CREATE}
    stages = [{str(change.id) for change in stage} for stage in by_stage(found.changes)]
    assert stages == [
        {f"Exchange {NAME}_dlx", f"Queue {NAME}_dead"},
        {f"Queue {NAME}", f"Exchange {NAME}_in", f"Binding {NAME}_dlx queue {NAME}_dead  "},
        {f"Binding {NAME}_in queue {NAME}  "},
    ]
    assert not any(change.narrows or change.destructive for change in found.changes)


def test_nothing_is_written_before_the_owner_record_stands() -> None:
    assert planned(queue(), records=set()).changes == ()


def test_a_users_rights_are_written_on_the_users_own_record() -> None:
    both = (queue(consumers=[{"name": "worker"}]), user("worker"))
    found = planned(*both, picture={user_id("billing.worker"): _user()}, records={WORKER})
    assert [str(change.id) for change in found.changes] == ["Permission billing.worker"]
    assert planned(*both, picture={user_id("billing.worker"): _user()}, records={QUEUE}).changes != ()
    names = {str(c.id) for c in planned(*both, records={QUEUE}).changes}
    assert "Permission billing.worker" not in names


def _user() -> Resource:
    return User("billing.worker", ("channel-operator-op",))


def test_what_differs_for_good_is_told_by_whose_it_is() -> None:
    other: dict[ResourceId, Resource] = {queue_id(NAME): Queue(NAME, "classic")}
    [found] = planned(queue(), picture=other).blocked[QUEUE]
    assert found.reason == "AdoptionRefused"
    assert found.message == (
        f"Queue {NAME} exists on the broker already and does not fit: type classic → quorum. "
        "Make the manifest match it, choose another name, or delete it at the broker."
    )
    [mine] = planned(queue(), picture=other, ours={QUEUE}).blocked[QUEUE]
    assert mine.reason == "ImmutableOnBroker"
    assert mine.message == (
        f"Queue {NAME} differs from the manifest and the broker cannot change it in place: type classic → quorum. "
        "Take the change back, or delete the object at the broker once it is empty to have it made anew."
    )
    assert mine.condition == "Programmed"


def test_a_deletion_that_can_lose_messages_is_marked_and_says_how() -> None:
    there: dict[ResourceId, Resource] = {queue_id(NAME): Queue(NAME, "quorum")}
    for policy in ("Delete", "DeleteIfEmpty"):
        [change] = planned(queue(deleted=True, deletionPolicy=policy), picture=there).changes
        assert (change.action, change.removal) == (Action.DELETE, Removal(policy))
        assert change.narrows
        assert change.destructive
    assert planned(queue(deleted=True), picture=there).changes == ()


def test_what_is_gone_already_needs_no_deletion() -> None:
    assert planned(queue(deleted=True, deletionPolicy="Delete")).changes == ()


def test_users_lead_what_they_share_with_channels() -> None:
    assert leaders([QUEUE, WORKER]) == [WORKER]
    assert leaders([QUEUE]) == [QUEUE]
    assert leaders([]) == []


def test_a_plan_is_data_that_can_be_printed() -> None:
    found: Any = planned(queue(retry={"maxDeliveries": 5}))
    assert "+ queue billing.invoices (quorum, delivery limit 4)" in [DRIVER.describe(c) for c in found.changes]
    assert "billing.invoices" in repr(found)
