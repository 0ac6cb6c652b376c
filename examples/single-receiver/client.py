"""Single receiver: `send` as the producer, `receive` as the consumer."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command_line import add_reader, add_sender, parser, receive, run


def main() -> int:
    """Read the command line and run it."""
    made, commands = parser("Send to a queue or receive from it.")
    add_sender(commands)
    add_reader(commands, "receive", receive, "receive messages and acknowledge them")
    return run(made)


if __name__ == "__main__":
    sys.exit(main())
