"""What becomes of users and Brokers when something of their name, or beside them, goes and comes in one moment."""

from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.brokers.fake import FakeBroker
from channel_operator.brokers.rabbitmq.resources import Permission, User
from channel_operator.core.model import Key, Secret
from tests.engine.world import MAIN, TAG, World, world

SECOND = "https://second:15671"
OTHER = Key(Kind.BROKER, "messaging", "second")
ON_OTHER: dict[str, Any] = {"brokerRef": {"name": "second", "namespace": "messaging"}}


async def two_hosts(w: World) -> Key:
    """Return a user of a second virtual host of one cluster; a Broker leads to each."""
    w.make_broker()
    w.make_broker("second", SECOND)
    w.brokers[SECOND] = FakeBroker(identity="fake-2")
    await w.start()
    await w.advance(5)
    # Users belong to the cluster.
    w.brokers[SECOND].resources = w.broker.resources
    user = w.make_user("worker", **ON_OTHER)
    await w.advance(10)
    assert w.ready(user)
    return user


async def test_a_user_made_again_before_anybody_looked_gets_a_secret_of_its_own() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        w.kube.objects[user]["metadata"]["finalizers"] = []
        w.kube.delete(user)
        assert w.kube.secrets.keys() == {("messaging", "rabbitmq-login")}, "garbage collection"
        w.make_user("worker")
        await w.advance(30)
        assert w.ready(user)
        uid = w.kube.objects[user]["metadata"]["uid"]
        assert w.kube.secrets["billing", "worker-binding"].owner_uids == {uid}


async def test_users_of_a_broker_that_is_gone_are_no_leftovers_of_another() -> None:
    async with world() as w:
        await two_hosts(w)
        w.kube.objects[OTHER]["metadata"]["finalizers"] = []
        w.kube.delete(OTHER)
        await w.advance(700)
        assert w.names("User") == {"billing.worker"}


async def test_users_of_a_broker_that_is_unreadable_are_no_leftovers_of_another() -> None:
    async with world() as w:
        await two_hosts(w)
        w.kube.edit(OTHER, resyncInterval="soon")
        await w.advance(700)
        assert w.names("User") == {"billing.worker"}


async def test_a_manifest_for_a_broker_that_does_not_exist_keeps_no_rights() -> None:
    async with world() as w:
        w.make_broker()
        w.put(User("billing.left", (TAG,), Secret("a")))
        w.put(Permission("billing.left", "^$", ".*", ".*"))
        w.make_user("other", username="billing.left", **ON_OTHER)
        await w.start()
        await w.advance(400)
        assert w.names("Permission") == set()


async def test_the_younger_of_two_brokers_goes_on_as_soon_as_the_older_is_gone() -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        await w.advance(2)
        w.brokers[SECOND] = w.broker
        younger = w.make_broker("second", SECOND)
        await w.advance(5)
        assert w.kube.condition(younger) == ("False", "NameConflict")
        w.kube.delete(MAIN)
        await w.advance(5)
        assert w.ready(younger)
