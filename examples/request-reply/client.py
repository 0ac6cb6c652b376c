"""Request with an asynchronous reply: `request` asks, `respond` answers, `replies` reads what was answered."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, Delivery, publish, reply_address
from command_line import add_reader, parser, run, take


def request(binding: Binding, arguments: argparse.Namespace) -> int:
    """Ask one question and say where the answer belongs. Whoever reads the answers knows the id again."""
    exchange = binding.channel("Producer")["exchange"]
    reply_to = reply_address(binding.channel("Consumer"))
    with binding.connect() as connection:
        publish(
            connection.channel(),
            exchange,
            [arguments.text],
            correlation_id=arguments.id,
            reply_to=reply_to,
        )
    print(f"request {arguments.id} sent to {exchange}, replies go to {reply_to}")
    return 0


def respond(binding: Binding, arguments: argparse.Namespace) -> int:
    """Answer `count` requests (0 = until Ctrl-C), each where it asks for; 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]
    with binding.connect() as connection:
        # A channel of its own: a reply address that is refused closes it, and the requests stay consumed.
        replies = connection.channel()

        def answer(delivery: Delivery) -> None:
            # Only where this user may send. The list is read anew: a requester may have come since the start.
            if delivery.reply_to in binding.exchanges():
                text = f"{delivery.body} cost {len(delivery.body)} euros"
                publish(replies, delivery.reply_to, [text], correlation_id=delivery.correlation_id)
                print(f"answered {delivery.correlation_id} to {delivery.reply_to}", flush=True)
            else:
                print(f"no answer to {delivery.correlation_id}: may not send to {delivery.reply_to!r}", flush=True)

        # Acknowledged after the answer is confirmed: a crash in between answers twice, never not at all.
        return take(connection.channel(), queues, arguments, answer)


def replies(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` replies (0 = until Ctrl-C); 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]

    def show(delivery: Delivery) -> None:
        print(f"reply to {delivery.correlation_id}: {delivery.body}", flush=True)

    with binding.connect() as connection:
        return take(connection.channel(), queues, arguments, show)


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Ask, answer, or read the answers.")
    asking = commands.add_parser("request", help="send one request")
    asking.add_argument("id", help="the correlation id: what the answer will be known by")
    asking.add_argument("text")
    asking.set_defaults(work=request)
    add_reader(commands, "respond", respond, "answer requests")
    add_reader(commands, "replies", replies, "read replies")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
