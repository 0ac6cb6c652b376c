"""Building a Maven project of this repository, once. Decides where the result is kept; the pom decides what it is.

Java and Maven are the machine's own. Artifacts come from where the machine's Maven is configured to look.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.lab import cache
from tests.lab.errors import LabError, MissingToolError
from tests.lab.progress import step

_OLDEST_JAVA = 17
_PACKAGES = ("default-jdk-headless", "maven")
_NO_MAVEN = f"A JDK of {_OLDEST_JAVA} or newer and Maven are missing: install them (Debian: apt-get install "


def package(project: Path, jar: str) -> Path:
    """Return what `mvn package` makes of the project, from the cache if its files have not changed.

    Raises MissingToolError without a JDK and Maven, LabError with Maven's last lines.
    """
    sources = sorted(path for path in project.rglob("*") if path.is_file() and "target" not in path.parts)
    names = " ".join(str(path.relative_to(project)) for path in sources)

    def make(folder: Path) -> None:
        _ensure_tools()
        with step(f"Building {project.name} with Maven, once (half a minute, 60 MB of artifacts)"):
            shutil.copytree(project, folder / "project", ignore=shutil.ignore_patterns("target"))
            _maven(folder / "project")
            (folder / "project" / "target" / jar).rename(folder / jar)
            shutil.rmtree(folder / "project")

    return cache.materialize("java", cache.digest(names, *sources), make) / jar


def java() -> str:
    """Return the program that runs what `package` made."""
    _ensure_tools()
    return str(shutil.which("java"))


def _maven(project: Path) -> None:
    repository = cache.root() / "maven"
    command = ["mvn", "-B", "-q", f"-Dmaven.repo.local={repository}", "package"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise LabError(f"building {project} failed:\n{tail}")


def _ensure_tools() -> None:
    if _complete():
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise MissingToolError(f"{_NO_MAVEN}{' '.join(_PACKAGES)})")
    with step(f"Installing the Debian packages {', '.join(_PACKAGES)}"):
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *_PACKAGES]):
            done = subprocess.run(["apt-get", *command], capture_output=True, text=True, check=False)
            if done.returncode:
                raise LabError(f"{_NO_MAVEN}{' '.join(_PACKAGES)}). apt-get said: {done.stderr.strip()[-400:]}")
    if not _complete():
        raise MissingToolError(f"{_NO_MAVEN}{' '.join(_PACKAGES)}); what apt-get installed is older")


def _complete() -> bool:
    if not all(shutil.which(name) for name in ("java", "javac", "mvn")):
        return False
    told = subprocess.run(["javac", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r"javac (\d+)", told.stdout + told.stderr)
    return found is not None and int(found[1]) >= _OLDEST_JAVA
