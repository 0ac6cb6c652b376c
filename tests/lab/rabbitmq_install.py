"""Which RabbitMQ the lab runs, and how it is made from Debian packages without installing them.

Two versions: `current`, of the release series the tests are written for, and `previous`, from Debian stable. When the
moving suites have moved on, `current` falls back to the previous one and says so.
"""

import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.lab import cache
from tests.lab.apt import Suite
from tests.lab.errors import LabError, MissingToolError
from tests.lab.progress import step

Version = Literal["current", "previous"]

_SERIES = "4.3."  # the tested series of `current`; raise it together with the tests
_CURRENT_SUITES = ("forky", "sid")
_PREVIOUS_SUITE = "trixie"
_ERLANG = "base asn1 crypto public-key mnesia runtime-tools ssl eldap eunit inets os-mon syntax-tools tools xmerl"
_LIBRARIES = "libc6 libgcc-s1 libstdc++6 libtinfo6 zlib1g libssl3t64 libzstd1 libsystemd0 libsctp1"
_PACKAGES = ("rabbitmq-server", *(f"erlang-{name}" for name in _ERLANG.split()), *_LIBRARIES.split())

# The foreign C library is named for this one program only: in LD_LIBRARY_PATH it would leak into every child shell.
_WRAPPER = """#!/bin/sh
exec "{loader}" --library-path "{libraries}" --argv0 "$0" "{program}" "$@"
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """An unpacked RabbitMQ with its Erlang."""

    root: Path
    version: str

    @property
    def server(self) -> Path:
        """The start script."""
        return next(self.root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))

    @property
    def epmd(self) -> Path:
        """Erlang's name service."""
        return next(self.root.glob("usr/lib/erlang/erts-*/bin/epmd"))

    @property
    def erlang_bin(self) -> Path:
        """The folder that has to be on PATH."""
        return self.root / "usr/lib/erlang/bin"


def install(version: Version) -> Installation:
    """Return the installation, unpacked into the cache if it is not there yet."""
    suites = (*_CURRENT_SUITES, _PREVIOUS_SUITE) if version == "current" else (_PREVIOUS_SUITE,)
    key = cache.digest(Path(__file__), " ".join(suites))

    def make(folder: Path) -> None:
        with step(f"Fetching RabbitMQ ({version}) from Debian packages") as report:
            errors: list[str] = []
            for suite in suites:
                report(f"suite {suite}")
                try:
                    found = _unpack(suite, folder)
                except MissingToolError as error:
                    raise MissingToolError(
                        f"RabbitMQ comes from Debian packages. {error}. Or set RABBITMQ_LAB_URL to a RabbitMQ 4."
                    ) from None
                except LabError as error:
                    errors.append(str(error))
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                    continue
                (folder / "version").write_text(found)
                return
            raise LabError("no Debian suite gave a working RabbitMQ:\n" + "\n".join(errors))

    root = cache.materialize("rabbitmq", key, make)
    found = (root / "version").read_text()
    if version == "current" and not found.startswith(_SERIES):
        sys.stderr.write(f"RabbitMQ {_SERIES}x is in no Debian suite any more: using {found} instead\n")
    return Installation(root, found)


def _unpack(suite_name: str, folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        suite = Suite(suite_name, Path(scratch))
        package = suite.version("rabbitmq-server")
        if package is None:
            raise LabError(f"Debian {suite_name} has no rabbitmq-server")
        version = package.partition("-")[0]
        if suite_name != _PREVIOUS_SUITE and not version.startswith(_SERIES):
            raise LabError(f"Debian {suite_name} has RabbitMQ {version}, the tests know {_SERIES}x")
        suite.unpack(_PACKAGES, folder)
    shutil.rmtree(folder / "usr/share", ignore_errors=True)
    # Debian packages are merged-/usr now, older ones put libraries into /lib.
    libraries = [path for pattern in ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*") for path in folder.glob(pattern)]
    for library in libraries:
        shutil.rmtree(library / "gconv", ignore_errors=True)
    loader = next(path for library in libraries for path in library.glob("ld-linux-*.so.*"))
    final = cache.root() / "rabbitmq" / folder.name.removeprefix(".").removesuffix(".partial")

    def moved(path: Path) -> Path:
        return final / path.relative_to(folder)

    wrapper = {"loader": moved(loader), "libraries": ":".join(str(moved(library)) for library in libraries)}
    for program in [path for path in (folder / "usr/lib/erlang").rglob("*") if _is_program(path)]:
        original = program.rename(program.with_name(f"{program.name}.elf"))
        program.write_text(_WRAPPER.format(**wrapper, program=moved(original)))
        program.chmod(0o755)
    _relocate(folder / "usr/lib/erlang", moved(folder / "usr/lib/erlang"))
    return version


def _is_program(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or not path.stat().st_mode & stat.S_IXUSR or ".so" in path.name:
        return False
    with path.open("rb") as content:
        return content.read(4) == b"\x7fELF"


def _relocate(erlang: Path, final: Path) -> None:
    """Make Erlang's start scripts look for the rest where it is, not in /usr/lib/erlang."""
    for script in erlang.rglob("*"):
        if script.name not in {"erl", "start", "start_erl"} or script.is_symlink() or not script.is_file():
            continue
        text = script.read_text()
        script.write_text(text.replace("/usr/lib/erlang", str(final)))
