"""A user and a queue at rest, and what must be untouched while one of them may not act. Decides nothing about why."""

import json
from typing import Any

from channel_operator.core.model import Key
from tests.engine.world import World

__all__ = ["READS", "check_untouched", "settled"]

READS = "^(?:billing\\.(?:invoices))$"
CHANNELS = [
    {"kind": "Queue", "namespace": "billing", "name": "invoices", "role": "Consumer", "queues": ["billing.invoices"]}
]


async def settled(w: World, **fields: Any) -> tuple[Key, Key]:
    """Return a user and a queue in a system that has come to rest."""
    w.make_broker()
    user = w.make_user("worker")
    queue = w.make_queue("invoices", consumers=[{"name": "worker"}], **fields)
    await w.start()
    await w.advance(10)
    assert w.ready(user, queue)
    return user, queue


def check_untouched(w: World, on_broker: int, secret: str) -> None:
    """Nothing was written to the broker, and clients find what they found before."""
    assert [str(change.id) for change in w.broker.writes[on_broker:]] == []
    assert w.permission("billing.worker").read == READS
    assert w.kube.entries("billing", "worker-binding")["channels.json"] == secret
    assert json.loads(secret) == CHANNELS
