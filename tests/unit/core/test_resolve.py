"""What one manifest stands for: every standing, and what an accepted one brings."""

from typing import Any

import pytest

from channel_operator.api.meta import FORCE_RELEASE, Kind
from channel_operator.core.accepted import Login, ResolvedQueue, ResolvedUser
from channel_operator.core.model import (
    Capabilities,
    Key,
    Removal,
    Secret,
)
from channel_operator.core.resolve import Standing, broker_problems, resolve
from channel_operator.core.view import Manifest
from tests.unit.core.samples import (
    CAPABILITIES,
    DISABLED,
    KAFKA,
    MAIN,
    broker,
    check,
    manifest,
    queue,
    user,
    view,
)

FORCED = {FORCE_RELEASE: "true"}


# -- standings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "main", "expected"),
    [
        (queue(), {}, Standing.ACCEPTED),
        (user("worker"), {}, Standing.ACCEPTED),
        (queue(managementPolicy="Observe"), {}, Standing.ACCEPTED),
        (queue(annotations=DISABLED), {}, Standing.HELD),
        (queue(messageTTL="soon"), {}, Standing.HELD),
        (queue(messageTTL="soon", annotations=DISABLED), {}, Standing.HELD),
        (manifest(Kind.TOPIC, "events"), {}, Standing.ACCEPTED),
        (queue(), {"deleted": True}, Standing.HELD),
        (queue(owned="created:x"), {"deleted": True}, Standing.ACCEPTED),
        (queue(), {"allowedNamespaces": {"from": "Same"}}, Standing.DENIED),
        (queue(messageTTL="soon"), {"allowedNamespaces": {"from": "Same"}}, Standing.DENIED),
        (queue(annotations=DISABLED), {"allowedNamespaces": {"from": "Same"}}, Standing.DENIED),
        (queue(physicalName="shop.x"), {}, Standing.WAITING),
        (queue(physicalName="shop.x", annotations=DISABLED), {}, Standing.WAITING),
        (queue(physicalName="shop.x", deleted=True), {}, Standing.RELEASED),
        (user("worker", username="shop.x", deleted=True), {}, Standing.RELEASED),
        (manifest(Kind.SUBSCRIPTION, "audit"), {}, Standing.WAITING),
        (queue(brokerRef={"name": "absent"}), {}, Standing.WAITING),
        (queue(), KAFKA, Standing.WAITING),
        (queue(deleted=True), {}, Standing.DELETED),
        (queue(deleted=True, messageTTL="soon"), {}, Standing.DELETED),
        (queue(deleted=True), {"allowedNamespaces": {"from": "Same"}}, Standing.DELETED),
        (user("worker", deleted=True), {}, Standing.DELETED),
        (queue(deleted=True, annotations=DISABLED), {}, Standing.RELEASED),
        (queue(deleted=True, annotations=FORCED), {}, Standing.RELEASED),
        (queue(deleted=True, managementPolicy="Observe"), {}, Standing.RELEASED),
        (queue(deleted=True), {"managementPolicy": "Observe"}, Standing.RELEASED),
        (queue(deleted=True, brokerRef={"name": "absent"}), {}, Standing.RELEASED),
        (queue(deleted=True), KAFKA, Standing.WAITING),
    ],
)
def test_how_an_object_stands_towards_its_broker(found: Manifest, main: dict[str, Any], expected: Standing) -> None:
    assert check(found, view(broker(**main)))[0] is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(None, None), ("Delete", Removal.DELETE), ("DeleteIfEmpty", Removal.DELETE_IF_EMPTY)],
)
def test_a_deleted_object_says_how_its_messages_go(policy: str | None, expected: Removal | None) -> None:
    found = queue(deleted=True, **({"deletionPolicy": policy} if policy else {}))
    subject = resolve(found, view(broker(), found), grace_over=True).subject
    assert subject is not None
    assert (subject.name, subject.removal) == ("billing.invoices", expected)


def test_a_name_is_one_channel_whatever_the_kind() -> None:
    topic = manifest(Kind.TOPIC, "invoices", age=5)
    standing, [problem] = check(queue(), view(broker(), topic))
    assert standing is Standing.WAITING
    assert "belongs to the older Topic billing/invoices" in problem[3]


def test_a_user_and_a_queue_may_bear_one_name() -> None:
    assert check(queue("same"), view(broker(), user("same", age=5)))[0] is Standing.ACCEPTED


