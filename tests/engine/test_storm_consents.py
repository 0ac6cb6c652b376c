"""Owners who change their minds about who may subscribe, with brake, rotation and shards, while everything fails.

A property over random histories, as in `test_storm`: what must hold at the end is computed from the manifests alone.
"""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.brokers.rabbitmq.resources import CONSISTENT_HASH
from channel_operator.core.model import Key
from tests.engine.storms import befall, check_quiet, release
from tests.engine.world import TAG, World, world

USERS = ("u0", "u1")
TOPICS = ("t0", "t1")
SUBSCRIPTIONS = ("s0", "s1", "s2")
NAMES = (*USERS, *TOPICS, *SUBSCRIPTIONS)
ROTATION = {"every": "2h", "overlap": "5m"}
SELECTED = {"from": "Selector", "selector": {"matchLabels": {"topics": "yes"}}}
HARD = {"outage", "api", "dies", "crash", "time", "messages", "hand"}
"""What `test_storm.befall` does."""

POLICIES = st.sampled_from(["Retain", "Delete", "DeleteIfEmpty"])
LISTS = st.lists(st.sampled_from(USERS), unique=True, max_size=2)
KEYS = st.lists(st.sampled_from(["a", "b", "#"]), unique=True, min_size=1, max_size=2)
ACTIONS = st.one_of(
    st.tuples(st.just("user"), st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("topic"), st.sampled_from(TOPICS), LISTS, st.sampled_from(["All", "Same", "Selector"]), POLICIES),
    st.tuples(st.just("subscription"), st.sampled_from(SUBSCRIPTIONS), st.sampled_from(TOPICS), KEYS, LISTS, POLICIES),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("break"), st.sampled_from(SUBSCRIPTIONS)),
    st.tuples(st.just("disable"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("observe"), st.sampled_from([*TOPICS, *SUBSCRIPTIONS]), st.booleans()),
    st.tuples(st.just("label"), st.booleans(), st.booleans()),
    st.tuples(st.just("rotate"), st.sampled_from(USERS), st.integers(0, 9)),
    st.tuples(st.just("messages"), st.sampled_from(SUBSCRIPTIONS), st.integers(0, 1)),
    st.tuples(st.just("hand"), st.integers(0, 20)),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("api"), st.booleans()),
    st.tuples(st.just("dies"), st.integers(0, 6)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("release")),
    st.tuples(st.just("time"), st.sampled_from([0, 1, 70, 400])),
)


def key_of(name: str) -> Key:
    """Topics are in a namespace of their own, so that every Subscription needs its consent."""
    kind = {"u": Kind.BROKER_USER, "t": Kind.TOPIC, "s": Kind.SUBSCRIPTION}[name[0]]
    return Key(kind, "shop" if kind is Kind.TOPIC else "billing", name)


def wish(w: World, action: tuple[Any, ...]) -> None:
    """Do what users do with manifests."""
    match action:
        case ("user", name, rotates):
            if key_of(name) not in w.kube.objects:
                fields: dict[str, Any] = {"rotation": ROTATION} if rotates else {}
                w.make_user(name, **fields)
        case ("topic", name, producers, subscribers, policy):
            consent = SELECTED if subscribers == "Selector" else {"from": subscribers}
            users = [{"name": n, "namespace": "billing"} for n in producers]
            w.make_topic(name, producers=users, subscribers=consent, deletionPolicy=policy)
        case ("subscription", name, topic, keys, consumers, policy):
            subscribe(w, name, topic, filter={"routingKeys": keys}, consumers=consumers, deletionPolicy=policy)
        case ("label", channels, topics):
            labels = {"channels": "yes"} if channels else {}
            w.kube.namespace("billing", labels | ({"topics": "yes"} if topics else {}))
        case ("release",):
            release(w)
        case (_, name, *_) if key_of(name) in w.kube.objects:
            change(w, key_of(name), action)
        case _:
            pass


def change(w: World, key: Key, action: tuple[Any, ...]) -> None:
    """Do what users do with a manifest that is there."""
    match action:
        case ("delete", _):
            w.kube.delete(key)
        case ("break", _):
            w.kube.edit(key, messageTTL="soon", consumers=[])
        case ("disable", _, yes):
            w.kube.annotate(key, reconcile="Disabled" if yes else None)
        case ("observe", _, yes):
            w.kube.edit(key, managementPolicy="Observe" if yes else None)
        case ("rotate", _, number):
            w.kube.annotate(key, rotate=str(number))
        case _:
            pass


def subscribe(w: World, name: str, topic: str, *, consumers: list[str], **fields: Any) -> None:
    """Apply a Subscription; to which Topic and in how many shards cannot be changed."""
    found = w.kube.objects.get(key_of(name))
    fixed: dict[str, Any] = {"ordering": "PerKey", "shards": 2} if name == "s2" else {}
    topic = found["spec"]["topicRef"]["name"] if found is not None else topic
    users = [{"name": n} for n in consumers]
    w.make_subscription(name, topic=("shop", topic), consumers=users, **fixed, **fields)


