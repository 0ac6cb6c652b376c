"""The life of an installation, with a broker behind it: what docs/install.md says is done, and an upgrade from before.

The lab runs no pods: the operator is a process with the release's ServiceAccount, and so is the test that Helm runs.
"""

import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from channel_operator.api.meta import Kind
from tests.chart.conftest import CHART, helm_on
from tests.harness import examples
from tests.harness.cluster import Cluster, is_ready
from tests.harness.install import ROOT, Installation
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.smoke import SmokeTest, hooked
from tests.lab.binaries import helm_path, kubectl_path
from tests.lab.kubernetes import ControlPlane
from tests.lab.setup import Lab

HOME = "channel-operator"
PAGE = (ROOT / "docs" / "install.md").read_text()
WITHOUT_PODS = ("kubectl rollout status", "helm test", "kubectl logs")
"""Commands that wait for pods, which the lab does not run."""
ME = {"name": "user"}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start servers with nothing of the operator's in them."""
    with Lab(tmp_path_factory.mktemp("lab"), fsync=False) as started:
        yield started


def _commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


class Reader:
    """Somebody who follows the page: types its commands, with the addresses filled in as it says."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._broker = folder / "broker.yaml"
        self._broker.write_text(yaml.safe_dump_all(examples.broker(lab.rabbitmq)))
        self._environment = {
            "PATH": ":".join(str(path.parent) for path in (kubectl_path(), helm_path())) + ":/usr/bin:/bin",
            "HOME": str(folder),
            "KUBECONFIG": str(lab.control_plane.kubeconfig),
        }

    def types(self, command: str) -> str:
        """Run one command and return what it printed."""
        filled_in = command.replace("<your repository>", "registry.example.com/channel-operator")
        filled_in = filled_in.replace("examples/broker.yaml", str(self._broker))
        if filled_in.startswith("make manifests"):
            filled_in = f"HOME={Path.home()} {filled_in}"  # the environment of the tests, not another one
        done = subprocess.run(
            ["bash", "-c", filled_in], cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


class Story:
    """A cluster on its way through the page, with what is asked about it in between."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.control_plane = lab.control_plane
        self.cluster = Cluster(lab.control_plane)
        self.site = Site(self.cluster, lab.rabbitmq, vhost="/")
        self.site.home = "messaging"
        self.reader = Reader(lab, folder)
        self.folder = folder
        self._commands = iter([one for one in _commands() if not one.startswith(WITHOUT_PODS)])

    def until(self, beginning: str) -> str:
        """Type the page's next commands up to one that begins so, and return what that printed."""
        for command in self._commands:
            told = self.reader.types(command)
            if command.startswith(beginning):
                return told
        raise AssertionError(f"the page has no further command that begins with: {beginning}")

    def rest(self) -> None:
        """Type what is left of the page."""
        for command in self._commands:
            self.reader.types(command)

    @contextmanager
    def operator(self, name: str, **settings: str) -> Iterator[Operator]:
        """Run an operator with the release's account for a while."""
        installation = Installation(self.control_plane, HOME, "channel-operator")
        running = Operator(self.folder / name, installation, settings=settings).start()
        self.cluster.evidence = running.last_words
        try:
            yield running
        finally:
            running.stop()

    def uids(self) -> dict[str, str]:
        """Return who is there of the five kinds."""
        kinds = [(str(kind), one) for kind in Kind for one in self.cluster.objects(kind)]
        return {f"{kind} {one['metadata']['name']}": one["metadata"]["uid"] for kind, one in kinds}

    def native(self) -> set[str]:
        """Return the queues that were made on the broker."""
        return {name for name in self.site.native_queues() if name.startswith("billing.")}

    def left(self) -> set[str]:
        """Return what is left of an installation in its namespace."""
        kinds = "deployment,service,role,rolebinding,serviceaccount,poddisruptionbudget"
        return set(self.cluster.kubectl("get", kinds, "-n", HOME, "-o", "name").split())

    def versions(self) -> str:
        """Return the version of each object that an installation consists of."""
        kinds = "clusterrole,clusterrolebinding,role,rolebinding,serviceaccount,service,poddisruptionbudget,deployment"
        which = ["-A", "-l", "app.kubernetes.io/instance=channel-operator"]
        form = "-o=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}\n{end}"
        found = self.cluster.kubectl("get", kinds, *which, form) + self.cluster.kubectl("get", "crd", form)
        assert "Deployment/channel-operator" in found
        return found


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Begin the page. The tests below go on where the one before stopped, as a reader does."""
    return Story(lab, tmp_path_factory.mktemp("reader"))


def test_installed_with_helm_it_works_and_helm_test_says_so(story: Story) -> None:
    assert "A first Broker" in story.until("helm install")
    with story.operator("everywhere"):
        assert "queue.channel-operator.dev/invoices" in story.until("kubectl get channels")
        with story.site.client("shop", "checkout") as client:
            client.publish("billing.invoices_in", "before")
        story.until("helm upgrade")
        made = story.uids()
        with hooked(story.control_plane, "channel-operator", HOME, story.folder / "smoke") as test:
            done = test.run()
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith("ok: Broker messaging/main, user and queue messaging/channel-operator-test: ")
            assert story.uids() == made, "the test left something behind"
            _fails_in_words(story, test)
        assert story.uids() == made, "the test left something behind"


def _fails_in_words(story: Story, test: SmokeTest) -> None:
    """Take away what the test needs, one thing after the other."""
    ours, foreign = test.arguments, {"producers": [{"name": "checkout", "namespace": "shop"}]}
    nowhere = test.run([*ours, "--broker=messaging/none", "--timeout=3s"])
    assert nowhere.returncode == 1
    assert nowhere.stdout == ""
    assert re.match(r"failed: Broker messaging/none, .*BrokerUser messaging/channel-operator-test", nowhere.stderr)
    assert test.run([*ours, "--namespace=shop", "--timeout=3s"]).stderr.count("forbids") == 1
    story.cluster.apply(story.site.queue("messaging", "channel-operator-test", **foreign))
    taken = test.run()
    assert (taken.returncode, "was not made by this test" in taken.stderr) == (1, True)
    story.cluster.delete("Queue", "messaging", "channel-operator-test")
    story.cluster.wait_gone("Queue", "messaging", "channel-operator-test")


def test_limited_to_namespaces_it_has_no_cluster_wide_right_and_ignores_the_others(story: Story) -> None:
    story.until("helm upgrade")
    assert "channel-operator" not in story.cluster.kubectl("get", "clusterrolebindings", "-o", "yaml")
    elsewhere = story.cluster.namespace("elsewhere", {"broker-access": "main"})
    with story.operator("listed", namespaces="messaging,shop,billing"):
        story.cluster.apply(story.site.queue(elsewhere, "ignored"), story.site.queue("billing", "late"))
        story.cluster.wait_ready("Queue", "billing", "late")
        ignored = story.cluster.get("Queue", elsewhere, "ignored")
    assert ignored is not None
    assert ignored["status"] == {"observedGeneration": -1}, "what the CRD puts there"
    assert "finalizers" not in ignored["metadata"]
    story.cluster.delete("Queue", elsewhere, "ignored")


def test_uninstalled_it_leaves_custom_resources_and_everything_on_the_broker(story: Story) -> None:
    story.until("helm upgrade")
    made = story.uids()
    story.until("helm uninstall")
    assert story.left() == {"serviceaccount/default"}
    assert story.uids() == made
    assert story.native() == {"billing.invoices", "billing.invoices_dead", "billing.late"}


def test_installed_without_helm_it_takes_over_and_applying_again_changes_nothing(story: Story) -> None:
    story.until("kubectl apply --server-side")
    versions, made = story.versions(), story.uids()
    story.reader.types("kubectl apply --server-side -f build/channel-operator.yaml")
    assert story.versions() == versions
    with story.operator("plain"):
        story.cluster.apply(story.site.queue("billing", "later"))
        story.cluster.wait_ready("Queue", "billing", "later")
        with story.site.client("billing", "invoice-worker") as client:
            assert client.receive("billing.invoices") == ["before"]
    story.rest()
    assert story.left() == {"serviceaccount/default"}
    assert made.items() <= story.uids().items()


def test_every_command_of_the_page_that_needs_no_pod_is_typed() -> None:
    left_out = [one for one in _commands() if one.startswith(WITHOUT_PODS)]
    assert len(left_out) == 3
    assert {shlex.split(one)[0] for one in _commands()} == {"helm", "kubectl", "make"}


def _first_chart(folder: Path) -> Path:
    """Unpack the chart of the last tag, else that of the first commit whose chart brings the CRDs."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    if git("rev-parse", "--is-shallow-repository") == "true":
        pytest.skip("this clone has no history: git fetch --unshallow --tags")
    first = ["log", "--format=%H", "--diff-filter=A", "--", "charts/channel-operator/templates/crds/queues.yaml"]
    before = git("tag", "--merged", "HEAD~1", "--sort=-creatordate", "--list", "v*") or git(*first)
    archive = folder / "chart.tar"
    git("archive", f"--output={archive}", before.split()[0 if "v" in before[:1] else -1], "charts")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "charts" / "channel-operator"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ControlPlane]:
    """Start a cluster that knows nothing of the operator."""
    started = ControlPlane(tmp_path / "own", fsync=False)
    started.start()
    yield started
    started.stop()


