"""One RabbitMQ node on loopback, TLS only, that can be stopped, paused, killed and emptied.

It configures a broker the way a platform team would hand it over: an administrator, a certificate, the plugins. It
declares no queue, user or permission of its own.
"""

import http.client
import os
import secrets
import shutil
import signal
import socket
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from tests.lab.errors import ExternalPartError, LabError
from tests.lab.management import Management, ManagementError
from tests.lab.ports import free_port
from tests.lab.processes import Server
from tests.lab.rabbitmq_install import Installation, Version, install
from tests.lab.tls import Certificate, CertificateAuthority

_START_TIMEOUT = 120.0  # seconds; four are normal
_PLUGINS = (
    "rabbitmq_management",
    "rabbitmq_stream",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_prometheus",
    "rabbitmq_auth_mechanism_ssl",
)
# Two schedulers that sleep when idle: the other servers of the lab need the cores too. A dead letter that its target
# refuses is sent again after 1 s; the default is 3 minutes, and no configuration file can say less.
_ERLANG_ARGUMENTS = (
    "+S 2:2 +SDio 4 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
    " -rabbit dead_letter_worker_publisher_confirm_timeout 1000"
)
_CONFIG = """\
listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:{amqps}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = {login}
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
stream.listeners.tcp = none
stream.listeners.ssl.1 = 127.0.0.1:{stream}
stream.advertised_host = localhost
stream.advertised_tls_port = {stream}
management.ssl.ip = 127.0.0.1
management.ssl.port = {management}
management.ssl.cacertfile = {authority}
management.ssl.certfile = {certificate}
management.ssl.keyfile = {key}
prometheus.tcp.listener = none
prometheus.ssl.ip = 127.0.0.1
prometheus.ssl.port = {prometheus}
prometheus.ssl.cacertfile = {authority}
prometheus.ssl.certfile = {certificate}
prometheus.ssl.keyfile = {key}
default_user = {user}
default_pass = {password}
log.console = true
log.console.use_colors = off
log.file = false
disk_free_limit.absolute = 50MB
"""


