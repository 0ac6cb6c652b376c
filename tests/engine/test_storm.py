"""Users at work while everything fails: whatever happened, once it is calm the broker is as the manifests say.

A property over random histories of edits, crashes, outages and hands on the broker. What must hold at the end is
computed from the manifests alone.
"""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.brokers.rabbitmq.resources import Policy, policy_id
from channel_operator.core.model import Key, Secret
from channel_operator.core.rotation import family
from tests.engine.storms import befall, check_quiet, release
from tests.engine.world import TAG, World, world

USERS = ("u0", "u1", "u2")
QUEUES = ("q0", "q1", "q2")
BY_POLICY = "q2"
"""Its settings are left to a policy."""
LISTS = st.lists(st.sampled_from(USERS), unique=True, max_size=3)

ACTIONS = st.one_of(
    st.tuples(st.just("user"), st.sampled_from(USERS)),
    st.tuples(
        st.just("queue"),
        st.sampled_from(QUEUES),
        LISTS,
        LISTS,
        st.sampled_from([None, "own", *QUEUES]),
        st.sampled_from(["Retain", "Delete", "DeleteIfEmpty"]),
    ),
    st.tuples(st.just("rotation"), st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("rotate"), st.sampled_from(USERS), st.integers(0, 9)),
    st.tuples(st.just("delete"), st.sampled_from([*USERS, *QUEUES])),
    st.tuples(st.just("break"), st.sampled_from(QUEUES)),
    st.tuples(st.just("disable"), st.sampled_from([*USERS, *QUEUES]), st.booleans()),
    st.tuples(st.just("messages"), st.sampled_from(QUEUES), st.integers(0, 1)),
    st.tuples(st.just("hand"), st.integers(0, 20)),
    st.tuples(st.just("outage"), st.booleans()),
    st.tuples(st.just("api"), st.booleans()),
    st.tuples(st.just("dies"), st.integers(0, 6)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("consent"), st.booleans()),
    st.tuples(st.just("release")),
    st.tuples(st.just("time"), st.sampled_from([0, 1, 70, 400])),
)


def key_of(name: str) -> Key:
    return Key(Kind.BROKER_USER if name in USERS else Kind.QUEUE, "billing", name)


async def act(w: World, action: tuple[Any, ...]) -> None:
    """Do one thing to the world."""
    if action[0] in {"rotation", "rotate"}:
        renew(w, action)
    elif action[0] in {"outage", "api", "dies", "crash", "time", "messages", "hand"}:
        await befall(w, action)
    else:
        wish(w, action)


def dead_letter(target: Any) -> dict[str, Any]:
    """Return none, one of its own, or another queue."""
    if target in QUEUES:
        return {"deadLetter": {"queueRef": {"name": target}}}
    return {} if target is None else {"deadLetter": {}}


def live_settings(hours: int) -> dict[str, Any]:
    return {"rabbitmq": {"settings": "Policy"}, "messageTTL": f"{1 + hours}h"}


def wish(w: World, action: tuple[Any, ...]) -> None:
    """Do what users do with manifests."""
    match action:
        case ("user", name):
            if key_of(name) not in w.kube.objects:
                w.make_user(name)
        case ("queue", name, producers, consumers, dead, policy):
            w.make_queue(
                name,
                producers=[{"name": n} for n in producers],
                consumers=[{"name": n} for n in consumers],
                deletionPolicy=policy,
                **dead_letter(dead),
                **(live_settings(len(policy)) if name == BY_POLICY else {}),
            )
        case ("delete", name) if key_of(name) in w.kube.objects:
            w.kube.delete(key_of(name))
        case ("break", name) if key_of(name) in w.kube.objects:
            w.kube.edit(key_of(name), messageTTL="soon", consumers=[])
        case ("consent", yes):
            w.kube.namespace("billing", {"channels": "yes"} if yes else {})
        case ("release",):
            release(w)
        case ("disable", name, yes) if key_of(name) in w.kube.objects:
            w.kube.annotate(key_of(name), reconcile="Disabled" if yes else None)
        case _:
            pass


def renew(w: World, action: tuple[Any, ...]) -> None:
    """Turn the rotation of a user on or off, or ask for new credentials."""
    match action:
        case ("rotation", name, yes) if key_of(name) in w.kube.objects:
            w.kube.edit(key_of(name), rotation={"every": "30m", "overlap": "1m"} if yes else None)
        case ("rotate", name, number) if key_of(name) in w.kube.objects:
            w.kube.annotate(key_of(name), rotate=str(number))
        case _:
            pass


async def calm(w: World) -> None:
    """Let everything work again, mend what users broke, confirm what the brake holds back, and wait."""
    w.kube.away = w.broker.unreachable = False
    w.broker.writes_left = None
    for key in [k for k in w.kube.objects if k.kind is not Kind.BROKER]:
        w.kube.annotate(key, reconcile=None)
        if w.kube.objects[key]["spec"].get("messageTTL") == "soon":
            w.kube.edit(key, messageTTL=None)
    for name in QUEUES:
        if target_of(w, name) is not None and leads_astray(w, name):
            w.kube.edit(key_of(name), deadLetter={})
    w.kube.namespace("billing", {"channels": "yes"})
    await w.advance(800, step=5.0)
    release(w)
    await w.advance(100, step=5.0)
    # What the brake remembers is over ten minutes later, and tidied away with the next look at the whole broker.
    await w.advance(1000, step=20.0)


