"""Event bus: `publish` an event of a type, `receive` the types a subscription wants."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, publish
from command_line import add_reader, parser, receive, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Publish one event; its type is the routing key."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [arguments.text], routing_key=arguments.type)
    print(f"published {arguments.type} to {exchange}: {arguments.text}")
    return 0


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Publish events, or receive those a subscription wants.")
    sender = commands.add_parser("publish", help="publish one event")
    sender.add_argument("type", help="for instance order.paid")
    sender.add_argument("text")
    sender.set_defaults(work=send)
    add_reader(commands, "receive", receive, "receive messages")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
