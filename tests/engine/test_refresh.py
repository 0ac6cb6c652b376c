"""What the broker has is read before a name is claimed, and not again for each of many that come at once."""

from channel_operator.api.meta import OWNED
from channel_operator.brokers.rabbitmq.resources import Queue
from channel_operator.core.model import Key
from channel_operator.engine.refresh import FRESH
from tests.engine.world import World, world

FOREIGN = Queue("billing.late", "classic", durable=True, auto_delete=False, arguments=())


def refused(made: World, key: Key) -> bool:
    """Whether a Queue may not have its name, and has no record of it by which it could be deleted later."""
    condition = made.kube.condition(key, "Ready")
    unclaimed = OWNED not in made.kube.objects[key]["metadata"]["annotations"]
    return unclaimed and condition is not None and condition[:2] == ("False", "AdoptionRefused")


async def started(made: World) -> None:
    made.kube.namespace("billing")
    made.make_broker()
    made.broker.whole_from = 3
    await made.start()


async def test_one_look_at_everything_serves_all_that_come_within_a_moment() -> None:
    async with world() as made:
        await started(made)
        made.make_queue("first")
        await made.settle()
        reads = made.broker.reads
        others = [made.make_queue(f"other-{number}") for number in range(5)]
        await made.settle()
        assert made.broker.reads == reads
        assert made.ready(*others)


async def test_what_that_look_saw_of_others_is_respected() -> None:
    async with world() as made:
        await started(made)
        made.put(FOREIGN)
        made.make_queue("first")
        await made.settle()
        late = made.make_queue("late")
        await made.settle()
        assert refused(made, late)
        assert made.queue("billing.late") == FOREIGN


async def test_a_moment_later_the_broker_is_asked_again() -> None:
    async with world() as made:
        await started(made)
        made.make_queue("first")
        await made.settle()
        made.put(FOREIGN)
        await made.advance(2 * FRESH)
        late = made.make_queue("late")
        await made.settle()
        assert refused(made, late)
        assert made.queue("billing.late") == FOREIGN


async def test_what_we_removed_ourselves_since_that_look_is_not_taken_for_somebody_elses() -> None:
    async with world() as made:
        await started(made)
        gone = made.make_queue("again", deletionPolicy="Delete", adoptionPolicy="Never")
        await made.settle()
        await made.advance(2 * FRESH)
        made.make_queue("other")
        await made.settle()
        made.kube.delete(gone)
        await made.settle()
        assert "billing.again" not in made.names("Queue")
        back = made.make_queue("again", adoptionPolicy="Never")
        await made.settle()
        assert made.ready(back)
        assert made.kube.status(back)["origin"] == "Created"


async def test_what_somebody_spoke_of_then_is_read_when_it_is_decided() -> None:
    async with world() as made:
        await started(made)
        held = made.make_queue("late", messageTTL="soon")
        await made.settle()
        made.put(FOREIGN)
        made.make_queue("first")
        await made.settle()
        made.kube.apply(held.kind, held.namespace, held.name, {"brokerRef": {"name": "main", "namespace": "messaging"}})
        await made.settle()
        assert refused(made, held)
        assert made.queue("billing.late") == FOREIGN
