"""A user whose password is replaced, and what of it opens and reads what. Decides nothing about when."""

from typing import Any

from channel_operator.brokers.rabbitmq.resources import Permission
from channel_operator.core.model import Key, Secret
from tests.engine.world import World

__all__ = ["EVERY", "OVERLAP", "ROTATION", "login", "opens", "reads", "settled"]

EVERY, OVERLAP = 7200, 1200
ROTATION = {"every": "2h", "overlap": "20m"}
"""Seconds, and the same in a manifest; short, since every look at the broker in between is played through."""
READS = "^(?:billing\\.(?:invoices))$"


def login(w: World) -> tuple[str, str]:
    """Return user name and password of the binding Secret."""
    entries = w.kube.entries("billing", "worker-binding")
    return entries["username"], entries["password"]


def opens(w: World, login: tuple[str, str]) -> bool:
    """Whether the broker lets a client in that has read these from a Secret."""
    return login[0] in w.names("User") and w.user(login[0]).password == Secret(login[1])


def reads(w: World) -> set[str]:
    """Return the native users that may read the queue."""
    return {r.user for r in w.broker.resources.values() if isinstance(r, Permission) and r.read == READS}


async def settled(w: World, **user: Any) -> Key:
    """Return a user that a queue lists, in a system that has come to rest."""
    w.make_broker()
    key = w.make_user("worker", **user)
    w.make_queue("invoices", consumers=[{"name": "worker"}])
    await w.start()
    await w.advance(10)
    assert w.ready(key)
    return key
