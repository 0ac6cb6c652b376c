"""Which versions the store knows whole: only events of those may be left out, or somebody's change would be lost."""

from typing import Any

import pytest

from channel_operator.api.meta import FINALIZER, OWNED
from tests.engine.test_store import QUEUE, SPECS, Heard, body, filled

STATUS = {"observedGeneration": 1}


def seen(version: str, **changed: Any) -> dict[str, Any]:
    """Return the queue of the filled store as an answer shows it; `changed`: in its metadata."""
    found = body(QUEUE, SPECS[QUEUE.kind][3], uid="q", version=3)
    found["metadata"] = {**found["metadata"], "resourceVersion": version, **changed}
    return {**found, "status": STATUS}


def knows(heard: Heard, version: str) -> bool:
    return heard.store.knows(str(QUEUE.kind), version)


def test_what_a_list_or_an_event_brought_is_known_in_that_version_only() -> None:
    heard = filled()
    assert knows(heard, "3")
    assert not heard.store.knows("BrokerUser", "3")
    heard.store.event("MODIFIED", seen("7"))
    assert knows(heard, "7")
    assert not knows(heard, "3")
    heard.store.event("DELETED", seen("8"))
    assert not knows(heard, "7")


def test_a_status_whose_answer_shows_what_was_expected_needs_no_echo() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", status=STATUS, seen=seen("9"))
    assert knows(heard, "9")


@pytest.mark.parametrize(
    "changed",
    [
        {"generation": 2},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"finalizers": ["another"]},
        {"annotations": {OWNED: "created:y"}},
    ],
)
def test_a_change_that_came_between_is_still_taken_from_the_watch(changed: dict[str, Any]) -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", status=STATUS, seen=seen("9", **changed))
    assert not knows(heard, "9")
    heard.store.event("MODIFIED", seen("9", **changed))
    assert QUEUE in heard.take()
    assert knows(heard, "9")


def test_a_status_that_somebody_else_wrote_in_between_is_noticed() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", status=STATUS, seen={**seen("9"), "status": {**STATUS, "grantCount": 99}})
    assert not knows(heard, "9")


def test_a_claim_is_known_because_the_server_took_it_for_that_very_version() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", finalizers=(FINALIZER,), guarded=True)
    assert knows(heard, "9")


def test_what_is_in_doubt_stays_in_doubt_until_the_watch_tells() -> None:
    heard = filled()
    heard.store.wrote(QUEUE, "q", "9", status=STATUS)
    assert not knows(heard, "9")
    heard.store.wrote(QUEUE, "q", "10", finalizers=(FINALIZER,), guarded=True)
    assert not knows(heard, "10")


def test_an_answer_that_is_late_does_not_undo_what_came_after_it() -> None:
    heard = filled()
    newer = {**seen("12", finalizers=[FINALIZER]), "status": {"observedGeneration": 1, "grantCount": 1}}
    heard.store.event("MODIFIED", newer)
    heard.store.wrote(QUEUE, "q", "9", status=STATUS, seen=seen("9"))
    manifest = heard.store.get(QUEUE)
    assert manifest is not None
    assert (manifest.resource_version, manifest.status) == ("12", newer["status"])
    assert knows(heard, "12")