def target_of(w: World, name: str) -> str | None:
    """Return the Queue that a queue's manifest has its dead letters sent to."""
    body = w.kube.objects.get(key_of(name))
    dead = body["spec"].get("deadLetter") or {} if body is not None else {}
    found: str | None = dead.get("queueRef", {}).get("name")
    return found


def leads_astray(w: World, name: str) -> bool:
    """Whether the way of dead letters from a queue comes back to it, or to one that is going or not there."""
    seen, at = {name}, target_of(w, name)
    first = w.kube.objects.get(key_of(at or ""))
    if first is None or "deletionTimestamp" in first["metadata"]:
        return True
    while at is not None and at not in seen:
        seen.add(at)
        at = target_of(w, at)
    return at == name


def ways(w: World, name: str) -> set[str]:
    """Return where the dead letters of a queue go on the broker."""
    dlx = f"billing.{name}_dlx"
    return {rid.path[2] for rid in w.broker.resources if rid.kind == "Binding" and rid.path[0] == dlx}


def check(w: World) -> None:
    """Hold the broker against the manifests."""
    alive = {key.name: body["spec"] for key, body in w.kube.objects.items() if key.kind is not Kind.BROKER}
    assert all("deletionTimestamp" not in body["metadata"] for body in w.kube.objects.values())
    assert w.ready(*w.kube.objects)
    tagged = {rid.path[0] for rid in w.broker.resources if rid.kind == "User" and w.user(rid.path[0]).tags == (TAG,)}
    assert {native.partition("_")[0] for native in tagged} == {f"billing.{name}" for name in alive if name in USERS}
    for name in USERS:
        if name in alive:
            check_user(w, name, tagged, {q: spec for q, spec in alive.items() if q in QUEUES})
            continue
        assert all(native not in w.names("Permission") for native in family(f"billing.{name}"))
    check_policy(w, alive.get(BY_POLICY))
    for name in set(alive) & set(QUEUES):
        assert f"billing.{name}" in w.names("Queue")
        assert f"billing.{name}_in" in w.names("Exchange")
        assert (f"billing.{name}_dlx" in w.names("Exchange")) == ("deadLetter" in alive[name])
        target = target_of(w, name)
        own = {f"billing.{name}_dead"} if "deadLetter" in alive[name] else set()
        assert ways(w, name) == ({f"billing.{target}_in"} if target is not None else own)


def check_policy(w: World, spec: dict[str, Any] | None) -> None:
    """Hold the settings of the queue whose settings change live against its manifest."""
    found = w.broker.resources.get(policy_id(f"billing.{BY_POLICY}_policy"))
    if spec is not None:
        assert (found is not None) == ("messageTTL" in spec)
    if spec is not None and isinstance(found, Policy):
        assert dict(found.definition) == {"message-ttl": int(spec["messageTTL"].removesuffix("h")) * 3_600_000}


def check_user(w: World, name: str, tagged: set[str], queues: dict[str, Any]) -> None:
    """Hold every native user of one manifest against it: the one in the Secret, and a former one in the overlap."""
    secret = w.kube.entries("billing", f"{name}-binding")
    rotates = "rotation" in w.kube.objects[key_of(name)]["spec"]
    assert (secret["username"] != f"billing.{name}") is rotates
    assert secret["username"] == w.kube.status(key_of(name))["username"]
    assert w.user(secret["username"]).password == Secret(secret["password"])
    reads = {f"billing.{q}" for q, spec in queues.items() if {"name": name} in spec["consumers"]}
    writes = {f"billing.{q}_in" for q, spec in queues.items() if {"name": name} in spec["producers"]}
    for native in tagged & set(family(f"billing.{name}")):
        found = w.permission(native)
        assert (set(parse(found.read) or ()), set(parse(found.write) or ())) == (reads, writes)
    assert all((f'"name": "{q}"' in secret["channels.json"]) == _names(spec, name) for q, spec in queues.items())


def _names(spec: dict[str, Any], user: str) -> bool:
    return {"name": user} in (*spec["consumers"], *spec["producers"])


async def history(actions: list[tuple[Any, ...]]) -> None:
    async with world() as w:
        w.make_broker(
            brake={"maxDeletions": 1, "maxRevocations": 1},
            allowedNamespaces={"from": "Selector", "selector": {"matchLabels": {"channels": "yes"}}},
        )
        w.kube.namespace("billing", {"channels": "yes"})
        await w.start()
        for action in actions:
            await act(w, action)
        await calm(w)
        check(w)
        await check_quiet(w)


@given(st.lists(ACTIONS, min_size=5, max_size=25))
@settings(max_examples=40)
def test_after_any_storm_the_broker_is_as_the_manifests_say(actions: list[tuple[Any, ...]]) -> None:
    asyncio.run(history(actions))
