"""Which default holds: today's for what is to be made, that of its making for what is there."""

from typing import Any

import pytest

from channel_operator import api
from channel_operator.api.broker import BrokerSpec
from channel_operator.api.meta import OWNED, Kind
from channel_operator.api.queue import QueueSpec
from channel_operator.core.defaults import complete, settled
from channel_operator.core.model import Key
from channel_operator.core.view import Manifest, References


def _queue(**fields: Any) -> QueueSpec:
    spec = api.parse(Kind.QUEUE, {"brokerRef": {"name": "main"}, **fields})
    assert isinstance(spec, QueueSpec)
    return spec


def _broker(defaults: dict[str, Any]) -> BrokerSpec:
    spec = api.parse(
        Kind.BROKER,
        {
            "rabbitmq": {"managementUrls": ["https://rabbit:15671"]},
            "credentials": {"passwordSecretRef": {"name": "rabbit"}},
            "defaults": defaults,
        },
    )
    assert isinstance(spec, BrokerSpec)
    return spec


TODAY = _broker({"retry": {"maxDeliveries": 3}, "limits": {"maxMessages": 10}, "replicas": 3}).defaults


def test_a_new_queue_is_completed_by_the_defaults_of_today() -> None:
    done = complete(_queue(), TODAY, None)
    assert done.retry is not None
    assert done.retry.max_deliveries == 3
    assert done.limits is not None
    assert done.limits.max_messages == 10
    assert done.replicas == 3


@pytest.mark.parametrize("made_with", [None, {"retry": {"maxDeliveries": 9}}])
def test_what_the_manifest_states_always_wins(made_with: dict[str, Any] | None) -> None:
    done = complete(_queue(retry={"maxDeliveries": 5}), TODAY, made_with)
    assert done.retry is not None
    assert done.retry.max_deliveries == 5


def test_a_queue_keeps_the_defaults_it_was_made_with_when_they_change_or_go() -> None:
    made_with = {
        "limits": {"maxMessages": 99, "maxBytes": "1Ki", "overflow": "RejectNew"},
        "retry": {"maxDeliveries": 7},
    }
    for defaults in (TODAY, _broker({}).defaults):
        done = complete(_queue(), defaults, made_with)
        assert done.limits is not None
        assert (done.limits.max_messages, done.limits.max_bytes, str(done.limits.overflow)) == (99, "1Ki", "RejectNew")
        assert done.retry is not None
        assert done.retry.max_deliveries == 7
        assert done.replicas is None


def test_a_default_that_is_added_later_does_not_hold_for_a_queue_made_without_it() -> None:
    done = complete(_queue(), TODAY, {"rabbitmq": {"type": "Quorum"}})
    assert (done.retry, done.limits, done.replicas) == (None, None, None)


def test_only_what_was_made_remembers() -> None:
    def manifest(annotations: dict[str, str]) -> Manifest:
        effective = {"replicas": 3}
        key = Key(Kind.QUEUE, "billing", "invoices")
        return Manifest(
            key, "u", 1, "2026-01-01T00:00:00Z", "1", _queue(), References(), {"effective": effective}, annotations
        )

    assert settled(manifest({})) is None
    assert settled(manifest({OWNED: "created:here"})) == {"replicas": 3}