class RabbitMQ:
    """A broker in its own folder; ports, data, certificate and password stay the same until they are changed."""

    def __init__(self, state_dir: Path, ca: CertificateAuthority, *, version: Version = "current") -> None:
        """Prepare the broker without starting it; `ca` signs its first certificate.

        With RABBITMQ_LAB_URL set, the broker it names is used instead and none is started.
        """
        self.state_dir = state_dir
        self.admin_user = "admin"
        self.admin_password = secrets.token_urlsafe(18)
        self.management_port, self.amqps_port, self.stream_tls_port = free_port(), free_port(), free_port()
        self.prometheus_port = free_port()
        self._distribution_port, self._epmd_port = free_port(), free_port()
        self._requested: Version = version
        self._installation: Installation | None = None
        self._server: Server | None = None
        self._epmd: Server | None = None
        self._running_version = ""
        self._certificate_login = "common_name"
        self.host = "127.0.0.1"
        self._external_url = os.environ.get("RABBITMQ_LAB_URL")
        if self._external_url:
            self._trust = _read_external_authority()
            return
        self._certificate = ca.issue("rabbitmq")
        self._trust = ca.pem

    @property
    def management_url(self) -> str:
        """The address of the management API, without credentials."""
        return f"https://{self.host}:{self.management_port}"

    @property
    def ca_pem(self) -> str:
        """The authority that signed the certificate the broker shows now."""
        return self._trust

    @property
    def version(self) -> str:
        """RabbitMQ's version, for example 4.3.6 (known once it has started)."""
        return self._running_version

    @property
    def running(self) -> bool:
        """Whether the broker's process exists (a paused one does)."""
        return self._external_url is not None or (self._server is not None and self._server.running)

    @property
    def external(self) -> bool:
        """Whether it was given and is not the lab's."""
        return self._external_url is not None

    @property
    def pid(self) -> int:
        """Process id of the broker."""
        return self._own().pid

    @property
    def log(self) -> Path:
        """The broker's log."""
        return self.state_dir / "rabbitmq.log"

    def start(self) -> None:
        """Start the broker and wait until every listener answers and the administrator can log in."""
        if self._external_url:
            self._attach(self._external_url)
            return
        if self.running:
            raise LabError("this RabbitMQ runs already")
        self._installation = self._installation or install(self._requested)
        self._write_config()
        environment = self._environment(self._installation)
        # A name service of its own, so that brokers side by side know nothing of each other.
        self._epmd = Server("epmd", [self._installation.epmd], log=self.log, env=environment)
        self._epmd.wait_until(lambda: _accepts(self._epmd_port), _START_TIMEOUT)
        self._server = Server("rabbitmq-server", [self._installation.server], log=self.log, env=environment)
        self._server.wait_until(self._ready, _START_TIMEOUT)

    def stop(self) -> None:
        """End the broker in order; does nothing if it does not run or is not the lab's."""
        if self._server:
            self._server.stop()
        self._stop_epmd()

    def kill(self) -> None:
        """End the broker as a power cut would: connections break, nothing is flushed."""
        self._own().kill()
        self._stop_epmd()

    def pause(self) -> None:
        """Freeze the broker: its connections stay open and nothing answers."""
        self._own().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._own().signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start with the same data, ports and credentials."""
        self._own()
        self.stop()
        self.start()

    def wipe(self) -> None:
        """Come back empty: stop, delete all data, start on the same ports with the same administrator."""
        self._own()
        self.stop()
        shutil.rmtree(self.state_dir / "data")
        self.start()

    def use_certificate(self, certificate: Certificate) -> None:
        """Restart with another certificate; clients of the old authority no longer trust the broker."""
        self._own()
        self._certificate = certificate
        self._trust = certificate.ca_pem
        self.restart()

    def use_certificate_login(self, source: str) -> None:
        """Restart taking user names from elsewhere in certificates: common_name, distinguished_name and so on."""
        self._own()
        self._certificate_login = source
        self.restart()

    def set_admin_password(self, password: str) -> None:
        """Change the administrator's password in the running broker."""
        path = f"/api/users/{urllib.parse.quote(self.admin_user, safe='')}"
        self.api("PUT", path, {"password": password, "tags": "administrator"})
        self.admin_password = password

    def client_context(self) -> ssl.SSLContext:
        """Return a TLS client context that trusts the broker's present authority alone."""
        return ssl.create_default_context(cadata=self._trust)

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the management API as the administrator; see Management.request."""
        access = Management(
            self.host, self.management_port, self.client_context(), self.admin_user, self.admin_password
        )
        return access.request(method, path, body)

    def _own(self) -> Server:
        if self._external_url:
            raise ExternalPartError("this RabbitMQ was given by RABBITMQ_LAB_URL and is not the lab's to disturb")
        if self._server is None:
            raise LabError("this RabbitMQ was never started")
        return self._server

    def _attach(self, url: str) -> None:
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme != "https" or not (parsed.hostname and parsed.port and parsed.username and parsed.password):
            raise LabError("RABBITMQ_LAB_URL must look like https://user:password@host:port")
        self.host, self.management_port = parsed.hostname, parsed.port
        self.admin_user = urllib.parse.unquote(parsed.username)
        self.admin_password = urllib.parse.unquote(parsed.password)
        overview = self.api("GET", "/api/overview")
        self._running_version = overview["rabbitmq_version"]
        listeners = {listener["protocol"]: listener["port"] for listener in overview["listeners"]}
        try:
            self.amqps_port, self.stream_tls_port = listeners["amqp/ssl"], listeners["stream/ssl"]
        except KeyError as missing:
            raise LabError(f"the RabbitMQ of RABBITMQ_LAB_URL has no {missing} listener") from None

    def _ready(self) -> bool:
        if not all(map(_accepts, (self.management_port, self.amqps_port, self.stream_tls_port))):
            return False
        try:
            self._running_version = self.api("GET", "/api/overview")["rabbitmq_version"]
        except (OSError, http.client.HTTPException, ManagementError):
            return False
        return True

    def _stop_epmd(self) -> None:
        if self._epmd:
            self._epmd.kill()

    def _write_config(self) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        (self.state_dir / "home").mkdir(mode=0o700, exist_ok=True)
        paths = self._certificate.write(self.state_dir / "tls")
        config = _CONFIG.format(
            amqps=self.amqps_port,
            stream=self.stream_tls_port,
            management=self.management_port,
            prometheus=self.prometheus_port,
            authority=paths.authority,
            certificate=paths.certificate,
            key=paths.key,
            user=self.admin_user,
            login=self._certificate_login,
            password=self.admin_password,
        )
        (self.state_dir / "rabbitmq.conf").write_text(config)
        (self.state_dir / "rabbitmq.conf").chmod(0o600)
        (self.state_dir / "enabled_plugins").write_text(f"[{','.join(_PLUGINS)}].\n")

    def _environment(self, installation: Installation) -> dict[str, str]:
        return {
            "PATH": f"{installation.erlang_bin}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "LANG": "C.UTF-8",
            "HOME": str(self.state_dir / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.state_dir / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.state_dir / "enabled_plugins"),
            "RABBITMQ_NODENAME": f"rabbit{self.amqps_port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(self.state_dir / "data"),
            "RABBITMQ_LOG_BASE": str(self.state_dir / "logs"),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG_ARGUMENTS,
            # The start script then becomes the server, so the process we know is the one to signal.
            "RUNNING_UNDER_SYSTEMD": "true",
        }


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _read_external_authority() -> str:
    path = os.environ.get("RABBITMQ_LAB_CA")
    if not path:
        raise LabError("RABBITMQ_LAB_URL needs RABBITMQ_LAB_CA: the file with the authority of its certificate")
    return Path(path).read_text()
