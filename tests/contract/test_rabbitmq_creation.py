"""What a RabbitMQ session creates and reads on real brokers, many objects at once too."""

import dataclasses

from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Session
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    exchange_id,
)
from channel_operator.brokers.registry import open_session
from channel_operator.core.model import Action, Change, Resource
from channel_operator.errors import Blocked, Retry, Unreachable
from tests.contract.targets import Calls, RabbitMQTarget, Scene, connection_to, foreign_queue
from tests.lab.rabbitmq import RabbitMQ
from tests.unit.rabbitmq.samples import resolved_queue


async def test_many_exchanges_and_bindings_go_in_a_few_calls_and_a_conflict_among_them_is_found(
    each: RabbitMQTarget,
) -> None:
    scene = Scene(each, await each.session.probe())
    queues = [resolved_queue(scene.name(f"q{i:03}"), messageTTL="1h") for i in range(60)]
    changes = await scene.changes(*queues)
    strangers: list[Resource] = [
        foreign_queue(scene.name("q007"), **{"x-message-ttl": 5}),
        Exchange(scene.name("q008_in"), "topic"),
    ]
    for stranger in strangers:
        await each.plant(stranger)
    each.calls.clear()
    outcomes = await each.session.apply(changes)
    failed = {outcome.change.id: outcome.error for outcome in outcomes if outcome.error is not None}
    assert {type(error) for error in failed.values()} == {Blocked}
    assert {error.reason for error in failed.values() if isinstance(error, Blocked)} == {Reason.ADOPTION_REFUSED}
    assert {stranger.id for stranger in strangers} <= set(failed)
    assert {rid.path[0][: len(scene.name("q007"))] for rid in failed} == {scene.name("q007"), scene.name("q008")}
    assert each.calls.writes.count("post_definitions") == 2
    assert not {"put_exchange", "post_binding"} & set(each.calls.writes)
    seen = await scene.picture()
    assert {stranger.id: seen[stranger.id] for stranger in strangers} == {s.id: s for s in strangers}
    done = [queue for queue in queues if queue.subject.name not in {scene.name("q007"), scene.name("q008")}]
    assert await scene.changes(*done) == []


async def test_one_bad_entry_in_a_document_costs_that_entry_only(each: RabbitMQTarget) -> None:
    scene = Scene(each, await each.session.probe())
    queues = [resolved_queue(scene.name(f"q{i:03}")) for i in range(60)]
    changes = await scene.changes(*queues)
    bad = next(c for c in changes if c.id == exchange_id(scene.name("q030_in")))
    changes[changes.index(bad)] = dataclasses.replace(bad, desired=Exchange(scene.name("q030_in"), "no-such-type"))
    outcomes = await each.session.apply(changes)
    failed = {outcome.change.id for outcome in outcomes if outcome.error is not None}
    binding = Binding(scene.name("q030_in"), scene.name("q030"))
    assert failed == {bad.id, binding.id}, "and what comes after it of the same channel"


async def test_a_queue_that_failed_gets_no_entry(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    changes = await scene.changes(resolved_queue(scene.name("q"), messageTTL="1h"))
    await place.plant(foreign_queue(scene.name("q"), **{"x-message-ttl": 5}))
    await place.session.apply(changes)
    assert Binding(scene.name("q_in"), scene.name("q")).id not in await scene.picture()


async def test_an_existing_queue_that_differs_by_a_default_only_is_taken_as_it_is(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    wanted = resolved_queue(scene.name("q"), defaults={"replicas": 3})
    changes = await scene.changes(wanted)
    await scene.settle(resolved_queue(scene.name("q")))
    assert [outcome.error for outcome in await place.session.apply(changes)] == [None] * len(changes)


async def test_closing_a_session_twice_is_harmless(newest: RabbitMQ) -> None:
    session: Session = open_session(connection_to(newest, "op"), Calls())
    await session.probe()
    await session.close()
    await session.close()


async def test_a_whole_broker_is_read_in_three_calls_whatever_it_holds(place: RabbitMQTarget) -> None:
    scene = Scene(place, await place.session.probe())
    await scene.settle(*(resolved_queue(scene.name(f"q{i}")) for i in range(30)))
    place.calls.clear()
    await place.session.observe(None)
    assert sorted(place.calls.seen) == [("definitions", "ok"), ("permissions", "ok"), ("users", "ok")]


async def test_errors_that_pass_are_told_from_those_that_stay(place: RabbitMQTarget) -> None:
    binding = Binding("nowhere", "nothing")
    change = Change(binding.id, Action.CREATE, binding, None, frozenset(), 2)
    (outcome,) = await place.session.apply([change])
    assert isinstance(outcome.error, Retry)
    assert not isinstance(outcome.error, Unreachable)
