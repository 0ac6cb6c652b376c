"""A status speaks of the manifest that was looked at, however quickly the next one follows."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from channel_operator.core.model import Change, Key, Outcome
from tests.engine.standins import ChoosySession
from tests.engine.world import world


async def test_an_edit_that_comes_in_while_its_predecessor_is_written_is_not_called_observed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        queue = w.make_queue("invoices")
        await w.start()
        told: list[tuple[int, bool]] = []
        apply, set_status = ChoosySession.apply, w.kube.set_status

        async def edit_meanwhile(self: ChoosySession, changes: Sequence[Change]) -> list[Outcome]:
            done = await apply(self, changes)
            if w.kube.objects[queue]["metadata"]["generation"] == 2:
                w.kube.edit(queue, consumers=[])
                for _ in range(20):  # until the watch has brought it
                    await asyncio.sleep(0)
            return done

        async def listen(key: Key, *, uid: str, fields: Any) -> Any:
            if key == queue and "observedGeneration" in fields:
                granted = any(grant["state"] == "Granted" for grant in fields.get("grants") or ())
                told.append((fields["observedGeneration"], granted))
            return await set_status(key, uid=uid, fields=fields)

        monkeypatch.setattr(ChoosySession, "apply", edit_meanwhile)
        monkeypatch.setattr(w.kube, "set_status", listen)
        w.kube.edit(queue, consumers=[{"name": "worker"}])
        await w.advance(10)
        assert w.kube.objects[queue]["metadata"]["generation"] == 3
        assert w.ready(user, queue)
        assert (3, True) not in told
        assert "grants" not in w.kube.status(queue)
