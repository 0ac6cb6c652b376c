"""Event bus: `publish` an event of a type, `receive` the types a subscription wants."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, parser, publish, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Publish one event; its type is the routing key."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [arguments.text], routing_key=arguments.type)
    print(f"published {arguments.type} to {exchange}: {arguments.text}")
    return 0


def receive(binding: Binding, arguments: argparse.Namespace) -> int:
    """Receive `count` messages (0 = until Ctrl-C); 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]
    received = 0
    with binding.connect() as connection:
        channel = connection.channel()
        silence = arguments.timeout if arguments.count else 0
        for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
            print(f"received from {queues[0]}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            received += 1
    if received == arguments.count:
        return 0
    print(f"error: {received} of {arguments.count} messages came within {arguments.timeout:g} s", file=sys.stderr)
    return 1


def main() -> int:
    """Read the command line and run it."""
    made = parser("Publish events, or receive those a subscription wants.")
    commands = made.add_subparsers(required=True)
    sender = commands.add_parser("publish", help="publish one event")
    sender.add_argument("type", help="for instance order.paid")
    sender.add_argument("text")
    sender.set_defaults(work=send)
    receiver = commands.add_parser("receive", help="receive messages")
    receiver.add_argument("--count", type=int, default=0, help="stop after so many; 0 = until Ctrl-C")
    receiver.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
    receiver.set_defaults(work=receive)
    arguments = made.parse_args()
    return run(lambda: arguments.work(Binding(arguments.binding), arguments))


if __name__ == "__main__":
    sys.exit(main())
