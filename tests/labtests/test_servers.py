"""The lab's servers start, break and come back as their methods say, and leave nothing behind."""

import socket
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.binaries import helm_path, kstatus
from tests.lab.errors import LabError
from tests.lab.kubernetes import ControlPlane
from tests.lab.management import ManagementError
from tests.lab.processes import alive, start_time
from tests.lab.rabbitmq import RabbitMQ
from tests.lab.tls import CertificateAuthority

PATIENCE = 10.0  # seconds
SILENCE = 0.5  # seconds without the answer that must not come
QUEUE = "/api/queues/%2F/orders"


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("test-ca")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, authority: CertificateAuthority) -> Iterator[RabbitMQ]:
    started = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), authority)
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    started = ControlPlane(tmp_path_factory.mktemp("kubernetes"), fsync=False, audit=True)
    started.start()
    yield started
    started.stop()


def declare(broker: RabbitMQ) -> None:
    broker.api("PUT", QUEUE, {"durable": True, "auto_delete": False, "arguments": {"x-queue-type": "quorum"}})


def queues(broker: RabbitMQ) -> list[str]:
    return [queue["name"] for queue in broker.api("GET", "/api/queues?disable_stats=true&enable_queue_totals=true")]


def handshake(port: int, context: ssl.SSLContext, timeout: float = PATIENCE) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as raw:
        with context.wrap_socket(raw, server_hostname="localhost"):
            pass


def test_every_listener_of_the_broker_speaks_tls(broker: RabbitMQ, authority: CertificateAuthority) -> None:
    for port in (broker.management_port, broker.amqps_port, broker.stream_tls_port, broker.prometheus_port):
        handshake(port, authority.client_context())
    protocols = {listener["protocol"] for listener in broker.api("GET", "/api/overview")["listeners"]}
    assert protocols == {"amqp/ssl", "clustering", "https", "https/prometheus", "stream/ssl"}


@pytest.mark.parametrize("breakage", ["restart", "kill"])
def test_the_broker_keeps_its_queues(broker: RabbitMQ, breakage: str) -> None:
    declare(broker)
    if breakage == "kill":
        broker.kill()
        assert not broker.running
        broker.start()
    else:
        broker.restart()
    assert queues(broker) == ["orders"]


def test_a_wiped_broker_is_empty_at_the_same_place_with_the_same_administrator(broker: RabbitMQ) -> None:
    declare(broker)
    broker.set_admin_password("changed-once")
    before = (broker.management_url, broker.amqps_port)
    broker.wipe()
    assert queues(broker) == []
    assert (broker.management_url, broker.amqps_port) == before


def test_a_changed_password_locks_the_old_one_out(broker: RabbitMQ) -> None:
    old = broker.admin_password
    broker.set_admin_password("changed-again")
    broker.api("GET", "/api/whoami")
    broker.admin_password = old
    with pytest.raises(ManagementError, match="401"):
        broker.api("GET", "/api/whoami")
    broker.admin_password = "changed-again"


def test_a_paused_broker_takes_connections_and_answers_nothing_until_resumed(broker: RabbitMQ) -> None:
    broker.pause()
    try:
        with pytest.raises(TimeoutError):
            handshake(broker.management_port, broker.client_context(), timeout=SILENCE)
    finally:
        broker.resume()
    handshake(broker.management_port, broker.client_context())


def test_clients_of_the_old_authority_refuse_the_new_certificate(
    broker: RabbitMQ, authority: CertificateAuthority
) -> None:
    broker.use_certificate(CertificateAuthority.create("unknown").issue("rabbitmq"))
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(broker.amqps_port, authority.client_context())
    handshake(broker.amqps_port, broker.client_context())
    broker.use_certificate(authority.issue("rabbitmq"))
    handshake(broker.amqps_port, authority.client_context())


def test_the_control_plane_keeps_its_objects_over_a_restart_and_a_kill(cluster: ControlPlane) -> None:
    cluster.kubectl("create", "namespace", "kept")
    address = cluster.url
    cluster.restart()
    cluster.kill()
    cluster.start()
    assert cluster.kubectl("get", "namespace", "kept", "-o", "name") == "namespace/kept\n"
    assert cluster.url == address


def test_controllers_work_and_report_the_pinned_version(cluster: ControlPlane) -> None:
    cluster.kubectl("create", "namespace", "short-lived")
    cluster.kubectl("delete", "namespace", "short-lived", "--timeout=30s")
    assert "Server Version: v1.36.3" in cluster.kubectl("version")


def test_a_service_account_gets_a_kubeconfig_with_its_own_rights(cluster: ControlPlane, tmp_path: Path) -> None:
    config = cluster.kubeconfig_for("default", "default", tmp_path / "kubeconfig")
    told = cluster.kubectl(f"--kubeconfig={config}", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert told == "system:serviceaccount:default:default"
    with pytest.raises(LabError, match="forbidden"):
        cluster.kubectl(f"--kubeconfig={config}", "get", "secrets")
    assert '"username":"system:serviceaccount:default:default"' in cluster.audit_log.read_text()


def test_a_paused_api_server_answers_again_when_resumed(cluster: ControlPlane) -> None:
    cluster.pause()
    try:
        with pytest.raises(LabError, match=r"[Tt]imeout|deadline"):
            cluster.kubectl("get", "namespaces", f"--request-timeout={SILENCE}s")
    finally:
        cluster.resume()
    assert "default" in cluster.kubectl("get", "namespaces")


def test_kstatus_reads_generations_as_integers() -> None:
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a", "generation": 2}}
    ready = {"type": "Ready", "status": "True", "reason": "Done", "message": "", "lastTransitionTime": None}
    verdicts = kstatus(
        [
            {**body, "status": {"observedGeneration": 2, "conditions": [ready]}},
            {**body, "status": {"observedGeneration": 1, "conditions": [ready]}},
            {**body, "status": {"observedGeneration": 2, "conditions": [{**ready, "type": "Stalled"}]}},
        ]
    )
    assert [verdict["status"] for verdict in verdicts] == ["Current", "InProgress", "Failed"]


def test_helm_answers() -> None:
    told = subprocess.run([helm_path(), "version", "--short"], capture_output=True, text=True, check=True).stdout
    assert told.startswith(("v3.", "v4."))


def test_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Even if that process is killed and had started them in a thread that has ended."""
    program = f"""
        import threading, time
        from pathlib import Path
        from tests.lab.kubernetes import ControlPlane
        cluster = ControlPlane(Path({str(tmp_path)!r}), fsync=False)
        starter = threading.Thread(target=cluster.start)
        starter.start()
        starter.join()
        print(cluster.pid, flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        began = start_time(server)
        assert began is not None
        parent.kill()
    deadline = time.monotonic() + PATIENCE
    while alive(server, began):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.05)
