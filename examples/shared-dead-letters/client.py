"""Shared dead letters: `send` to one of two queues, `fail` on both, `read` what was set aside with where it is from."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, Delivery, deliveries, publish
from command_line import add_reader, parser, run, take


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send one message to the queue that is named."""
    exchange = binding.channel("Producer", arguments.queue)["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [arguments.text])
    print(f"sent {arguments.text!r} to {exchange}, confirmed by the broker")
    return 0


def fail(binding: Binding, arguments: argparse.Namespace) -> int:
    """Return every message of both queues until none comes back."""
    queues = [queue for name in ("refunds", "complaints") for queue in binding.channel("Consumer", name)["queues"]]
    tries = 0
    with binding.connect() as connection:
        channel = connection.channel()
        for delivery in deliveries(channel, queues, silence=arguments.until_idle):
            tries += 1
            # reject, not nack: from RabbitMQ 4.3 a nack with requeue does not count towards the delivery limit.
            channel.basic_reject(delivery.tag, requeue=True)
    print(f"failed {tries} times")
    return 0


def read(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` messages and say where each comes from; 1 if they do not come."""
    queues = binding.channel("Consumer", "unsolved")["queues"]

    def show(delivery: Delivery) -> None:
        death = (delivery.headers.get("x-death") or [{}])[0]
        print(f"{delivery.body!r} from {death.get('queue', 'an unknown queue')}", flush=True)

    with binding.connect() as connection:
        return take(connection.channel(), queues, arguments, show)


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send to one of two queues, fail on both, read what was set aside.")
    sender = commands.add_parser("send", help="send one message")
    sender.add_argument("queue", choices=["refunds", "complaints"])
    sender.add_argument("text")
    sender.set_defaults(work=send)
    failing = commands.add_parser("fail", help="receive messages of both queues and return every one")
    failing.add_argument("--until-idle", type=float, default=3, metavar="S", help="end after S seconds of silence")
    failing.set_defaults(work=fail)
    add_reader(commands, "read", read, "read what was set aside and acknowledge it", count=1)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
