"""Rotation: `send` as the producer, `receive` as a consumer that goes on when its name and password change."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import pika.exceptions
from binding import Binding, deliveries
from command_line import add_reader, add_sender, came, parser, run

Login = tuple[str, str]


def login(binding: Binding) -> Login:
    """Return the name and the password: with rotation both change."""
    return binding.entry("username"), binding.entry("password")


def receive(binding: Binding, arguments: argparse.Namespace) -> int:
    """Receive `count` messages (0 = until Ctrl-C), with whatever name and password the folder has by then."""
    taken, current = 0, None
    while current != (now := login(binding)) and (not arguments.count or taken < arguments.count):
        current = now
        try:
            taken += receive_as(binding, current, arguments, taken)
        except pika.exceptions.ProbableAuthenticationError:
            # The folder may have changed between the reading of the name and of the password.
            if login(binding) == current:
                raise
    return came(taken, arguments)


def receive_as(binding: Binding, current: Login, arguments: argparse.Namespace, before: int) -> int:
    """Receive with one login until the folder has another, enough have come or none comes; return how many came."""
    queues = binding.channel("Consumer")["queues"]
    taken = 0
    with binding.connect() as connection:
        channel = connection.channel()
        print(f"connected as {current[0]}", flush=True)
        for delivery in deliveries(
            channel,
            queues,
            silence=arguments.timeout if arguments.count else 0,
            limit=arguments.count - before if arguments.count else 0,
            stop=lambda: login(binding) != current,
        ):
            print(f"received from {queues[0]}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            taken += 1
    return taken


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send to a queue, or receive from it through changes of the login.")
    add_sender(commands)
    add_reader(commands, "receive", receive, "receive messages and connect anew when the login changes")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
