"""Replay: `publish` to a log, `read` it from any offset, as often as you like."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, parser, publish, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Publish the messages in their order."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, arguments.text)
    print(f"published {len(arguments.text)} to {exchange}")
    return 0


def read(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` messages from an offset on: first, next, or a number; 1 if they do not come."""
    streams = binding.channel("Consumer")["queues"]
    offset = int(arguments.offset) if arguments.offset.isdigit() else arguments.offset
    seen = 0
    with binding.connect() as connection:
        channel = connection.channel()
        # A stream is read with a limit on what is under way, and hands over more for every acknowledgement.
        found = deliveries(
            channel, streams, prefetch=100, silence=arguments.timeout, arguments={"x-stream-offset": offset}
        )
        for delivery in found:
            print(f"offset {delivery.headers['x-stream-offset']}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            seen += 1
            if seen == arguments.count:
                return 0
    print(f"error: {seen} of {arguments.count} messages came within {arguments.timeout:g} s", file=sys.stderr)
    return 1


def main() -> int:
    """Read the command line and run it."""
    made = parser("Publish to a log, or read it from any offset.")
    commands = made.add_subparsers(required=True)
    sender = commands.add_parser("publish", help="publish messages")
    sender.add_argument("text", nargs="+")
    sender.set_defaults(work=send)
    reader = commands.add_parser("read", help="read from an offset on")
    reader.add_argument("--offset", default="first", help="first, next, last, or a number")
    reader.add_argument("--count", type=int, default=1, help="stop after so many")
    reader.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
    reader.set_defaults(work=read)
    arguments = made.parse_args()
    return run(lambda: arguments.work(Binding(arguments.binding), arguments))


if __name__ == "__main__":
    sys.exit(main())
