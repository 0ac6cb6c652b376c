"""Binding Secrets that the API server refuses, or that somebody damaged: told, put right, in nobody's way."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.core.model import Secret
from channel_operator.engine.credentials import ISSUED_AT
from channel_operator.errors import Blocked
from channel_operator.kube.client import Rejected
from tests.engine.world import world

BINDING = ("billing", "worker-binding")


class Unreadable(Mapping[str, Secret]):
    """Entries of which one is no text, as `kube.secrets` shows them."""

    def __init__(self, name: str, entries: Mapping[str, Secret]) -> None:
        self._name, self._entries = name, {**entries, name: Secret("")}

    def __getitem__(self, key: str) -> Secret:
        if key == self._name:
            raise Blocked(f"entry {key!r} is not text", reason=Reason.CREDENTIALS_INVALID)
        return self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


async def test_a_secret_that_the_api_server_refuses_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as w:
        tries = []

        async def refuse(*_: Any, **__: Any) -> None:
            tries.append(w.clock.monotonic())
            raise Rejected("the API server rejects the request (422, at metadata.labels)", fields=("metadata.labels",))

        w.make_broker()
        user = w.make_user("worker")
        with monkeypatch.context() as patched:
            patched.setattr(w.kube, "write_secret", refuse)
            await w.start()
            await w.advance(20)
            assert w.kube.condition(user) == ("False", "InvalidSpec")
            assert "metadata.labels" in str(w.kube.status(user)["conditions"])
            told = len(tries)
            await w.advance(20)
            assert len(tries) == told, "without hurry"
        w.kube.edit(user, secret={"labels": {"team": "billing"}})
        await w.advance(5)
        assert w.ready(user)
        assert BINDING in w.kube.secrets


async def test_a_time_of_issue_that_is_none_is_not_believed() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        before = w.kube.status(user)["credentials"]["issuedAt"]
        w.kube.secrets[BINDING] = replace(w.kube.secrets[BINDING], annotations={ISSUED_AT: "yesterday"})
        w.kube.annotate(user, reconcile_at="now")
        await w.advance(5)
        assert w.kube.status(user)["credentials"]["issuedAt"] == before


@pytest.mark.parametrize("entry", ["password", "note"])
async def test_an_entry_that_is_no_text_is_written_over(entry: str) -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        found = w.kube.secrets[BINDING]
        w.kube.secrets[BINDING] = replace(found, data=Unreadable(entry, found.data))
        w.kube.annotate(user, reconcile_at="now")
        await w.advance(5)
        assert w.ready(user)
        assert w.kube.entries(*BINDING).keys() == found.data.keys()
