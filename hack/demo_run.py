"""The demo: starts real servers on this machine, installs from the chart, applies the examples, shows every promise.

Ends with DEMO_EXIT=1 (0 only if every promise was shown), else stays until Ctrl-C. Leaves nothing behind.
"""

import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from hack.demo_promises import PROMISES
from hack.demo_scene import Scene
from hack.demo_stage import Stage
from tests.harness import examples
from tests.harness.bindings import BindingFolder
from tests.harness.cluster import documents
from tests.harness.install import ROOT
from tests.harness.kubeapi import ApiError
from tests.harness.site import Site
from tests.harness.waiting import GaveUpError
from tests.harness.world import World
from tests.lab import cache
from tests.lab.binaries import KUBERNETES_VERSION, ensure
from tests.lab.errors import LabError
from tests.lab.progress import step
from tests.lab.rabbitmq_install import install

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_interrupted = threading.Event()
_RECORDED = ("Broker", "BrokerUser", "Queue", "Topic", "Subscription")
# (folder, BrokerUser's namespace, name, arguments of the client)
_CLIENTS = (
    ("single-receiver", "shop", "checkout", ("send", "invoice 4711")),
    ("single-receiver", "billing", "invoice-worker", ("receive", "--count", "1")),
    ("competing-consumers", "shop", "uploader", ("send", "--count", "6")),
    ("competing-consumers", "shop", "thumbnailer", ("work", "--name", "a", "--until-idle", "1")),
    ("dead-letter", "shop", "storefront", ("send", "payment 12")),
    ("dead-letter", "billing", "payment-worker", ("fail", "--until-idle", "1")),
    ("dead-letter", "billing", "payment-support", ("dead",)),
    ("publish-with-async-response", "shop", "procurement", ("announce", "tender-3", "500 envelopes")),
    ("publish-with-async-response", "billing", "paper-mill", ("offer", "120")),
    ("publish-with-async-response", "billing", "print-works", ("offer", "95")),
    ("publish-with-async-response", "shop", "procurement", ("offers", "--count", "2")),
)


def run() -> int:
    """Run the demo and return its exit code."""
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    stage = Stage()
    folder = Path(tempfile.mkdtemp(prefix="channel-operator-demo-"))
    tempfile.tempdir = str(folder)
    try:
        return _run(stage, folder)
    except KeyboardInterrupt:
        return 130
    except (LabError, GaveUpError, ApiError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if _interrupted.is_set():
            stage.line(f"stopped; nothing is left behind but what was built, in {cache.root().parent}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin to end; another Ctrl-C does not end the ending."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _interrupted.set()
    os.write(sys.stdout.fileno(), b"\nstopping ...\n")  # a print may be what was interrupted
    raise KeyboardInterrupt


def _run(stage: Stage, folder: Path) -> int:
    stage.line(
        "The channel operator on this machine: a real Kubernetes API server, a real RabbitMQ, loopback only.", "bold"
    )
    ensure()
    install("current")
    stage.begin()
    world = World(folder, fsync=True)
    with step("Starting Kubernetes, RabbitMQ and the operator"):
        world.start()
    try:
        stage.fact(
            "started",
            f"Kubernetes {KUBERNETES_VERSION} and RabbitMQ {world.rabbitmq.version} with TLS; the operator, with CRDs, "
            f"rights and ServiceAccount from charts/channel-operator, after {stage.elapsed:.1f} s",
        )
        recording = world.cluster.record(*_RECORDED)
        try:
            site = _apply_examples(stage, world)
            _run_clients(stage, world, folder / "bindings")
            stage.line()
            scene = Scene(world, site, recording)
            for number, (title, show) in enumerate(PROMISES, start=1):
                stage.promise(number, title, partial(show, scene))
        finally:
            recording.stop()
        code = stage.verdict()
        if not os.environ.get("DEMO_EXIT"):
            _stay(stage, world, folder)
    finally:
        world.stop()
    return code


def _apply_examples(stage: Stage, world: World) -> Site:
    """Apply what a user would; only the Broker's addresses and password are filled in."""
    cluster = world.cluster
    site = Site(cluster, world.rabbitmq, vhost="/")
    site.home = "messaging"
    begin = time.monotonic()
    cluster.apply(*(broker := examples.broker(world.rabbitmq)), examples.EXAMPLES / "namespaces.yaml")
    manifests = [folder / "channels.yaml" for folder in examples.FOLDERS]
    for manifest in manifests:
        cluster.apply(*examples.certificates(documents(manifest), world.lab.ca))
        cluster.kubectl("apply", "-f", str(manifest))
    applied = [*broker, *(one for manifest in manifests for one in documents(manifest))]
    ours = [one for one in applied if one["kind"] in _RECORDED]
    for one in ours:
        cluster.wait_ready(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"])
    counts = ", ".join(_counted(sum(one["kind"] == kind for one in ours), kind) for kind in _RECORDED)
    stage.fact("applied", f"examples/: {counts}; all Ready after {time.monotonic() - begin:.1f} s")
    stage.line()
    for plural in ("queues", "topics", "subscriptions"):
        columns = ("get", f"{plural}.channel-operator.dev", "-A")
        stage.command(f"kubectl {' '.join(columns)}", cluster.kubectl(*columns))
    return site


def _counted(number: int, kind: str) -> str:
    return f"{number} {kind}" + ("s" if number != 1 else "")


def _run_clients(stage: Stage, world: World, bindings: Path) -> None:
    """Run the examples' own clients with the binding Secrets, as pods would mount them."""
    for name, namespace, user, arguments in _CLIENTS:
        binding = BindingFolder.of(world.cluster, namespace, user, bindings / user)
        done = examples.run_client(examples.EXAMPLES / name, binding.path, arguments)
        stage.command(f"{name}/client.py --binding {user} {shlex.join(arguments)}", done.stdout + done.stderr)
        if done.returncode:
            raise LabError(f"the client ended with {done.returncode}\n{world.last_words()}")


def _stay(stage: Stage, world: World, folder: Path) -> None:
    programs = ensure()
    client = ROOT / "examples" / "single-receiver" / "client.py"
    password = folder / "rabbitmq-password"
    password.touch(0o600)
    password.write_text(world.rabbitmq.admin_password)
    stage.line()
    stage.line("Everything stays up. In another terminal:", "bold")
    for command in (
        f"export KUBECONFIG={world.control_plane.kubeconfig} PATH={programs.kubectl.parent}:$PATH",
        "kubectl get channels -A",
        "kubectl describe queues.channel-operator.dev -n billing invoices",
        "kubectl get secret -n shop checkout-binding -o yaml",
        f"{sys.executable} {client} --binding {folder}/bindings/checkout send hello",
        f"tail -f {world.operator.log}",
        f"curl http://127.0.0.1:{world.operator.metrics_port}/metrics",
    ):
        stage.line(f"  {command}")
    where = f"https://localhost:{world.rabbitmq.management_port}"
    stage.line(f"RabbitMQ's own console: {where}, user {world.rabbitmq.admin_user}, password in {password}")
    stage.line("Ctrl-C ends it and leaves nothing behind.")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
