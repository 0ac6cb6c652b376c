"""Systems at rest on a broker with a low limit, and the token that releases its brake. Decides nothing about why."""

from typing import Any

from channel_operator.brokers.rabbitmq.access import parse
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World

__all__ = ["FEW", "queues", "reads", "release", "token"]

FEW = {"maxDeletions": 2, "maxRevocations": 2}
"""More than two at a time engage the brake."""


def token(w: World) -> str | None:
    """Return the token that the Broker shows, None while the brake is not engaged."""
    found = w.kube.status(MAIN).get("brake") or {}
    return found.get("token") if found.get("engaged") else None


def release(w: World, value: str | None) -> None:
    """State a token on the Broker, as a person does who has looked at what waits."""
    w.kube.annotate(MAIN, release_brake=value)


async def queues(w: World, count: int, **spec: Any) -> list[Key]:
    """Return queues with the policy Delete, one user may read all of them, in a system at rest."""
    w.make_broker(brake=FEW, **spec)
    w.make_user("worker", "shop")
    reader = [{"name": "worker", "namespace": "shop"}]
    made = [w.make_queue(f"q{n}", deletionPolicy="Delete", consumers=reader) for n in range(count)]
    await w.start()
    await w.advance(10)
    assert w.ready(*made)
    return made


def reads(w: World, user: str = "shop.worker") -> set[str]:
    """Return the queues that a user may read."""
    return set(parse(w.permission(user).read) or ())
