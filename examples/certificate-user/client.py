"""User by certificate: `send` as the producer, who has no password, `receive` as the consumer."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import command_line
from binding import Binding
from command_line import add_reader, add_sender, parser, receive, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send each text as one message, and say who was let in by what."""
    code = command_line.send(binding, arguments)
    by = "password" if binding.has("password") else "certificate"
    print(f"logged in as {binding.entry('username')}, by {by}")
    return code


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send to a queue or receive from it.")
    add_sender(commands, send)
    add_reader(commands, "receive", receive, "receive messages and acknowledge them")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
