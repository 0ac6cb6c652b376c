"""What every driver and the broker in memory must do alike."""

import asyncio
from dataclasses import replace

import pytest

from channel_operator.api.meta import Kind
from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Permission,
    User,
    binding_id,
    exchange_id,
    permission_id,
    queue_id,
    user_id,
)
from channel_operator.core.accepted import Resolved, Role
from channel_operator.core.model import Action, Removal, Resource
from channel_operator.errors import Blocked, CredentialsRefused, Unreachable
from tests.contract.targets import Scene, foreign_queue
from tests.unit.rabbitmq.samples import grant, resolved_queue, resolved_user, subject


def full(scene: Scene) -> list[Resolved]:
    """Return a queue with much of what there is and its users, and one whose settings are left to a policy."""
    producer, consumer = scene.name("producer"), scene.name("consumer")
    return [
        resolved_user(producer, "p1"),
        resolved_user(consumer, "p2"),
        resolved_queue(
            scene.name("invoices"),
            grant(producer, Role.PRODUCER),
            grant(consumer, Role.CONSUMER),
            grant(consumer, Role.DEAD_LETTER_CONSUMER),
            retry={"maxDeliveries": 5},
            deadLetter={},
            messageTTL="1h",
            limits={"maxMessages": 1000, "maxBytes": "1Mi", "overflow": "RejectNew"},
            replicas=1,
        ),
        resolved_queue(scene.name("orders"), deadLetter={}, messageTTL="1h", rabbitmq={"settings": "Policy"}),
    ]


async def test_what_was_written_is_what_is_observed(scene: Scene) -> None:
    outcomes = await scene.settle(*full(scene))
    assert len(outcomes) == 17
    assert await scene.changes(*full(scene)) == []


async def test_writing_again_what_is_there_succeeds_and_a_settled_broker_is_not_written_to(scene: Scene) -> None:
    changes = await scene.changes(*full(scene))
    for _ in range(2):
        assert [o.error for o in await scene.session.apply(changes)] == [None] * 17
    scene.target.calls.clear()
    await scene.settle(*full(scene))
    assert scene.target.calls.writes == []


async def test_an_outcome_tells_the_object_as_it_now_is(scene: Scene) -> None:
    outcomes = await scene.settle(*full(scene))
    seen = await scene.picture()
    for outcome in outcomes:
        assert outcome.resource is not None
        assert scene.driver.diff(outcome.resource, seen[outcome.change.id]) is None


async def test_outcomes_come_in_the_order_of_the_changes(scene: Scene) -> None:
    changes = list(reversed(await scene.changes(*full(scene))))
    assert [o.change.id for o in await scene.session.apply(changes)] == [c.id for c in changes]


async def test_single_objects_are_seen_as_in_the_whole(scene: Scene) -> None:
    await scene.settle(*full(scene))
    everything = await scene.picture()
    absent = {
        queue_id(scene.name("none")),
        exchange_id(scene.name("none")),
        user_id(scene.name("none")),
        permission_id(scene.name("none")),
        binding_id(scene.name("none"), scene.name("none")),
        binding_id(scene.name("invoices_in"), scene.name("invoices"), routing_key="other"),
    }
    wanted = {part.id for _, compiled in scene.compiled(*full(scene)) for part in compiled.parts}
    unneeded = wanted - everything.keys()
    assert {rid.kind for rid in unneeded} <= {"Policy"}
    absent |= unneeded
    wanted -= unneeded
    observation = await scene.session.observe(wanted | absent)
    assert observation.missing == absent
    assert {rid: observation.resources[rid] for rid in wanted} == {rid: everything[rid] for rid in wanted}
    few = await scene.session.observe(absent)
    assert not few.complete
    assert few.missing == absent
    assert few.resources == {}
    channel = {rid for rid in wanted if scene.name("invoices") in rid.path}
    seen = await scene.session.observe(channel)
    assert seen.resources == {rid: everything[rid] for rid in channel}


