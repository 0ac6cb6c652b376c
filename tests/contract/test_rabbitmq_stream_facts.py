"""Facts of RabbitMQ's streams that the driver relies on, proven on real brokers of both versions."""

import asyncio

from channel_operator.core.accepted import Credential, Role
from channel_operator.core.model import Action, Change, Outcome, Removal
from tests.contract.targets import RabbitMQTarget, Scene
from tests.harness.streams import StreamClient
from tests.harness.waiting import wait_until
from tests.unit.rabbitmq.samples import grant, resolved_subscription, resolved_topic, resolved_user


def stream_client(place: RabbitMQTarget, user: str) -> StreamClient:
    login = resolved_user(user).logins[0]
    credential = Credential(login.password)
    entries = dict(place.driver.binding(login.name, credential, channels=[], ca=place.rabbitmq.ca_pem))
    return StreamClient({**entries, "stream-port": str(place.rabbitmq.stream_tls_port)})


async def made(place: RabbitMQTarget, **fields: object) -> tuple[Scene, str]:
    """Make a log with one who writes and one who reads."""
    scene = Scene(place, await place.session.probe())
    log, writer, reader = scene.name("log"), scene.name("writer"), scene.name("reader")
    options = {"storage": "Log", "rabbitmq": {"streamProducers": True}, **fields}
    topic = resolved_topic(log, grant(writer, Role.PRODUCER), **options)  # type: ignore[arg-type]  # options of many types
    subscription = resolved_subscription(scene.name("sub"), grant(reader, Role.CONSUMER), topic=topic)
    await scene.settle(topic, subscription, resolved_user(writer), resolved_user(reader))
    return scene, log


async def test_the_partitions_of_a_super_stream_are_found_by_who_may_read_its_exchange(each: RabbitMQTarget) -> None:
    scene, log = await made(each, partitions=3)
    keys = [str(number) for number in range(12)]
    writer, reader = (stream_client(each, scene.name(who)) for who in ("writer", "reader"))
    assert await asyncio.to_thread(writer.publish_keyed, log, *keys) is None
    found = await asyncio.to_thread(reader.read_super, log, count=len(keys))
    assert isinstance(found, dict)
    assert sorted(body for bodies in found.values() for body in bodies) == sorted(keys)


async def test_who_may_only_read_a_stream_may_have_its_offset_kept(each: RabbitMQTarget) -> None:
    scene, log = await made(each)
    await asyncio.to_thread(stream_client(each, scene.name("writer")).publish, log, "a", "b", "c")
    reader = stream_client(each, scene.name("reader"))
    assert await asyncio.to_thread(reader.read, log, count=3) == ["a", "b", "c"]
    assert await asyncio.to_thread(reader.remember, log, "app", 1) == 1


async def test_a_stream_counts_all_that_it_keeps_read_or_not(each: RabbitMQTarget) -> None:
    scene, log = await made(each)
    await each.send(log, 3)
    assert await asyncio.to_thread(stream_client(each, scene.name("reader")).read, log, count=3) == ["m0", "m1", "m2"]

    def counted() -> bool:
        return bool(each.api("GET", each.path("queues", log)).get("messages") == 3)

    await asyncio.to_thread(wait_until, counted, "the stream counts three messages")


async def test_a_stream_is_deleted_as_empty_only_if_it_keeps_nothing(each: RabbitMQTarget) -> None:
    scene, log = await made(each)
    await each.send(log, 1)
    gone = resolved_topic(log, storage="Log", removal=Removal.DELETE_IF_EMPTY).subject
    outcomes: list[Outcome] = await scene.settle(gone=[gone])
    assert [o.kept for o in outcomes if o.change.id.kind == "Queue"] == [True]
    assert each.api("GET", each.path("queues", log))["name"] == log


async def test_a_policy_lowers_the_age_and_the_size_that_a_stream_was_declared_with(each: RabbitMQTarget) -> None:
    scene, log = await made(each, retention={"time": "48h", "bytes": "10Gi"})
    lower = resolved_topic(log, storage="Log", retention={"time": "24h", "bytes": "1Gi"})
    await scene.settle(lower)
    assert await scene.changes(lower) == []

    def effective() -> bool:
        return bool(each.api("GET", each.path("queues", log)).get("policy") == f"{log}_policy")

    await asyncio.to_thread(wait_until, effective, "the policy holds for the stream")


async def test_a_super_stream_with_a_message_in_one_partition_keeps_all_and_gets_its_bindings_back(
    each: RabbitMQTarget,
) -> None:
    scene, log = await made(each, partitions=3)
    writer = stream_client(each, scene.name("writer"))
    assert await asyncio.to_thread(writer.publish_keyed, log, "one") is None
    before = await scene.picture()
    cut = [
        Change(rid, Action.DELETE, None, found, frozenset(), 8)
        for rid, found in before.items()
        if rid.kind == "Binding" and rid.path[0] == log
    ]
    assert [outcome.error for outcome in await each.session.apply(cut)] == [None] * 3, "as a deletion broken off"
    gone = resolved_topic(log, storage="Log", partitions=3, removal=Removal.DELETE_IF_EMPTY).subject
    outcomes: list[Outcome] = await scene.settle(gone=[gone])
    assert [o.kept for o in outcomes if o.change.id.kind == "Queue"] == [True] * 3
    after = await scene.picture()
    kept = {rid for rid in before if log in rid.path[0] and rid.kind in {"Queue", "Exchange", "Binding"}}
    assert {rid: after.get(rid) for rid in kept} == {rid: before[rid] for rid in kept}
