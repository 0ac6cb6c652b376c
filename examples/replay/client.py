"""Replay: `publish` to a log, `read` it from any offset, as often as you like."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, publish
from command_line import add_reader, came, parser, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Publish the messages in their order."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, arguments.text)
    print(f"published {len(arguments.text)} to {exchange}")
    return 0


def read(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` messages (0 = until Ctrl-C) from an offset on: first, next, or a number; 1 if they do not come."""
    streams = binding.channel("Consumer")["queues"]
    offset = int(arguments.offset) if arguments.offset.isdigit() else arguments.offset
    seen = 0
    silence = arguments.timeout if arguments.count else 0
    with binding.connect() as connection:
        channel = connection.channel()
        # A stream is read with a limit on what is under way, and hands over more for every acknowledgement.
        found = deliveries(channel, streams, prefetch=100, silence=silence, arguments={"x-stream-offset": offset})
        for delivery in found:
            print(f"offset {delivery.headers['x-stream-offset']}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            seen += 1
            if seen == arguments.count:
                break
    return came(seen, arguments)


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Publish to a log, or read it from any offset.")
    sender = commands.add_parser("publish", help="publish messages")
    sender.add_argument("text", nargs="+")
    sender.set_defaults(work=send)
    reader = add_reader(commands, "read", read, "read from an offset on", count=1)
    reader.add_argument("--offset", default="first", help="first, next, last, or a number")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
