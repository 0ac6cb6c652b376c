"""Debian packages of other suites, unpacked into a folder and never installed.

A private apt root reads the mirror from this machine's own apt configuration (or LAB_DEBIAN_MIRROR) and keeps apt's
signature checks. The system's packages and package lists are not touched.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.lab.errors import LabError, MissingToolError

_KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)


def mirror() -> str:
    """Return the address of the Debian mirror this machine uses; raises MissingToolError if there is none."""
    if chosen := os.environ.get("LAB_DEBIAN_MIRROR"):
        return chosen
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingToolError("apt-get and dpkg-deb are missing: this needs Debian")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(REPO_URI)"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for line in listed.splitlines():
        kind, component, address = line.split(" ", 2)
        if kind == "Packages" and component == "main" and address.rstrip("/").endswith("/debian"):
            return address.rstrip("/")
    raise MissingToolError(
        "apt knows no Debian mirror: set LAB_DEBIAN_MIRROR to one, and install debian-archive-keyring"
    )


class Suite:
    """One Debian suite (for example `trixie`) seen through a private apt root in `folder`."""

    def __init__(self, name: str, folder: Path) -> None:
        """Prepare the root and fetch the suite's package list.

        Raises LabError if the mirror lacks the suite, MissingToolError if this machine cannot use any.
        """
        self.name = name
        for part in ("sources.d", "state/lists/partial", "cache/archives/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        keyring = next((path for path in _KEYRINGS if path.exists()), None)
        option = f" [signed-by={keyring}]" if keyring else ""
        (folder / "sources.list").write_text(f"deb{option} {mirror()} {name} main\n")
        config = folder / "apt.conf"
        config.write_text(
            f'Dir::Etc::sourcelist "{folder}/sources.list";\n'
            f'Dir::Etc::sourceparts "{folder}/sources.d";\n'
            f'Dir::State "{folder}/state";\n'
            f'Dir::State::status "{folder}/status";\n'
            f'Dir::Cache "{folder}/cache";\n'
            'APT::Sandbox::User "root";\n'  # the folder need not be readable for apt's own user
            'Acquire::Languages "none";\n'
            'Acquire::Retries "3";\n'
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
            'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";\n'
        )
        self._folder = folder
        self._env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C.UTF-8"}
        self._run("apt-get", "update", "--error-on=any")

    def version(self, package: str) -> str | None:
        """Return the package's version in this suite, or None."""
        for line in self._run("apt-cache", "madison", package).splitlines():
            return line.split("|")[1].strip()
        return None

    def unpack(self, packages: Sequence[str], target: Path) -> None:
        """Download the packages (their dependencies are not followed) and unpack them over each other."""
        downloads = self._folder / "debs"
        downloads.mkdir()
        self._run("apt-get", "download", *packages, cwd=downloads)
        for package in sorted(downloads.glob("*.deb")):
            self._run("dpkg-deb", "-x", str(package), str(target))
        shutil.rmtree(downloads)

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(command, env=self._env, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise LabError(f"{command[0]} {command[1]} for Debian {self.name} failed:\n{tail}")
        return done.stdout