def test_an_object_that_goes_keeps_its_name_until_it_is_gone() -> None:
    leaving = queue("elder", age=5, deleted=True, physicalName="billing.young")
    assert check(queue("young"), view(broker(), leaving))[0] is Standing.WAITING


# -- what an accepted object brings ----------------------------------------------------------------------------------


def test_the_manifest_wins_over_the_brokers_defaults_which_win_over_nothing() -> None:
    main = broker(defaults={"retry": {"maxDeliveries": 3}, "limits": {"maxMessages": 10}, "replicas": 3})
    found = queue(limits={"maxMessages": 99})
    resolved = resolve(found, view(main, found), grace_over=True).resolved
    assert isinstance(resolved, ResolvedQueue)
    assert resolved.spec.retry is not None
    assert resolved.spec.retry.max_deliveries == 3
    assert resolved.spec.limits is not None
    assert resolved.spec.limits.max_messages == 99
    assert resolved.spec.replicas == 3
    assert resolved.stated.retry is None


def test_grants_come_with_their_roles_and_reports() -> None:
    found = queue(
        producers=[{"name": "worker"}],
        consumers=[{"name": "absent"}],
        deadLetter={"consumers": [{"name": "worker"}]},
    )
    answer = resolve(found, view(broker(), found, user("worker")), grace_over=True)
    assert isinstance(answer.resolved, ResolvedQueue)
    assert [(g.usernames, str(g.role)) for g in answer.resolved.grants] == [
        (("billing.worker",), "Producer"),
        (("billing.worker",), "DeadLetterConsumer"),
    ]
    assert [str(r.state) for r in answer.grants] == ["Granted", "Missing", "Granted"]


def test_a_users_password_is_carried_and_never_shown() -> None:
    found = user("worker")
    answer = resolve(
        found, view(broker(), found), grace_over=True, logins=(Login("billing.worker", Secret("hush-hush")),)
    )
    assert isinstance(answer.resolved, ResolvedUser)
    assert answer.resolved.logins[0].password == Secret("hush-hush")
    assert "hush-hush" not in repr(answer)


# -- Brokers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        (broker(), None, None),
        (
            broker(**KAFKA),
            "UnsupportedByBroker",
            (
                "spec.kafka: Kafka is not supported by this version of the operator yet. "
                "Use a Broker with spec.rabbitmq, or wait for it."
            ),
        ),
        (broker(brake={"maxDeletions": 1}), None, None),
        (broker(credentials={}), "InvalidSpec", None),
    ],
    ids=["fine", "kafka", "brake", "invalid"],
)
def test_which_broker_can_be_worked_with(found: Manifest, reason: str | None, message: str | None) -> None:
    problems = broker_problems(found, view(found))
    assert [str(p.reason) for p in problems] == ([reason] if reason else [])
    if message:
        assert problems[0].message == message


def test_of_two_brokers_with_one_identity_the_younger_stands_back() -> None:
    younger = manifest(Kind.BROKER, "second", "messaging", age=1)
    seen = view(broker(), younger)
    assert broker_problems(younger, seen) == ()
    second = Key(Kind.BROKER, "messaging", "second")
    seen.known = {MAIN: CAPABILITIES, second: CAPABILITIES}
    assert broker_problems(seen.manifests[MAIN], seen) == ()
    [problem] = broker_problems(younger, seen)
    assert problem.reason == "NameConflict"
    assert problem.message == (
        "The older Broker messaging/main leads to the same virtual host. Use that one (it can admit other namespaces "
        "in spec.allowedNamespaces) and delete this one."
    )
    seen.known[second] = Capabilities("RabbitMQ", "4.3.6", "cluster//other", "cluster")
    assert broker_problems(younger, seen) == ()


def test_who_is_not_admitted_learns_nothing_of_the_names_on_the_broker() -> None:
    rival = queue("elder", age=5, physicalName="billing.x")
    for found in (queue("young", physicalName="billing.x"), queue("stray", physicalName="elsewhere.x")):
        main = broker(allowedNamespaces={"from": "Same"}, naming={"template": "secret.{namespace}.{name}"})
        standing, problems = check(found, view(main, rival), grace_over=False)
        assert standing is Standing.WAITING
        [(reason, _, _, text, stalled)] = problems
        assert (reason, stalled) == ("RefNotPermitted", False)
        assert "secret" not in text
        assert "name" not in text.replace("namespace", "").replace("allowedNamespaces", "").replace("Namespaces", "")
