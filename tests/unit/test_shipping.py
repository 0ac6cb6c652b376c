"""What ships the operator, as far as it can be read without running it: workflows, image, local cluster."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.image import faults, report
from tests.unit.tracked import ROOT, name_of

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def _jobs(path: Path) -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return jobs


def _steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in _jobs(path).values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_a_workflow_pins_every_action_by_commit_and_names_its_version(path: Path) -> None:
    lines = re.findall(r"^.*\buses: .*$", path.read_text(), re.MULTILINE)
    assert len(lines) == len([step for step in _steps(path) if "uses" in step])
    assert [one for one in lines if not re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", one)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_a_workflow_may_read_only_unless_a_job_says_why(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    written = re.findall(r"^ +[\w-]+: write(.*)$", text, re.MULTILINE)
    assert all(reason.startswith(" # ") for reason in written)
    assert bool(written) is (path.stem == "release")
    assert all("timeout-minutes" in job for job in _jobs(path).values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_the_commands_of_a_workflow_are_shell_and_hold_nothing_of_a_stranger(path: Path) -> None:
    for step in _steps(path):
        command = step.get("run", "")
        # What somebody else may choose, such as a branch's name, would be run as a command.
        assert not set(re.findall(r"\$\{\{\s*([\w.]+)", command)) - {"matrix.part"}
        plain = re.sub(r"\$\{\{.*?\}\}", "x", command)
        done = subprocess.run(["bash", "-n"], input=plain, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_every_make_target_of_a_workflow_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = " ".join(step.get("run", "") for path in WORKFLOWS for step in _steps(path))
    used = set(re.findall(r"(?:^|\s)make ([a-z-]+)", runs)) - {"ca-certificates"}
    assert used >= {"check", "unit", "image", "manifests", "kind-demo"}
    assert used <= targets


def test_the_workflows_run_every_folder_of_tests() -> None:
    (ci,) = [path for path in WORKFLOWS if path.stem == "ci"]
    parts = " ".join(_jobs(ci)["test"]["strategy"]["matrix"]["part"]).split()
    holding = {name_of(path.parent).split("/")[1] for path in (ROOT / "tests").rglob("test_*.py")}
    assert {f"tests/{one}" for one in holding} == {*parts, "tests/unit", "tests/engine", "tests/bench"}


def test_the_image_has_its_base_as_an_argument_and_a_numeric_user() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${BUILD_BASE}", "${BASE}"]
    final = DOCKERFILE.split("\nFROM ")[-1]
    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["10001:10001"]
    assert "pip install" not in final
    labels = set(re.findall(r"org\.opencontainers\.image\.([a-z.]+)=", final))
    assert labels >= {"title", "description", "licenses", "version", "revision"}


GOOD: dict[str, Any] = {
    "files": 10,
    "setuid": [],
    "compilers": [],
    "caches": [],
    "sizes": {"/usr/lib": 2_000_000, "/app/lib": 1_000_000},
    "python": "3.12.1",
    "bytes": 5_000_000,
    "user": "10001:10001",
    "entrypoint": ["python", "-m", "channel_operator"],
    "labels": {"org.opencontainers.image.title": "channel-operator"},
    "starts": True,
}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"setuid": ["/usr/bin/su"]}, "/usr/bin/su"),
        ({"compilers": ["/usr/bin/gcc"]}, "/usr/bin/gcc"),
        ({"caches": ["/root/.cache/pip/x"]}, "/root/.cache/pip/x"),
        ({"user": ""}, "runs as root"),
        ({"starts": False}, "read-only"),
    ],
)
def test_what_must_not_be_in_the_image_is_named(wrong: dict[str, Any], complaint: str) -> None:
    assert faults(GOOD) == []
    (found,) = faults({**GOOD, **wrong})
    assert complaint in found


def test_the_image_is_told_with_its_size_and_contents() -> None:
    told = report("x:dev", GOOD)
    assert "x:dev: 5 MB, 10 files, Python 3.12.1" in told
    assert told.index("/usr/lib") < told.index("/app/lib")


def test_the_local_clusters_script_is_shell_and_its_parts_fit_together() -> None:
    script = (ROOT / "hack" / "kind-demo").read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert yaml.safe_load((ROOT / "kind-config.yaml").read_text())["name"] in script
    (broker,) = yaml.safe_load_all((ROOT / "hack" / "kind" / "broker.yaml").read_text())
    parts = list(yaml.safe_load_all((ROOT / "hack" / "kind" / "rabbitmq.yaml").read_text()))
    (service,) = [one for one in parts if one["kind"] == "Service"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    ports = {one["name"]: one["port"] for one in service["spec"]["ports"]}
    assert broker["spec"]["rabbitmq"]["managementUrls"] == [f"https://{host}:{ports['management']}"]
    assert broker["spec"]["rabbitmq"]["clients"]["addresses"] == [f"{host}:{ports['amqps']}"]
    assert f"subjectAltName=DNS:{host}" in script
    for path in re.findall(r"(?:charts|examples|hack)/[\w./-]+", script):
        assert (ROOT / path).exists(), path
