"""Strict order: `send` numbered entries, `follow` them in one or more processes of which one is active."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, publish
from command_line import parser, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send `count` numbered entries."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [f"entry {number}" for number in range(1, arguments.count + 1)])
    print(f"sent {arguments.count} entries to {exchange}, confirmed by the broker")
    return 0


def follow(binding: Binding, arguments: argparse.Namespace) -> int:
    """Take entries until none came for `--until-idle` seconds (0 = until Ctrl-C); 1 if one came out of order."""
    queues = binding.channel("Consumer")["queues"]
    last = early = 0
    with binding.connect() as connection:
        channel = connection.channel()
        # One entry at a time: what is not acknowledged comes first again, to whoever takes over.
        for delivery in deliveries(channel, queues, silence=arguments.until_idle):
            number = int(delivery.body.split()[1])
            early += number < last
            last = number
            print(f"keeper {arguments.name}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
    print(f"keeper {arguments.name}: {early} entries out of order")
    return 1 if early else 0


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send entries of a ledger, or follow them in order.")
    sender = commands.add_parser("send", help="send numbered entries")
    sender.add_argument("--count", type=int, default=10)
    sender.set_defaults(work=send)
    follower = commands.add_parser("follow", help="take entries in order; start several of these")
    follower.add_argument("--name", default="1", help="shown in the output")
    follower.add_argument("--until-idle", type=float, default=0, metavar="S", help="end after S seconds of silence")
    follower.set_defaults(work=follow)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
