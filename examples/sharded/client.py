"""Sharded channel: `send` the steps of several orders, run `work` in several processes; each order stays in order."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, publish
from command_line import parser, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send every order's first step, then every order's second, and so on."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        channel = connection.channel()
        for step in range(1, arguments.steps + 1):
            for order in range(1, arguments.orders + 1):
                publish(channel, exchange, [f"order {order} step {step}"], headers={"order": str(order)})
    print(f"sent {arguments.steps} steps of {arguments.orders} orders to {exchange}, confirmed by the broker")
    return 0


def work(binding: Binding, arguments: argparse.Namespace) -> int:
    """Take steps until none came for `--until-idle` seconds (0 = until Ctrl-C); 1 if an order was out of order."""
    queues = binding.channel("Consumer")["queues"]
    last: dict[str, int] = {}
    early = 0
    with binding.connect() as connection:
        channel = connection.channel()
        # One step at a time. A worker consumes from every shard; the broker makes it the active one on some of them.
        for delivery in deliveries(channel, queues, silence=arguments.until_idle):
            _, order, _, step = delivery.body.split()
            early += int(step) <= last.get(order, 0)
            last[order] = int(step)
            print(f"worker {arguments.name}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
    print(f"worker {arguments.name}: {len(last)} orders, {early} steps out of order")
    return 1 if early else 0


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send the steps of orders, or work on them beside other workers.")
    sender = commands.add_parser("send", help="send the steps of some orders")
    sender.add_argument("--orders", type=int, default=6)
    sender.add_argument("--steps", type=int, default=5)
    sender.set_defaults(work=send)
    worker = commands.add_parser("work", help="take steps; start several of these")
    worker.add_argument("--name", default="1", help="shown in the output")
    worker.add_argument("--until-idle", type=float, default=0, metavar="S", help="end after S seconds without a step")
    worker.set_defaults(work=work)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