async def test_many_single_objects_are_seen_as_well(scene: Scene) -> None:
    await scene.settle(*full(scene))
    absent = {queue_id(scene.name(f"none-{i}")) for i in range(60)}
    observation = await scene.session.observe(absent | {queue_id(scene.name("invoices"))})
    assert observation.missing == absent
    assert queue_id(scene.name("invoices")) in observation.resources
    if observation.complete:
        assert observation.resources == (await scene.session.observe(None)).resources


async def test_a_right_is_given_and_taken_away(scene: Scene) -> None:
    user = scene.name("worker")
    rid = permission_id(user)

    async def names() -> tuple[object, object]:
        found = (await scene.session.observe([rid])).resources[rid]
        assert isinstance(found, Permission)
        return parse(found.write), parse(found.read)

    def wanted(*roles: Role) -> list[Resolved]:
        grants = [grant(user, role) for role in roles]
        return [resolved_user(user), resolved_queue(scene.name("q"), *grants)]

    await scene.settle(*wanted(Role.CONSUMER))
    assert await names() == (set(), {scene.name("q")})
    await scene.settle(*wanted(Role.CONSUMER, Role.PRODUCER))
    assert await names() == ({scene.name("q_in")}, {scene.name("q")})
    await scene.settle(*wanted(Role.PRODUCER))
    assert await names() == ({scene.name("q_in")}, set())


async def test_a_changed_password_is_written_once(scene: Scene) -> None:
    user = scene.name("worker")
    await scene.settle(resolved_user(user, "old"))
    changes = await scene.changes(resolved_user(user, "new"))
    assert [(str(c.id), c.action) for c in changes] == [(f"User {user}", Action.UPDATE)]
    await scene.settle(resolved_user(user, "new"))
    assert await scene.changes(resolved_user(user, "new")) == []


async def test_what_is_deleted_leaves_nothing_and_deleting_it_again_succeeds(scene: Scene) -> None:
    before = dict(await scene.picture())
    await scene.settle(*full(scene))
    gone = [one.subject for one in full(scene)]
    changes = await scene.changes(gone=gone)
    assert len(changes) == 17
    for _ in range(2):
        outcomes = await scene.session.apply(changes)
        assert [(o.error, o.resource, o.kept) for o in outcomes] == [(None, None, False)] * 17
    assert await scene.picture() == before


async def test_an_empty_queue_goes_and_one_with_messages_stays_with_all_that_belongs_to_it(scene: Scene) -> None:
    queues = [
        resolved_queue(scene.name(name), deadLetter={}, removal=Removal.DELETE_IF_EMPTY) for name in ("empty", "full")
    ]
    await scene.settle(*queues)
    before = dict(await scene.picture())
    await scene.target.send(scene.name("full"), 3)
    outcomes = await scene.settle(gone=[queue.subject for queue in queues])
    after = await scene.picture()
    assert set(before) - set(after) == {rid for rid in before if rid.path[0].startswith(scene.name("empty"))}
    kept = {o.change.id for o in outcomes if o.kept}
    assert queue_id(scene.name("full")) in kept
    assert all(o.resource is not None for o in outcomes if o.kept)
    await scene.target.send(scene.name("full"), 1)


async def test_objects_of_others_are_untouched(scene: Scene) -> None:
    strangers: list[Resource] = [
        foreign_queue(scene.name("invoices-archive"), **{"x-max-length": 7}),
        foreign_queue(scene.name("invoices_other"), **{"x-queue-type": "classic"}),
        Exchange(scene.name("invoices_inn"), "topic"),
        User(scene.name("stranger"), ("monitoring",)),
        User(scene.name("other-operator"), ("channel-operator-other",)),
    ]
    for stranger in strangers:
        await scene.target.plant(stranger)
    await scene.target.plant(Permission(scene.name("stranger"), "", ".*", ".*"))
    await scene.target.plant(Binding(scene.name("invoices_inn"), scene.name("invoices-archive"), routing_key="a.#"))
    before = dict(await scene.picture())
    await scene.settle(*full(scene))
    seen = await scene.picture()
    assert {rid: seen[rid] for rid in before} == before
    await scene.settle(gone=[one.subject for one in full(scene)])
    assert await scene.picture() == before


