"""`make image`: builds the container image with docker or podman, looks into it, and tells size and contents.

Decides what must not be in it: programs that change the user, compilers, package caches, a root user.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from channel_operator import __version__
from hack.generate import ROOT

__all__ = ["faults", "main", "report"]

_USER = "10001:10001"

# Runs in the image, with the image's own Python; the root user may look everywhere and the file system is read-only.
_LOOK = """
import json, os, stat, sys
found = {"files": 0, "setuid": [], "compilers": [], "caches": [], "sizes": {}}
for folder, folders, files in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in {"/proc", "/sys", "/dev", "/run"}]
    for name in files:
        path = os.path.join(folder, name)
        info = os.lstat(path)
        found["files"] += 1
        if not stat.S_ISREG(info.st_mode):
            continue
        top = "/" + "/".join(path.split("/")[1:3])
        found["sizes"][top] = found["sizes"].get(top, 0) + info.st_size
        if info.st_mode & 0o6000:
            found["setuid"].append(path)
        if name in {"gcc", "cc", "g++", "clang", "make", "ld", "rustc", "go"} and info.st_mode & 0o111:
            found["compilers"].append(path)
        if folder.startswith(("/var/cache/apt/archives", "/var/lib/apt/lists", "/root/.cache")):
            found["caches"].append(path)
found["python"] = sys.version.split()[0]
print(json.dumps(found))
"""


def _tool() -> str | None:
    return os.environ.get("CONTAINER_TOOL") or shutil.which("docker") or shutil.which("podman")


def _said(command: Sequence[str]) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def build(tool: str, image: str, arguments: Sequence[str]) -> None:
    """Build the image of this commit; `arguments` go to the tool's `build`."""
    when = _said(["git", "log", "-1", "--format=%ct"])
    given = {"VERSION": __version__, "REVISION": _said(["git", "rev-parse", "HEAD"]), "SOURCE_DATE_EPOCH": when}
    command = [tool, "build", "--tag", image, *(f"--build-arg={name}={value}" for name, value in given.items())]
    if "podman" in tool:
        command.append(f"--timestamp={when}")
    subprocess.run([*command, *arguments, "."], cwd=ROOT, check=True)


def look(tool: str, image: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return what is in the image and how it would run."""
    config = json.loads(_said([tool, "image", "inspect", image]))[0]
    run = [tool, "run", "--rm", "--network=none", "--user=0", "--read-only", "--entrypoint=python", *arguments]
    found = json.loads(_said([*run, image, "-c", _LOOK]))
    starts = [tool, "run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL", *arguments, image, "--help"]
    settings = config["Config"]
    kept = {"bytes": config["Size"], "user": settings["User"], "entrypoint": settings["Entrypoint"]}
    return {**found, **kept, "labels": settings["Labels"], "starts": "--namespaces" in _said(starts)}


def faults(found: dict[str, Any]) -> list[str]:
    """Return what must not be in the image."""
    lists = {"programs with setuid or setgid": "setuid", "compilers": "compilers", "package caches": "caches"}
    wrong = [f"{what}: {', '.join(found[key][:5])}" for what, key in lists.items() if found[key]]
    wrong += [f"runs as {found['user'] or 'root'}, not as {_USER}"] if found["user"] != _USER else []
    return wrong + ([] if found["starts"] else ["it does not start on a read-only root file system without rights"])


def report(image: str, found: dict[str, Any]) -> str:
    """Return what is told of the image."""
    biggest = sorted(found["sizes"].items(), key=lambda one: -one[1])[:6]
    labels = sorted((found["labels"] or {}).items())
    lines = [
        f"{image}: {found['bytes'] / 1e6:.0f} MB, {found['files']} files, Python {found['python']}",
        f"runs as {found['user']}: {' '.join(found['entrypoint'])}",
        *(f"  {size / 1e6:6.1f} MB  {path}" for path, size in biggest),
        *(f"  {name}={value}" for name, value in labels if name.startswith("org.opencontainers.")),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Return 1 where there is no tool, or something is in the image that must not be."""
    parser = argparse.ArgumentParser(prog="hack.image", description=__doc__)
    parser.add_argument("--image", default="channel-operator:dev")
    parser.add_argument("--run-args", default="", help="further arguments of the tool's run, separated by spaces")
    options, builds = parser.parse_known_args(arguments)
    tool = _tool()
    if tool is None:
        print("docker or podman is needed to build the image", file=sys.stderr)
        return 1
    try:
        build(tool, options.image, builds)
        found = look(tool, options.image, options.run_args.split())
    except subprocess.CalledProcessError as error:
        print(error.stderr or f"{tool} build failed", file=sys.stderr)
        return 1
    print(report(options.image, found))
    wrong = faults(found)
    for one in wrong:
        print(f"must not be: {one}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
