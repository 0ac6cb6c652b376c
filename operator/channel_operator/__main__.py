"""`python -m channel_operator`: reads the settings and runs the operator. Decides the exit code and nothing else."""

import asyncio
import os
import sys

from channel_operator.app import run
from channel_operator.settings import Settings, SettingsError


def main() -> int:
    """Return 0 after a clean stop, 1 when something ended the operator, 2 for settings that cannot be used."""
    try:
        settings = Settings.read(sys.argv[1:], os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  # there is no log before the settings say where to
        return 2
    return asyncio.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
