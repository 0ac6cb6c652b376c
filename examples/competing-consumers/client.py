"""Competing consumers: `send` numbered jobs, run `work` in several processes; each job goes to one of them."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from binding import Binding, deliveries, publish
from command_line import parser, run


def send(binding: Binding, arguments: argparse.Namespace) -> int:
    """Send `count` numbered jobs."""
    exchange = binding.channel("Producer")["exchange"]
    with binding.connect() as connection:
        publish(connection.channel(), exchange, [f"job {number}" for number in range(1, arguments.count + 1)])
    print(f"sent {arguments.count} jobs to {exchange}, confirmed by the broker")
    return 0


def work(binding: Binding, arguments: argparse.Namespace) -> int:
    """Do jobs until none came for `--until-idle` seconds (0 = until Ctrl-C)."""
    queues = binding.channel("Consumer")["queues"]
    done = 0
    with binding.connect() as connection:
        channel = connection.channel()
        print(f"worker {arguments.name}: waiting for jobs", flush=True)
        # One job at a time, so that a slow worker does not sit on jobs that another could do.
        for delivery in deliveries(channel, queues, silence=arguments.until_idle):
            time.sleep(arguments.seconds)  # stands for the work
            print(f"worker {arguments.name}: {delivery.body}", flush=True)
            channel.basic_ack(delivery.tag)
            done += 1
    print(f"worker {arguments.name}: did {done} jobs")
    return 0


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send jobs, or work on them beside other workers.")
    sender = commands.add_parser("send", help="send numbered jobs")
    sender.add_argument("--count", type=int, default=20)
    sender.set_defaults(work=send)
    worker = commands.add_parser("work", help="do jobs; start several of these")
    worker.add_argument("--name", default="1", help="shown in the output")
    worker.add_argument("--seconds", type=float, default=0.1, help="how long a job takes")
    worker.add_argument("--until-idle", type=float, default=0, metavar="S", help="end after S seconds without a job")
    worker.set_defaults(work=work)
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
