"""What the README tells a user to type is typed here, and what it says is printed is compared."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.harness.install import ROOT
from tests.harness.site import Site
from tests.lab.binaries import helm_path

README = (ROOT / "README.md").read_text()
COMMANDS = [
    re.sub(r"\s+# .*", "", line)
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip()
]
KUBECTL = [command for command in COMMANDS if command.startswith("kubectl ")]
HELM = [command for command in COMMANDS if command.startswith("helm ")]
# What each kubectl command must show.
SHOWS = {
    "kubectl get queues.channel-operator.dev -n billing": ("NAME", "ADDRESS", "billing.invoices", "Programmed"),
    "kubectl explain queues.channel-operator.dev.spec": ("brokerRef", "producers", "deadLetter"),
    "kubectl get channels -A": ("broker.channel-operator.dev/main", "brokeruser.channel-operator.dev/checkout"),
}


def test_every_command_of_the_readme_is_tried() -> None:
    assert [one for one in COMMANDS if one not in (*KUBECTL, *HELM, "make demo", "make test")] == []
    assert sorted(KUBECTL) == sorted(SHOWS)
    assert len(HELM) == 1


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Run `make demo` as the README says, once."""
    temporary = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "DEMO_EXIT": "1", "TMPDIR": str(temporary)}
    done = subprocess.run(
        ["make", "--no-print-directory", "demo"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert list(temporary.iterdir()) == [], "the demo left something behind"
    return done


@pytest.mark.timeout(900)
def test_the_demo_shows_every_promise(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    promises = re.findall(r"^promise (\d)  .+: shown$", demo.stdout, re.MULTILINE)
    assert promises == [str(number) for number in range(1, 7)], demo.stdout
    assert "\x1b" not in demo.stdout, "colours belong to terminals"


@pytest.mark.timeout(900)
def test_the_readme_promises_what_the_demo_shows(demo: subprocess.CompletedProcess[str]) -> None:
    promised = re.findall(r"^(\d)\. \*\*(.+?)\.\*\* ", README, re.MULTILINE)
    assert promised == re.findall(r"^promise (\d)  (.+): shown$", demo.stdout, re.MULTILINE)


@pytest.mark.timeout(900)
def test_the_readme_prints_what_the_demo_prints(demo: subprocess.CompletedProcess[str]) -> None:
    block = re.search(r"<!-- demo output -->\n```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert block
    printed = _normal(demo.stdout)
    # A line of dots stands for what is left out.
    pieces = [_normal(piece) for piece in re.split(r"^\.\.\.$", block[1], flags=re.MULTILINE)]
    assert any(pieces)
    for piece in pieces:
        before, found, printed = printed.partition(piece)
        assert found == piece, f"not printed (any more), or not in this order:\n{piece}\n--- in\n{before}"


@pytest.mark.timeout(900)
def test_the_readme_counts_what_the_demo_applies(demo: subprocess.CompletedProcess[str]) -> None:
    counts = re.compile(r"^applied +(examples/: .*?); all", re.MULTILINE | re.DOTALL)
    told, applied = counts.search(README), counts.search(demo.stdout)
    assert told
    assert applied
    assert told[1].split() == applied[1].split()


def _normal(text: str) -> str:
    """Leave out what differs from run to run: numbers, and where lines are wrapped and columns stand."""
    return " ".join(re.sub(r"\d+(\.\d+)*", "N", text).split())


def test_make_test_is_what_continuous_integration_runs() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    calls = [line for line in lines if "make" in line]
    assert [re.sub(r"^exec ", "", line) for line in calls] == ["make test"]
    told = subprocess.run(["make", "--dry-run", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "pytest tests" in told
    assert "mypy" in told


@pytest.mark.parametrize("command", KUBECTL)
def test_a_kubectl_command_shows_what_the_readme_is_about(command: str, examples_broker: Site) -> None:
    cluster = examples_broker.cluster
    cluster.apply(ROOT / "examples" / "single-receiver" / "channels.yaml")
    cluster.wait_ready("Queue", "billing", "invoices")
    shown = cluster.kubectl(*shlex.split(command)[1:])
    assert [word for word in SHOWS[command] if word not in shown] == [], shown


@pytest.mark.parametrize("command", HELM)
def test_the_install_command_is_accepted_by_helm(command: str, examples_broker: Site, tmp_path: Path) -> None:
    filled_in = command.replace("<your repository>", "registry.example.com/channel-operator")
    arguments = shlex.split(filled_in)[1:]
    done = subprocess.run(
        [helm_path(), *arguments, "--dry-run=client"],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "KUBECONFIG": str(examples_broker.cluster.control_plane.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "image: registry.example.com/channel-operator:dev" in done.stdout.replace('"', "")
