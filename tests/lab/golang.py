"""A Go toolchain new enough for the lab's modules, and building with it.

It compiles what the committed go.mod and go.sum name and never changes either.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.apt import Suite
from tests.lab.errors import LabError, MissingToolError
from tests.lab.progress import Report, step

_NEEDED = (1, 26)
_SERIES = f"{_NEEDED[0]}.{_NEEDED[1]}"
_SUITES = ("forky", "sid")  # Debian suites that have it


@dataclass(frozen=True, slots=True)
class Build:
    """One program: the package to build in a module folder of the lab."""

    title: str
    module: Path
    package: str
    variables: tuple[tuple[str, str], ...]  # set at link time: name, value
    packages: int  # how many packages are compiled from nothing, for the progress shown

    def inputs(self) -> str:
        """Return the hash of all that decides the result."""
        sources = sorted([*self.module.glob("*.go"), self.module / "go.mod", self.module / "go.sum"])
        return cache.digest(self.package, repr(self.variables), *sources)


def build(program: Build, output: Path) -> None:
    """Compile the program to `output`. Raises LabError with the compiler's last lines.

    The Go caches stay, for the next program to share, until `drop_caches`.
    """
    go = _toolchain(program.module)
    environment = {
        **os.environ,
        "GOCACHE": os.environ.get("GOCACHE") or str(_scratch() / "build"),
        "GOMODCACHE": os.environ.get("GOMODCACHE") or str(_scratch() / "modules"),
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "auto",
    }
    scratch = _scratch() / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with step(f"Compiling {program.title}, once") as report:
            _compile(go, program, output, {**environment, "GOTMPDIR": str(scratch)}, report)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def drop_caches() -> None:
    """Delete what builds left: four gigabytes that serve nobody afterwards.

    Caches that GOCACHE and GOMODCACHE of the environment name are the user's and stay.
    """
    shutil.rmtree(_scratch(), ignore_errors=True)


def _scratch() -> Path:
    return cache.root() / "go"


def _compile(go: Path, program: Build, output: Path, environment: Mapping[str, str], report: Report) -> None:
    variables = " ".join(f"-X {name}={value}" for name, value in program.variables)
    command: list[str | Path] = [go, "build", "-v", "-ldflags", f"-s -w {variables}", "-o", output, program.package]
    lines: list[str] = []
    compiled = 0
    with group(command, program.module, environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("go: downloading"):
                report("downloading modules")
            elif re.fullmatch(r"[\w./~-]+\n", line):
                compiled += 1
                report(f"{compiled} of about {max(compiled, program.packages)} packages")
            else:
                lines.append(line)
    if process.returncode:
        raise LabError(f"compiling {program.title} failed:\n{''.join(lines[-20:])}")


@contextmanager
def group(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a program that starts others; however this ends, none of them is left."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _toolchain(module: Path) -> Path:
    """Return a `go` that can build the module, from this machine or from a newer Debian suite."""
    found = shutil.which("go")
    if found and _version(Path(found), module) >= _NEEDED:
        return Path(found)
    try:
        return _fetch()
    except LabError as error:
        raise MissingToolError(f"Go {_SERIES} or newer is missing: install it. From Debian packages: {error}") from None


def _version(go: Path, module: Path) -> tuple[int, int]:
    """Return the version that would build the module: from 1.21 on, `go` fetches the toolchain that go.mod names."""
    environment = {**os.environ, "GOTOOLCHAIN": "auto"}
    told = subprocess.run([go, "env", "GOVERSION"], cwd=module, env=environment, capture_output=True, check=False)
    match = re.match(rb"go(\d+)\.(\d+)", told.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _fetch() -> Path:
    """Unpack Go from Debian into the cache: its programs are static, so they run on any release."""

    def make(folder: Path) -> None:
        errors: list[str] = []
        with step(f"Fetching Go {_SERIES} from Debian packages"):
            for suite in _SUITES:
                try:
                    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                        packages = [f"golang-{_SERIES}-go", f"golang-{_SERIES}-src"]
                        Suite(suite, Path(scratch)).unpack(packages, folder)
                except MissingToolError:
                    raise
                except LabError as error:
                    errors.append(str(error))
                else:
                    return
        raise LabError("\n".join(errors))

    return cache.materialize("golang", cache.digest(Path(__file__)), make) / f"usr/lib/go-{_SERIES}/bin/go"