def test_an_upgrade_from_before_keeps_resources_credentials_and_messages(
    own: ControlPlane, lab: Lab, tmp_path: Path
) -> None:
    helm_on(own, "install", "channel-operator", _first_chart(tmp_path), f"--namespace={HOME}", "--create-namespace")
    cluster, installation = Cluster(own), Installation(own, HOME, "channel-operator")
    own.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    site = Site(cluster, lab.rabbitmq, vhost="upgraded")
    operator = Operator(tmp_path / "operator", installation).start()
    cluster.evidence = operator.last_words
    site.start()
    team = site.namespace()
    cluster.apply(site.user(team, "user"), site.queue(team, "work", producers=[ME], consumers=[ME]))
    before = [cluster.wait_ready(kind, team, name) for kind, name in (("BrokerUser", "user"), ("Queue", "work"))]
    binding = site.binding(team, "user")
    with site.client(team, "user") as client:
        client.publish(f"{team}.work_in", "sent before the upgrade")
        helm_on(own, "upgrade", "channel-operator", CHART, f"--namespace={HOME}")
        operator.restart()
        cluster.look_now(site.home, "main")
        cluster.apply(site.queue(team, "more"))
        cluster.wait_ready("Queue", team, "more")
        assert client.receive(f"{team}.work") == ["sent before the upgrade"], "the connection lived on"
    operator.stop()
    for one in before:
        found = cluster.get(one["kind"], team, one["metadata"]["name"])
        assert found is not None
        assert found["metadata"]["uid"] == one["metadata"]["uid"]
        assert is_ready(found)
    assert site.binding(team, "user") == binding
