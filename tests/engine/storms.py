"""What may befall an operator and its surroundings in a storm, and the quiet after it. Decides nothing about wishes."""

from typing import Any

from channel_operator.brokers.rabbitmq.resources import queue_id
from tests.engine.world import MAIN, World

__all__ = ["befall", "check_quiet", "release"]


def release(w: World) -> None:
    """Confirm what the brake holds back, by the token that the Broker shows."""
    brake = w.kube.status(MAIN).get("brake") or {}
    w.kube.annotate(MAIN, release_brake=brake.get("token"))


async def befall(w: World, action: tuple[Any, ...]) -> None:
    """Let something happen to the broker, the API server or the operator."""
    match action:
        case ("messages", name, count):
            w.broker.messages[queue_id(f"billing.{name}")] = count
        case ("hand", number) if w.broker.resources:
            ids = sorted(rid for rid in w.broker.resources if rid.kind != "Queue")
            if ids:
                w.take(ids[number % len(ids)])
        case ("outage", yes):
            w.broker.unreachable = yes
        case ("api", yes):
            w.kube.away = yes
        case ("dies", writes):
            w.broker.writes_left = writes
        case ("crash",):
            away, unreachable = w.kube.away, w.broker.unreachable
            w.kube.away = False
            await w.crash()
            await w.start()
            w.kube.away, w.broker.unreachable = away, unreachable
        case ("time", seconds):
            await w.advance(seconds, step=5.0)
        case _:
            pass


async def check_quiet(w: World) -> None:
    """Once all is as it should be, an operator that knows nothing finds nothing to write."""
    written, on_broker = len(w.kube.writes), len(w.broker.writes)
    await w.restart()
    await w.advance(400, step=5.0)
    assert w.kube.writes[written:] == []
    assert w.broker.writes[on_broker:] == []
