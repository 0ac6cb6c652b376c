"""Dead letter: `send` a message, `fail` on it until the broker gives up, then `dead` reads what was set aside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, Delivery, deliveries
from command_line import add_reader, add_sender, parser, run, take


def fail(binding: Binding, arguments: argparse.Namespace) -> int:
    """Return every message to its queue until none comes back; 1 if none came at all."""
    queues = binding.channel("Consumer")["queues"]
    tries: dict[str, int] = {}
    with binding.connect() as connection:
        channel = connection.channel()
        for delivery in deliveries(channel, queues, silence=arguments.until_idle):
            tries[delivery.body] = tries.get(delivery.body, 0) + 1
            print(f"try {tries[delivery.body]} of {delivery.body!r} failed: returned to {queues[0]}", flush=True)
            # reject, not nack: from RabbitMQ 4.3 a nack with requeue does not count towards the delivery limit.
            channel.basic_reject(delivery.tag, requeue=True)
    for body, count in tries.items():
        print(f"{body!r} was tried {count} times and did not come back")
    if not tries:
        print(f"error: no message came within {arguments.until_idle:g} s", file=sys.stderr)
    return 0 if tries else 1


def dead(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` dead letters and say why each is one; 1 if they do not come."""
    queues = binding.channel("DeadLetterConsumer")["queues"]

    def show(delivery: Delivery) -> None:
        death = (delivery.headers.get("x-death") or [{}])[0]
        origin, reason = death.get("queue", "an unknown queue"), death.get("reason", "unknown")
        print(f"dead letter {delivery.body!r} from {origin}, reason {reason}", flush=True)

    with binding.connect() as connection:
        return take(connection.channel(), queues, arguments, show)


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send messages, fail on them, read the dead letters.")
    add_sender(commands)
    failing = commands.add_parser("fail", help="receive messages and return every one")
    failing.add_argument("--until-idle", type=float, default=3, metavar="S", help="end after S seconds of silence")
    failing.set_defaults(work=fail)
    add_reader(commands, "dead", dead, "read dead letters and acknowledge them", count=1)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
