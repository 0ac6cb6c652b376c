"""Topics and Subscriptions while everything fails: whatever happened, once it is calm the broker is as they say.

A property over random histories, as in `test_storm`. What must hold at the end is computed from the manifests alone,
but for the messages: nothing is ever taken from a queue that its policy keeps.
"""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.brokers.rabbitmq.resources import queue_id
from channel_operator.core.model import Key
from tests.engine.storms import befall, check_quiet
from tests.engine.world import World, world

TOPICS = {"fan": "FanOut", "log": "Log"}
SUBSCRIPTIONS = {"s0": "fan", "s1": "fan", "s2": "log"}
USERS = ("u0", "u1")
POLICIES = st.sampled_from(["Retain", "Delete", "DeleteIfEmpty"])
LISTS = st.lists(st.sampled_from(USERS), unique=True, max_size=2)
NAMES = st.sampled_from([*TOPICS, *SUBSCRIPTIONS, *USERS])

ACTIONS = st.one_of(
    st.tuples(st.just("user"), st.sampled_from(USERS)),
    st.tuples(st.just("topic"), st.sampled_from(list(TOPICS)), LISTS, st.sampled_from(["All", "Same"]), POLICIES),
    st.tuples(
        st.just("subscription"),
        st.sampled_from(list(SUBSCRIPTIONS)),
        LISTS,
        st.lists(st.sampled_from(["a", "b", "#"]), unique=True, min_size=1, max_size=2),
        POLICIES,
    ),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("disable"), NAMES, st.booleans()),
    st.tuples(st.just("messages"), st.sampled_from(["billing.s0", "billing.s1", "shop.log"]), st.integers(0, 1)),
    st.tuples(st.just("hand"), st.integers(0, 20)),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("api"), st.booleans()),
    st.tuples(st.just("dies"), st.integers(0, 6)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("time"), st.sampled_from([0, 1, 70, 400])),
)


def key_of(name: str) -> Key:
    if name in USERS:
        return Key(Kind.BROKER_USER, "billing", name)
    return Key(Kind.TOPIC, "shop", name) if name in TOPICS else Key(Kind.SUBSCRIPTION, "billing", name)


def exists(w: World, name: str) -> bool:
    body = w.kube.objects.get(key_of(name))
    return body is not None and "deletionTimestamp" not in body["metadata"]


async def act(w: World, action: tuple[Any, ...]) -> None:
    """Do one thing to the world."""
    match action:
        case ("user", name) if key_of(name) not in w.kube.objects:
            w.make_user(name)
        case ("topic", name, producers, consent, policy) if exists(w, name) or key_of(name) not in w.kube.objects:
            lists = [{"name": n, "namespace": "billing"} for n in producers]
            w.make_topic(
                name, storage=TOPICS[name], producers=lists, subscribers={"from": consent}, deletionPolicy=policy
            )
        case ("subscription", name, consumers, keys, policy) if exists(w, name) or key_of(name) not in w.kube.objects:
            fields: dict[str, Any] = {"filter": {"routingKeys": keys}} if SUBSCRIPTIONS[name] == "fan" else {}
            lists = [{"name": n} for n in consumers]
            w.make_subscription(
                name, topic=("shop", SUBSCRIPTIONS[name]), consumers=lists, deletionPolicy=policy, **fields
            )
        case ("delete", name) if key_of(name) in w.kube.objects:
            w.kube.delete(key_of(name))
        case ("disable", name, yes) if key_of(name) in w.kube.objects:
            w.kube.annotate(key_of(name), reconcile="Disabled" if yes else None)
        case ("messages", queue, count):
            w.broker.messages[queue_id(queue)] = count
        case ("outage" | "api" | "dies" | "crash" | "time" | "hand", *_):
            await befall(w, action)
        case _:
            pass


async def calm(w: World) -> None:
    w.kube.away = w.broker.unreachable = False
    w.broker.writes_left = None
    for key in [k for k in w.kube.objects if k.kind is not Kind.BROKER]:
        w.kube.annotate(key, reconcile=None)
    await w.advance(400, step=5.0)
    # What the brake remembers is over ten minutes later, and tidied away with the next look at the whole broker.
    await w.advance(1000, step=20.0)


def spec(w: World, name: str) -> dict[str, Any]:
    found: dict[str, Any] = w.kube.objects[key_of(name)]["spec"]
    return found


def admitted(w: World, name: str) -> bool:
    """Whether a subscription has a topic that is there and lets it in."""
    topic = SUBSCRIPTIONS[name]
    return exists(w, topic) and spec(w, topic)["subscribers"]["from"] == "All"


def check(w: World) -> None:
    """Hold the broker against the manifests."""
    for name in (*TOPICS, *SUBSCRIPTIONS, *USERS):
        if key_of(name) in w.kube.objects and not exists(w, name):
            # Only a topic whose subscriptions are still there may be on its way for long.
            assert any(topic == name and exists(w, sub) for sub, topic in SUBSCRIPTIONS.items()), name
            assert w.kube.condition(key_of(name)) == ("Unknown", "Deleting")
    for name, storage in TOPICS.items():
        if exists(w, name):
            assert w.ready(key_of(name))
            assert (f"shop.{name}" in w.names("Exchange")) == (storage == "FanOut")
            assert (f"shop.{name}" in w.names("Queue")) == (storage == "Log")
    for name, topic in SUBSCRIPTIONS.items():
        check_subscription(w, name, topic)
    for user in USERS:
        check_rights(w, user)


def check_subscription(w: World, name: str, topic: str) -> None:
    if not exists(w, name):
        assert not w.bindings(f"billing.{name}"), "what nobody reads must not fill up"
    elif admitted(w, name):
        assert w.ready(key_of(name))
        if topic == "fan":
            keys = {("shop.fan", key) for key in spec(w, name)["filter"]["routingKeys"]}
            assert w.bindings(f"billing.{name}") == keys
    elif exists(w, topic):
        assert w.kube.condition(key_of(name)) == ("False", "RefNotPermitted")
        assert not w.bindings(f"billing.{name}")
    else:
        assert not w.ready(key_of(name))


def check_rights(w: World, user: str) -> None:
    if not exists(w, user):
        assert f"billing.{user}" not in w.names("Permission")
        return
    found = w.permission(f"billing.{user}")
    sends = {n for n in TOPICS if exists(w, n) and user in [p["name"] for p in spec(w, n)["producers"]]}
    assert set(parse(found.write) or ()) == {"shop.fan" if n == "fan" else "shop.log_in" for n in sends}
    reads = {n for n in SUBSCRIPTIONS if exists(w, n) and {"name": user} in spec(w, n)["consumers"]}
    expected = {"shop.log" if n == "s2" else f"billing.{n}" for n in reads if admitted(w, n)}
    # While a topic is missing, what was given stays: the history decides.
    maybe = {"shop.log" if n == "s2" else f"billing.{n}" for n in reads if not exists(w, SUBSCRIPTIONS[n])}
    given = parse(found.read)
    assert given is not None
    assert expected <= given <= expected | maybe


async def history(actions: list[tuple[Any, ...]]) -> None:
    async with world() as w:
        w.make_broker()
        await w.start()
        for action in actions:
            await act(w, action)
        await calm(w)
        check(w)
        await check_quiet(w)
        check(w)


@given(st.lists(ACTIONS, min_size=5, max_size=25))
@settings(max_examples=40)
def test_after_any_storm_topics_and_subscriptions_are_as_the_manifests_say(actions: list[tuple[Any, ...]]) -> None:
    asyncio.run(history(actions))
