"""Statuses that somebody else wrote: nothing breaks over them, for their object or for others."""

from typing import Any

import pytest

from channel_operator.api.meta import Kind
from channel_operator.api.status_reading import read_status
from channel_operator.brokers.rabbitmq.resources import CONSISTENT_HASH
from channel_operator.core.model import Key
from channel_operator.core.resolve import Resolution, resolve
from channel_operator.core.view import Manifest, View
from channel_operator.engine import offline
from tests.engine.world import MAIN, World, world

STAMP = "2026-01-01T00:00:00Z"
WORD: dict[str, Any] = {"status": "True", "reason": "Bogus", "message": "?", "lastTransitionTime": STAMP}
WORDS = [{"type": name, **WORD} for name in ("Ready", "Accepted", "ResolvedRefs", "Programmed", "Drifted")]
STRANGE: list[dict[str, Any]] = [
    {"conditions": WORDS, "observedGeneration": 1},
    {"conditions": [{"type": "Ready", "status": "True"}], "observedGeneration": 1},
    {"conditions": ["Ready"], "observedGeneration": "1"},
    {"conditions": 7, "grants": 7, "effective": 7, "address": 7, "credentials": 7, "brake": 7, "binding": 7},
    {
        "observedGeneration": 10**12,
        "broker": "nowhere",
        "username": "/",
        "origin": "Created",
        "grantCount": 9,
        "grants": [{"user": "nobody", "role": "King", "state": "Granted"}],
        "effective": {"partitions": 10**12, "storage": "Log", "deadLetter": {"name": "x"}, "routingKeys": ["", "#"]},
        "address": {"name": "", "rabbitmq": {"exchange": "", "queues": ["", "x", "billing.invoices_9999"]}},
    },
    {
        "observedGeneration": -7,
        "grants": [{"kind": "Moon", "namespace": "", "name": "", "role": "King"}],
        "credentials": {"issuedAt": "yesterday", "secretVersion": "x"},
        "brake": {"engaged": True, "recent": [{"time": "yesterday"}], "passing": ["x"]},
        "effective": {"partitions": -3, "storage": "Log"},
        "identity": "another",
    },
    {
        "effective": {
            "retry": {"maxDeliveries": -5, "backoff": {"max": "soon"}},
            "limits": {"maxMessages": -1, "maxBytes": "much", "overflow": "Sideways"},
            "replicas": -3,
            "storage": "Moon",
            "rabbitmq": {"type": "Odd", "settings": "Odd"},
        }
    },
    {"credentials": {"issuedAt": "9999-12-31T23:59:59+00:00"}, "brake": {"engaged": True, "token": ""}},
]


def make_all(w: World) -> list[Key]:
    """Apply one object of every kind, and a queue that nobody touches."""
    who = [{"name": "worker"}]
    made = [
        w.make_broker(),
        w.make_user("worker"),
        w.make_user("turning", rotation={"every": "1h", "overlap": "1m"}),
        w.make_queue("invoices", producers=who, consumers=who, deadLetter={}),
        w.make_queue("sorted", ordering="PerKey", shards=3, consumers=who),
        w.make_topic("orders", producers=[{"name": "worker", "namespace": "billing"}], subscribers={"from": "All"}),
        w.make_topic("log", storage="Log", partitions=2, subscribers={"from": "All"}),
        w.make_subscription("orders", filter={"routingKeys": ["a.#"]}, consumers=who),
        w.make_subscription("reader", topic=("shop", "log"), consumers=who),
    ]
    return [*made, w.make_queue("untouched", consumers=who)]


def spoil(w: World, key: Key, status: dict[str, Any]) -> None:
    """Write into a status as somebody else would, past every check."""
    if key.name != "untouched":
        w.kube.write_status_by_hand(key, {**w.kube.status(key), **status})


@pytest.mark.parametrize("status", STRANGE)
@pytest.mark.parametrize("how", ["running", "restarted", "away", "disabled", "observed", "broken"])
async def test_nothing_breaks_over_a_strange_status(status: dict[str, Any], how: str) -> None:
    async with world() as w:
        w.broker.features = frozenset({CONSISTENT_HASH})
        keys = make_all(w)
        await w.start()
        await w.advance(10)
        assert w.ready(*keys)
        before = dict(w.broker.resources)
        if how != "running":
            await w.crash()
        others = [key for key in keys if key != MAIN]
        for key in keys:
            spoil(w, key, status)
        for key in others if how in {"disabled", "observed", "broken"} else []:
            unsettle(w, key, how)
        if how != "running":
            w.broker.unreachable = how == "away"
            await w.start()
            await w.advance(40)
            w.broker.unreachable = False
        for key in others:
            settle_again(w, key, how)
        await w.advance(700, step=5)
        assert w.ready(*keys)
        for key in others:
            # Every field that others spoilt is put right, or taken away where there is nothing to say.
            assert read_status(key.kind, w.kube.status(key)) is w.kube.status(key)
        assert before.keys() <= w.broker.resources.keys()


def unsettle(w: World, key: Key, how: str) -> None:
    if how == "disabled":
        w.kube.annotate(key, reconcile="Disabled")
    elif how == "observed" and key.kind is not Kind.BROKER_USER:
        w.kube.edit(key, managementPolicy="Observe")
    elif how == "broken":
        w.kube.edit(key, **{"producers" if key.kind is Kind.TOPIC else "consumers": "all"})


def settle_again(w: World, key: Key, how: str) -> None:
    who = [{"name": "worker"}]
    if how == "disabled":
        w.kube.annotate(key, reconcile=None)
    elif how == "observed" and key.kind is not Kind.BROKER_USER:
        w.kube.edit(key, managementPolicy="Full")
    elif how == "broken":
        lists = {"producers": [{"name": "worker", "namespace": "billing"}] if key.name == "orders" else None}
        w.kube.edit(key, **(lists if key.kind is Kind.TOPIC else {"consumers": who}))


async def test_a_bug_over_one_object_keeps_no_other_from_being_told_of_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def flawed(manifest: Manifest, view: View, *, grace_over: bool) -> Resolution:
        if manifest.key.name == "flawed":
            raise ZeroDivisionError
        return resolve(manifest, view, grace_over=grace_over)

    monkeypatch.setattr(offline, "resolve", flawed)
    async with world() as w:
        w.expects_bugs = True
        w.make_broker()
        w.broker.unreachable = True
        queues = [w.make_queue(name) for name in ("first", "flawed", "last")]
        await w.start()
        await w.advance(5)
        assert [w.kube.condition(key) for key in queues] == [
            ("Unknown", "BrokerUnreachable"),
            None,
            ("Unknown", "BrokerUnreachable"),
        ]
        w.broker.unreachable = False
        await w.advance(60)
        assert w.ready(*queues)
