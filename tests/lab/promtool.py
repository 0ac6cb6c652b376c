"""promtool, Prometheus' own checker of metrics, rules and alerts: the one of this machine, else from a Debian package.

Only the program is kept. It is the one of Debian stable; when a mirror lacks that, the newer suites are asked.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache as memoize
from pathlib import Path

from tests.lab import cache
from tests.lab.apt import Suite
from tests.lab.errors import LabError, MissingToolError
from tests.lab.progress import step

_SUITES = ("trixie", "forky", "sid")
_PACKAGE = "promtool"
_PROGRAM = Path("usr/bin/promtool")


@memoize
def promtool_path() -> Path:
    """Return the program, fetched into the cache if this machine has none (seconds, once)."""
    found = shutil.which("promtool")
    if found is not None and os.access(found, os.X_OK):
        return Path(found)
    return cache.materialize("promtool", cache.digest(Path(__file__)), _make) / "promtool"


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """Run it, with `text` as its input, and return what it said; LabError with that if it finds something wrong."""
    done = subprocess.run(
        [promtool_path(), *arguments],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"promtool {arguments[0]}: {done.stdout.strip()}")
    return done.stdout


def _make(folder: Path) -> None:
    errors: list[str] = []
    with step("Fetching promtool from a Debian package"):
        for name in _SUITES:
            try:
                with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                    unpacked = Path(scratch) / "unpacked"
                    Suite(name, Path(scratch)).unpack([_PACKAGE], unpacked)
                    (unpacked / _PROGRAM).rename(folder / "promtool")
            except MissingToolError as error:
                raise MissingToolError(f"promtool is missing: install it. From a Debian package: {error}") from None
            except LabError as error:
                errors.append(str(error))
            else:
                return
    raise LabError("no Debian suite gave promtool:\n" + "\n".join(errors))
