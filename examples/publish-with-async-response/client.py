"""Publish with asynchronous responses: `announce` a tender, `offer` a price for each, read the `offers`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, Delivery, publish, reply_address
from command_line import add_reader, parser, run, take


def announce(binding: Binding, arguments: argparse.Namespace) -> int:
    """Publish one tender and say where offers belong."""
    exchange = binding.channel("Producer")["exchange"]
    reply_to = reply_address(binding.channel("Consumer"))
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [arguments.text], correlation_id=arguments.id, reply_to=reply_to)
    print(f"{arguments.id} published to {exchange}, offers go to {reply_to}")
    return 0


def offer(binding: Binding, arguments: argparse.Namespace) -> int:
    """Answer `count` tenders (0 = until Ctrl-C) with a price, each where it asks for; 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]
    sender = binding.entry("username")
    with binding.connect() as connection:
        replies = connection.channel()

        def answer(delivery: Delivery) -> None:
            if delivery.reply_to in binding.exchanges():
                identity = delivery.correlation_id
                publish(replies, delivery.reply_to, [arguments.price], correlation_id=identity, user_id=sender)
                print(f"offered {arguments.price} for {identity} to {delivery.reply_to}", flush=True)

        return take(connection.channel(), queues, arguments, answer)


def offers(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` offers (0 = until Ctrl-C); 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]

    def show(delivery: Delivery) -> None:
        print(f"offer for {delivery.correlation_id} from {delivery.user_id}: {delivery.body}", flush=True)

    with binding.connect() as connection:
        return take(connection.channel(), queues, arguments, show)


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Announce, answer, or read the answers.")
    announcing = commands.add_parser("announce", help="publish one tender")
    announcing.add_argument("id", help="the correlation id: what offers will be known by")
    announcing.add_argument("text")
    announcing.set_defaults(work=announce)
    offering = add_reader(commands, "offer", offer, "answer tenders with a price", count=1)
    offering.add_argument("price")
    add_reader(commands, "offers", offers, "read offers", count=1)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
