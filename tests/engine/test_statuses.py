"""The status writer: the newest word, once, to the right incarnation, and nothing where nothing changed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channel_operator.api.meta import Kind
from channel_operator.core.model import Key
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.statuses import Statuses
from channel_operator.engine.store import Store
from tests.engine.kubestub import KubeStub, Write
from tests.engine.standins import Counts


class Desk:
    """A status writer beside a store that watches the stand-in."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kube = KubeStub(self.clock)
        self.store = Store()
        self.counts = Counts()
        self.statuses = Statuses(self.store, self.kube, self.clock, self.counts, leads=lambda: True)

    def object(self) -> tuple[Key, str]:
        """Make a queue; return its key and uid."""
        key = self.kube.apply(Kind.QUEUE, "billing", "invoices", {"brokerRef": {"name": "main"}})
        return key, self.kube.objects[key]["metadata"]["uid"]


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    made.kube.watch(made.store.event)
    task = asyncio.create_task(made.statuses.pipeline.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(word: str, **fields: Any) -> dict[str, Any]:
    """Return a status that says Ready with a message."""
    stamp = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "Programmed", "message": word, "lastTransitionTime": stamp}
    return {"observedGeneration": 1, "conditions": [ready], **fields}


async def test_the_newest_word_is_written_once() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        for word in ("first", "second", "third"):
            d.statuses.want(key, uid, said(word), "success")
            assert d.statuses.newest(key) == said(word)
        await d.clock.settle()
        assert d.kube.message(key) == "third"
        assert d.kube.written() == {Write("status", key): 1}


async def test_what_is_there_already_is_not_written() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.statuses.want(key, uid, said("word", origin=None), "success")
        await d.clock.settle()
        d.statuses.want(key, uid, said("word", plan=None), "success")
        await d.clock.settle()
        assert d.kube.written()[Write("status", key)] == 1
        assert d.counts.results[Kind.QUEUE, "success"] >= 2


async def test_a_word_taken_back_before_it_was_written_is_not_written() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.statuses.want(key, uid, said("word"), "success")
        await d.clock.settle()
        d.statuses.want(key, uid, said("other"), "success")
        d.statuses.want(key, uid, said("word"), "success")
        await d.clock.settle()
        assert d.kube.written()[Write("status", key)] == 1
        assert d.kube.message(key) == "word"


async def test_a_field_that_is_absent_now_goes() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.statuses.want(key, uid, said("word", plan={"summary": "1 change not made"}), "success")
        await d.clock.settle()
        d.statuses.want(key, uid, said("word", plan=None), "success")
        await d.clock.settle()
        assert "plan" not in d.kube.status(key)


async def test_a_later_incarnation_is_not_told_what_an_earlier_one_was() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.kube.delete(key)
        d.object()
        d.statuses.want(key, uid, said("word"), "success")
        await d.clock.settle()
        assert d.kube.status(key) == {"observedGeneration": -1}
        d.statuses.want(key, uid, said("word"), "success")
        await d.clock.settle()
        assert d.kube.written() == {}


async def test_an_absent_api_server_is_told_when_it_is_back_with_the_newest_word() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.kube.away = True
        d.statuses.want(key, uid, said("old"), "success")
        await d.clock.advance(30)
        d.statuses.want(key, uid, said("new"), "success")
        d.kube.away = False
        await d.clock.advance(30)
        assert d.kube.message(key) == "new"
        assert d.kube.written() == {Write("status", key): 1}


async def test_a_status_whose_answer_was_lost_is_not_written_twice() -> None:
    async with desk() as d:
        key, uid = d.object()
        await d.clock.settle()
        d.kube.answers_left = 0
        d.statuses.want(key, uid, said("word"), "success")
        await d.clock.settle()
        d.kube.answers_left, d.kube.away = None, False
        await d.clock.advance(30)
        assert d.kube.message(key) == "word"
        assert d.kube.written() == {Write("status", key): 1}
