"""Request with an asynchronous reply: `request` asks, `respond` answers, `replies` reads what was answered."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, parser, publish, reply_address, run


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
    answered = 0
    with binding.connect() as connection:
        channel = connection.channel()
        # A channel of its own: a reply address that is refused closes it, and the requests stay consumed.
        replies = connection.channel()
        silence = arguments.timeout if arguments.count else 0
        for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
            # Only where this user may send. The list is read anew: a requester may have come since the start.
            if delivery.reply_to in binding.exchanges():
                answer = f"{delivery.body} cost {len(delivery.body)} euros"
                publish(replies, delivery.reply_to, [answer], correlation_id=delivery.correlation_id)
                print(f"answered {delivery.correlation_id} to {delivery.reply_to}", flush=True)
            else:
                print(f"no answer to {delivery.correlation_id}: may not send to {delivery.reply_to!r}", flush=True)
            # After the answer is confirmed: a crash in between answers twice, never not at all.
            channel.basic_ack(delivery.tag)
            answered += 1
    return _ended(answered, arguments)


def replies(binding: Binding, arguments: argparse.Namespace) -> int:
    """Read `count` replies (0 = until Ctrl-C); 1 if they do not come."""
    queues = binding.channel("Consumer")["queues"]
    read = 0
    with binding.connect() as connection:
        channel = connection.channel()
        silence = arguments.timeout if arguments.count else 0
        for delivery in deliveries(channel, queues, silence=silence, limit=arguments.count):
            print(f"reply to {delivery.correlation_id}: {delivery.body}", flush=True)
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
    made = parser("Ask, answer, or read the answers.")
    commands = made.add_subparsers(required=True)
    asking = commands.add_parser("request", help="send one request")
    asking.add_argument("id", help="the correlation id: what the answer will be known by")
    asking.add_argument("text")
    asking.set_defaults(work=request)
    for name, work, text in (("respond", respond, "answer requests"), ("replies", replies, "read replies")):
        reading = commands.add_parser(name, help=text)
        reading.add_argument("--count", type=int, default=0, help="stop after so many; 0 (default) = until Ctrl-C")
        reading.add_argument("--timeout", type=float, default=30, help="seconds without a message before giving up")
        reading.set_defaults(work=work)
    arguments = made.parse_args()
    return run(lambda: arguments.work(Binding(arguments.binding), arguments))


if __name__ == "__main__":
    sys.exit(main())
