"""What the examples' clients share as command-line programs: options, plain sending and receiving, exit codes.

What an application would copy is in binding.py; what a pattern is about is in its own client.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika.exceptions
from binding import Binding, BindingError, Delivery, deliveries, publish
from pika.adapters.blocking_connection import BlockingChannel

Work = Callable[[Binding, argparse.Namespace], int]
"""One command: returns the exit code."""


def parser(description: str) -> tuple[argparse.ArgumentParser, Any]:
    """Return a parser with the option that every client takes, and what commands are added to."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--binding", type=Path, required=True, metavar="DIR", help="the binding Secret, as a folder")
    return made, made.add_subparsers(required=True)


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send each text to the channel on which this user is Producer."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, arguments.text)
    print(f"sent {len(arguments.text)} to {exchange}, confirmed by the broker")
    return 0


def add_sender(commands: Any, work: Work = send) -> None:
    """Add the command `send`, which takes texts."""
    made = commands.add_parser("send", help="send messages")
    made.add_argument("text", nargs="+")
    made.set_defaults(work=work)


def add_reader(commands: Any, name: str, work: Work, text: str, *, count: int = 0) -> argparse.ArgumentParser:
    """Add a command that takes messages, with the options that say how many and how long to wait for one."""
    made: argparse.ArgumentParser = commands.add_parser(name, help=text)
    many = "stop after so many; 0 = until Ctrl-C (default %(default)s)"
    made.add_argument("--count", type=int, default=count, help=many)
    made.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
    made.set_defaults(work=work)
    return made


def take(
    channel: BlockingChannel, queues: list[str], arguments: argparse.Namespace, handle: Callable[[Delivery], None]
) -> int:
    """Hand `--count` messages to `handle`, each acknowledged after it (0 = until Ctrl-C); 1 if they do not come."""
    taken = 0
    silence = arguments.timeout if arguments.count else 0
    for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
        handle(delivery)
        channel.basic_ack(delivery.tag)
        taken += 1
    return came(taken, arguments)


def came(taken: int, arguments: argparse.Namespace) -> int:
    """Return the exit code of a command that took so many messages; say it where they are too few."""
    if taken == arguments.count:
        return 0
    print(f"error: {taken} of {arguments.count} messages came within {arguments.timeout:g} s", file=sys.stderr)
    return 1


def receive(binding: Binding, arguments: argparse.Namespace) -> int:
    """Print `--count` messages of the channel on which this user is Consumer."""
    queues = binding.channel("Consumer")["queues"]
    with binding.connect() as connection:
        return take(
            connection.channel(),
            queues,
            arguments,
            lambda delivery: print(f"received from {queues[0]}: {delivery.body}", flush=True),
        )


def run(made: argparse.ArgumentParser) -> int:
    """Run the command that was asked for: return its exit code, 1 with one line on stderr for what can go wrong."""
    arguments = made.parse_args()
    work: Work = arguments.work
    try:
        return work(Binding(arguments.binding), arguments)
    except KeyboardInterrupt:
        print("stopped")
        return 0
    except BindingError as error:
        print(f"error: {error}", file=sys.stderr)
    except pika.exceptions.UnroutableError:
        print("error: the broker had no queue for the message and returned it", file=sys.stderr)
    except pika.exceptions.NackError:
        print("error: the broker did not take the message", file=sys.stderr)
    except (pika.exceptions.AMQPError, OSError) as error:
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    return 1