async def test_a_queue_that_does_not_fit_is_left_alone_and_gets_no_messages(scene: Scene) -> None:
    wanted = resolved_queue(scene.name("invoices"), messageTTL="1h")
    other = resolved_queue(scene.name("other"))
    changes = await scene.changes(wanted, other)
    stranger = foreign_queue(scene.name("invoices"), **{"x-message-ttl": 5})
    await scene.target.plant(stranger)
    errors = {o.change.id: o.error for o in await scene.session.apply(changes)}
    refused = errors.pop(queue_id(scene.name("invoices")))
    assert isinstance(refused, Blocked)
    assert refused.reason == Reason.ADOPTION_REFUSED
    assert "spec.messageTTL 5ms → 1h" in str(refused)
    seen = await scene.picture()
    assert seen[stranger.id] == stranger
    assert queue_id(scene.name("other")) in seen, "a neighbour is made all the same"
    assert errors[queue_id(scene.name("other"))] is None


async def test_a_user_of_somebody_else_is_neither_taken_over_nor_deleted(scene: Scene) -> None:
    user = resolved_user(scene.name("worker"), "mine")
    creation = await scene.changes(user)
    stranger = User(scene.name("worker"), ("monitoring",))
    await scene.target.plant(stranger)
    before = (await scene.picture())[stranger.id]
    errors = {o.change.id: o.error for o in await scene.session.apply(creation)}
    refused = errors[stranger.id]
    assert isinstance(refused, Blocked)
    assert refused.reason == Reason.ADOPTION_REFUSED
    (change,) = (change for change in creation if change.id == stranger.id)
    deletion = replace(change, action=Action.DELETE, desired=None, observed=change.desired)
    (outcome,) = await scene.session.apply([deletion])
    assert outcome.kept
    assert (await scene.picture())[stranger.id] == before


@pytest.mark.parametrize("short", ["a" * 190, "a.b-c_d.E", "0"])
async def test_names_at_the_limits_are_just_names(scene: Scene, short: str) -> None:
    name = scene.name(short)
    user = subject(scene.name("u" + short), Kind.BROKER_USER).name
    objects: list[Resolved] = [
        resolved_user(user),
        resolved_queue(name, grant(user, Role.PRODUCER), grant(user, Role.CONSUMER), deadLetter={}),
    ]
    await scene.settle(*objects)
    assert await scene.changes(*objects) == []
    await scene.target.send(name, 1)
    await scene.settle(gone=[one.subject for one in objects])


async def test_a_broker_that_does_not_answer_is_said_to_be_unreachable_and_nothing_else(scene: Scene) -> None:
    changes = await scene.changes(*full(scene))
    scene.target.away(is_away=True)
    try:
        outcomes = await scene.session.apply(changes)
    finally:
        scene.target.away(is_away=False)
    assert {type(o.error) for o in outcomes} == {Unreachable}
    await scene.settle(*full(scene))
    assert await scene.changes(*full(scene)) == []


async def test_a_refused_login_is_said_to_be_one(scene: Scene) -> None:
    session = scene.target.login_refused()
    changes = await scene.changes(*full(scene))
    try:
        with pytest.raises(CredentialsRefused):
            await session.probe()
        with pytest.raises(CredentialsRefused):
            await session.observe(None)
        assert {type(o.error) for o in await session.apply(changes)} == {CredentialsRefused}
        assert await session.probe_data_plane() is not None or not scene.target.prefix.startswith("p")
    finally:
        await session.close()


async def test_the_identity_stays_the_same_and_the_data_plane_is_well(scene: Scene) -> None:
    again = await scene.session.probe()
    assert again == scene.capabilities
    assert await scene.session.probe_data_plane() is None


async def test_sets_of_changes_side_by_side_do_not_disturb_each_other(scene: Scene) -> None:
    queues = [resolved_queue(scene.name(f"q{i}")) for i in range(6)]
    sets = [await scene.changes(queue) for queue in queues]
    for outcomes in await asyncio.gather(*(scene.session.apply(changes) for changes in sets)):
        assert [o.error for o in outcomes] == [None] * len(outcomes)
    assert await scene.changes(*queues) == []
