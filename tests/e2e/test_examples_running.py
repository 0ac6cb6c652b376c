"""Examples whose clients run for long: another takes over where one dies, and one goes on with other credentials."""

import subprocess
import sys
from pathlib import Path

from tests.harness import examples
from tests.harness.bindings import BindingFolder
from tests.harness.site import Site
from tests.harness.waiting import wait_until


def test_jobs_of_a_worker_that_dies_go_to_another(examples_broker: Site, tmp_path: Path) -> None:
    folder = examples.EXAMPLES / "competing-consumers"
    cluster = examples_broker.cluster
    cluster.apply(folder / "channels.yaml")
    cluster.wait_ready("Queue", "shop", "thumbnails")
    examples_broker.purge()
    uploader = BindingFolder.of(cluster, "shop", "uploader", tmp_path / "uploader")
    worker = BindingFolder.of(cluster, "shop", "thumbnailer", tmp_path / "thumbnailer")
    command = [sys.executable, "client.py", "--binding", str(worker.path), "work", "--seconds", "600"]
    slow = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert slow.stdout is not None
        assert "waiting for jobs" in slow.stdout.readline()
        examples.run_client(folder, uploader.path, ["send", "--count", "3"])
    finally:
        slow.kill()
        slow.communicate()
    done = examples.run_client(folder, worker.path, ["work", "--name", "b", "--seconds", "0", "--until-idle", "3"])
    assert [line for line in done.stdout.splitlines() if " job " in line] == [f"worker b: job {n}" for n in (1, 2, 3)]


def test_a_client_goes_on_through_a_rotation(examples_broker: Site, tmp_path: Path) -> None:
    """Its folder changes at once and as a whole, as Kubernetes changes it; the former user ends with the overlap."""
    folder, cluster = examples.EXAMPLES / "rotation", examples_broker.cluster
    examples.channels(examples_broker, "rotation")
    cluster.patch("BrokerUser", "shop", "night-shift", {"spec": {"rotation": {"overlap": "2s"}}})
    cluster.wait_ready("BrokerUser", "shop", "night-shift")
    examples_broker.purge()
    sender = BindingFolder.of(cluster, "shop", "alarms", tmp_path / "alarms")
    mounted = tmp_path / "mounted"

    def mount() -> str:
        binding = examples_broker.binding("shop", "night-shift")
        written = BindingFolder(tmp_path / binding["username"], binding)
        (tmp_path / "next").symlink_to(written.path)
        (tmp_path / "next").replace(mounted)
        return binding["username"]

    first = mount()
    command = [sys.executable, "client.py", "--binding", str(mounted), "receive", "--count", "2"]
    log = tmp_path / "receiver.log"
    with log.open("w") as output:
        receiver = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        examples.run_client(folder, sender.path, ["send", "before"])
        wait_until(lambda: "before" in log.read_text(), "the first arrives", describe=log.read_text)
        cluster.annotate("BrokerUser", "shop", "night-shift", {"channel-operator.dev/rotate": "now"})
        wait_until(
            lambda: examples_broker.binding("shop", "night-shift")["username"] != first, "the binding has another user"
        )
        second = mount()
        wait_until(lambda: f"connected as {second}" in log.read_text(), "it connects anew", describe=log.read_text)
        wait_until(lambda: first not in examples_broker.permissions(), "the former user goes")
        examples.run_client(folder, sender.path, ["send", "after"])
        assert receiver.wait(timeout=60) == 0, log.read_text()
    finally:
        receiver.kill()
        receiver.wait()
    queue = "received from shop.alarms-to-check"
    assert log.read_text().splitlines() == [
        f"connected as {first}",
        f"{queue}: before",
        f"connected as {second}",
        f"{queue}: after",
    ]