async def calm(w: World) -> None:
    """Let everything work again, mend what users broke, confirm what the brake holds back, and wait."""
    w.kube.away = w.broker.unreachable = False
    w.broker.writes_left = None
    for key in [k for k in w.kube.objects if k.kind is not Kind.BROKER]:
        w.kube.annotate(key, reconcile=None)
        if key.kind is not Kind.BROKER_USER:
            w.kube.edit(key, messageTTL=None, managementPolicy=None)
    w.kube.namespace("billing", {"channels": "yes", "topics": "yes"})
    await w.advance(1000, step=5.0)
    release(w)
    await w.advance(100, step=5.0)
    # What the brake remembers is over ten minutes later, and tidied away with the next look at the whole broker.
    await w.advance(1000, step=20.0)


def admits(w: World, topic: str) -> bool:
    """Whether a Topic is there and lets the other namespace subscribe."""
    found = w.kube.objects.get(key_of(topic))
    return found is not None and found["spec"]["subscribers"]["from"] != "Same"


def check(w: World) -> None:
    """Hold the broker against the manifests."""
    alive = {key.name: body["spec"] for key, body in w.kube.objects.items() if key.kind is not Kind.BROKER}
    assert all("deletionTimestamp" not in body["metadata"] for body in w.kube.objects.values())
    topics = {name: spec for name, spec in alive.items() if name in TOPICS}
    subscriptions = {name: spec for name, spec in alive.items() if name in SUBSCRIPTIONS}
    served = {name: spec for name, spec in subscriptions.items() if admits(w, spec["topicRef"]["name"])}
    assert w.ready(*(key_of(name) for name in alive if name not in subscriptions or name in served))
    for name in subscriptions.keys() - served.keys():
        assert not w.ready(key_of(name))
    check_users(w, [name for name in alive if name in USERS], topics, served)
    assert all(f"shop.{name}" in w.names("Exchange") for name in topics)
    for name, spec in served.items():
        wanted = {(f"shop.{spec['topicRef']['name']}", key) for key in spec["filter"]["routingKeys"]}
        assert fed(w, name) == wanted
        assert set(queues(name)) <= w.names("Queue")
    for name in SUBSCRIPTIONS:
        if name not in served and spec_of(w, name, "topicRef", "name") in {None, *topics}:
            assert not {source for source, _ in fed(w, name) if source.removeprefix("shop.") in topics}


def spec_of(w: World, name: str, *path: str) -> Any:
    """Return a field of a manifest, None where there is none."""
    found: Any = w.kube.objects.get(key_of(name), {}).get("spec")
    for step in path:
        found = (found or {}).get(step)
    return found


def queues(name: str) -> list[str]:
    """Return what the consumers of a Subscription read."""
    return [f"billing.{name}_0", f"billing.{name}_1"] if name == "s2" else [f"billing.{name}"]


def fed(w: World, name: str) -> set[tuple[str, str]]:
    """Return by what a Subscription gets its messages: exchange of a Topic, and routing key."""
    end = f"billing.{name}_in" if name == "s2" else f"billing.{name}"
    paths = [rid.path for rid in w.broker.resources if rid.kind == "Binding"]
    return {(path[0], path[3]) for path in paths if path[2] == end}


def check_users(w: World, users: list[str], topics: dict[str, Any], served: dict[str, Any]) -> None:
    """Hold the users on the broker against the lists of the channels."""
    tagged = {name for name in w.names("User") if w.user(name).tags == (TAG,)}
    secrets = {name: w.kube.entries("billing", f"{name}-binding") for name in users}
    assert {secret["username"] for secret in secrets.values()} <= tagged
    assert {name.removesuffix("_a").removesuffix("_b") for name in tagged} == {f"billing.{name}" for name in users}
    for name, secret in secrets.items():
        found, native = w.permission(secret["username"]), w.user(secret["username"])
        assert native.password is not None
        assert native.password.reveal() == secret["password"]
        writes = {f"shop.{t}" for t, s in topics.items() if {"name": name, "namespace": "billing"} in s["producers"]}
        reads = {queue for s, spec in served.items() if {"name": name} in spec["consumers"] for queue in queues(s)}
        assert set(parse(found.write) or ()) == writes
        assert set(parse(found.read) or ()) == reads
        channels = {*(t.removeprefix("shop.") for t in writes), *(s for s in served if set(queues(s)) & reads)}
        assert all((f'"name": "{c}"' in secret["channels.json"]) == (c in channels) for c in (*TOPICS, *SUBSCRIPTIONS))


async def history(actions: list[tuple[Any, ...]]) -> None:
    async with world() as w:
        w.broker.features = frozenset({CONSISTENT_HASH})
        w.make_broker(
            brake={"maxDeletions": 1, "maxRevocations": 1},
            allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"channels": "yes"}}},
        )
        w.kube.namespace("billing", {"channels": "yes"})
        w.kube.namespace("shop", {"channels": "yes"})
        await w.start()
        for action in actions:
            if action[0] in HARD:
                await befall(w, action)
            else:
                wish(w, action)
        await calm(w)
        check(w)
        await check_quiet(w)


@given(st.lists(ACTIONS, min_size=5, max_size=25))
@settings(max_examples=40)
def test_after_any_storm_topics_reach_those_whom_their_owners_admit(actions: list[tuple[Any, ...]]) -> None:
    asyncio.run(history(actions))
