"""`python -m hack.demo`: loads the demo and runs it, so that Ctrl-C ends it in order while it is still loading."""

import sys


def main() -> int:
    """Run the demo and return its exit code; 130 when it was interrupted."""
    try:
        from hack.demo_run import run  # noqa: PLC0415  # loading it takes a second
    except KeyboardInterrupt:
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
