"""User by certificate: `send` as the producer, who has no password, `receive` as the consumer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, publish
from command_line import add_reader, parser, receive, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send each text as one message."""
    exchange = binding.channel("Producer")["exchange"]
    by = "password" if binding.has("password") else "certificate"
    with binding.connect() as connection:
        publish(connection.channel(), exchange, arguments.text)
    print(f"{binding.entry('username')} sent {len(arguments.text)} to {exchange}, logged in by {by}")
    return 0


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send to a queue or receive from it.")
    sender = commands.add_parser("send", help="send messages")
    sender.add_argument("text", nargs="+")
    sender.set_defaults(work=send)
    add_reader(commands, "receive", receive, "receive messages and acknowledge them")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
