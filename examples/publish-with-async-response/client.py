"""Publish with asynchronous responses: `announce` a tender, `offer` a price for each, read the `offers`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, parser, publish, reply_address, run


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
    answered = 0
    with binding.connect() as connection:
        channel, replies = connection.channel(), connection.channel()
        silence = arguments.timeout if arguments.count else 0
        for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
            if delivery.reply_to in binding.exchanges():
                identity = delivery.correlation_id
                publish(replies, delivery.reply_to, [arguments.price], correlation_id=identity, user_id=sender)
                print(f"offered {arguments.price} for {identity} to {delivery.reply_to}", flush=True)
            channel.basic_ack(delivery.tag)
            answered += 1
    return _ended(answered, arguments)


def offers(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` offers (0 = until Ctrl-C); 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]
    read = 0
    with binding.connect() as connection:
        channel = connection.channel()
        silence = arguments.timeout if arguments.count else 0
        for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
            print(f"offer for {delivery.correlation_id} from {delivery.user_id}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            read += 1
    return _ended(read, arguments)


def _ended(count: int, arguments: argparse.Namespace) -> int:
    if count == arguments.count:
        return 0
    print(f"error: {count} of {arguments.count} messages came within {arguments.timeout:g} s", file=sys.stderr)
    return 1


def main() -> int:
    """Read the command line and run it."""
    made = parser("Announce, answer, or read the answers.")
    commands = made.add_subparsers(required=True)
    announcing = commands.add_parser("announce", help="publish one tender")
    announcing.add_argument("id", help="the correlation id: what offers will be known by")
    announcing.add_argument("text")
    announcing.set_defaults(work=announce)
    offering = commands.add_parser("offer", help="answer tenders with a price")
    offering.add_argument("price")
    offering.set_defaults(work=offer)
    reading = commands.add_parser("offers", help="read offers")
    reading.set_defaults(work=offers)
    for one in (offering, reading):
        one.add_argument("--count", type=int, default=1, help="stop after so many; 0 = until Ctrl-C")
        one.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
    arguments = made.parse_args()
    return run(lambda: arguments.work(Binding(arguments.binding), arguments))


if __name__ == "__main__":
    sys.exit(main())
