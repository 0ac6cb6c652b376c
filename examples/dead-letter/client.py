"""Dead letter: `send` a message, `fail` on it until the broker gives up, then `dead` reads what was set aside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, parser, publish, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send each text as one message."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, arguments.text)
    print(f"sent {len(arguments.text)} to {exchange}, confirmed by the broker")
    return 0


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
    read = 0
    with binding.connect() as connection:
        channel = connection.channel()
        for delivery in deliveries(channel, queues, silence=arguments.timeout, limit=arguments.count):
            death = (delivery.headers.get("x-death") or [{}])[0]
            origin, reason = death.get("queue", "an unknown queue"), death.get("reason", "unknown")
            print(f"dead letter {delivery.body!r} from {origin}, reason {reason}", flush=True)
            channel.basic_ack(delivery.tag)
            read += 1
    if read == arguments.count:
        return 0
    print(f"error: {read} of {arguments.count} dead letters came within {arguments.timeout:g} s", file=sys.stderr)
    return 1


def main() -> int:
    """Read the command line and run it."""
    made = parser("Send messages, fail on them, read the dead letters.")
    commands = made.add_subparsers(required=True)
    sender = commands.add_parser("send", help="send messages")
    sender.add_argument("text", nargs="+")
    sender.set_defaults(work=send)
    failing = commands.add_parser("fail", help="receive messages and return every one")
    failing.add_argument("--until-idle", type=float, default=3, metavar="S", help="end after S seconds of silence")
    failing.set_defaults(work=fail)
    reader = commands.add_parser("dead", help="read dead letters and acknowledge them")
    reader.add_argument("--count", type=int, default=1)
    reader.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
    reader.set_defaults(work=dead)
    arguments = made.parse_args()
    return run(lambda: arguments.work(Binding(arguments.binding), arguments))


if __name__ == "__main__":
    sys.exit(main())
