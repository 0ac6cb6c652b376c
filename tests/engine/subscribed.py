"""A Topic, a Subscription and their users, applied one by one. Decides nothing about the order."""

from collections.abc import Mapping
from typing import Any

from channel_operator.core.model import Key
from tests.engine.world import World

__all__ = ["ALL", "FEED", "STEPS", "apply"]

STEPS = ("broker", "topic", "subscription", "producer", "consumer")
ALL: Mapping[str, Any] = {"from": "All"}
FEED = {("shop.orders", "#")}
"""What feeds the Subscription's queue: source and routing key."""


async def apply(w: World, step: str) -> Key:
    """Apply the object of one of STEPS."""
    match step:
        case "broker":
            return w.make_broker()
        case "topic":
            return w.make_topic("orders", subscribers=ALL, producers=[{"name": "checkout"}])
        case "subscription":
            return w.make_subscription("mailer", consumers=[{"name": "worker"}])
        case "producer":
            return w.make_user("checkout", "shop")
        case _:
            return w.make_user("worker")
