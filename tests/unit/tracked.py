"""The files of the repository, as git sees them: what is tracked, and what is new and not ignored."""

import subprocess
from pathlib import Path

__all__ = ["ROOT", "TRACKED", "name_of"]

ROOT = Path(__file__).resolve().parents[2]

TRACKED = [
    ROOT / line
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    if (ROOT / line).is_file()
]


def name_of(path: Path) -> str:
    """Return a file's path in the repository."""
    return str(path.relative_to(ROOT))
