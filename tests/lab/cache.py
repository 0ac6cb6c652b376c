"""Where built programs live, and how they are made exactly once.

Entries are keyed by a hash of everything they are made from, so a change builds anew and two clones share. An entry
appears by one rename when it is complete; nothing here is ever changed in place.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.progress import step


def root() -> Path:
    """Return the lab's cache folder (made on first use)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "channel-operator" / "lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: str | bytes | Path) -> str:
    """Return 16 hex digits over the parts; a path stands for the content of its file."""
    total = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "big") + content)
    return total.hexdigest()[:16]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the named lock across processes; it is free again when the holder ends, however it ends."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step(f"Waiting for another process ({name})"):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def entry(kind: str, key: str) -> Path | None:
    """Return the folder of a complete entry, or None."""
    folder = root() / kind / key
    return folder if folder.is_dir() else None


def materialize(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """Return the entry's folder, made by `make(empty folder)` if it is not there yet."""
    if found := entry(kind, key):
        return found
    with locked(kind):
        if found := entry(kind, key):
            return found
        folder = root() / kind / key
        partial = folder.with_name(f".{key}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            make(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(folder)
        return folder
