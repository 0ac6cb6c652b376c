"""What the operator was told at start: flags, else environment variables, else defaults; frozen. Decides nothing else.

Each flag `--some-name` has the variable `CHANNEL_OPERATOR_SOME_NAME`. No setting takes a secret: command lines and
environments can be read by others on the machine.
"""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from channel_operator.errors import OperatorError

__all__ = ["Address", "Option", "Settings", "SettingsError", "options"]

_PREFIX = "CHANNEL_OPERATOR_"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]{1,5}(?:ms|s|m|h)){1,4}")


class SettingsError(OperatorError):
    """A setting that cannot be used; the message names the flag or variable and says what it should be."""


class Address(NamedTuple):
    """Where to listen. Port 0 takes a free one, which the log then names."""

    host: str
    port: int

    def __str__(self) -> str:
        """`127.0.0.1:9090`, `[::1]:9090`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} is not a Kubernetes name (lower-case letters, digits and '-', at most 63)")
    return text


def _labels(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_label(item) for item in _items(text)))


def _items(text: str) -> list[str]:
    return [item for item in re.split(r"[,\s]+", text) if item]


def _hosts(text: str) -> frozenset[str]:
    return frozenset(item.lower().strip("[]") for item in _items(text))


def _seconds(text: str) -> float:
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 15s, 5m or 1h30m")
    total = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)(ms|s|m|h)", text))
    if total <= 0:
        raise ValueError("must be longer than zero")
    return total


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _address(text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  # the last TCP port
        raise ValueError(f"{text!r} is not host:port, for instance 0.0.0.0:9090")
    return Address(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104  # ":9090" means everywhere, as usual


def _url(text: str) -> str:
    if "@" in text:
        raise ValueError("must hold no credentials: set OTEL_EXPORTER_OTLP_HEADERS from a Secret")
    if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", text):
        raise ValueError(f"{text!r} is not a URL such as http://collector:4318/v1/traces")
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text.lower()

    return parse


def _tag(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        raise ValueError(f"{text!r} is not an id (letters, digits, '.', '_' and '-', at most 63)")
    return text


def _option(default: Any, parse: Callable[[str], Any], text: str) -> Any:
    return field(default=default, metadata={"parse": parse, "help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Times are seconds."""

    namespaces: tuple[str, ...] = _option((), _labels, "namespaces to work in, comma separated; empty = all")
    operator_id: str | None = _option(
        None, _tag, "marks the broker users made here; default the UID of kube-system, else of the own namespace"
    )
    namespace: str | None = _option(
        None, _label, "the operator's own namespace, where its Lease lives; default that of the credentials"
    )
    lease_name: str = _option("channel-operator", _label, "name of the Lease; the shard is appended")
    shard: str = _option("0", _label, "id of the shard of brokers that this replica competes for")
    identity: str | None = _option(
        None, _tag, "this replica's name in the Lease; default the host name and a random part"
    )
    leader_election: bool = _option(
        True,  # noqa: FBT003  # the option's default, not a switch of `_option`
        _boolean,
        "false: act without a Lease; never with more than one replica",
    )
    lease_duration: float = _option(15.0, _seconds, "how long others wait for a silent leader")
    lease_renew_deadline: float = _option(10.0, _seconds, "how long a leader that cannot renew goes on")
    lease_retry_period: float = _option(2.0, _seconds, "how often the Lease is renewed or tried for")
    resync_interval: float | None = _option(None, _seconds, "overrides spec.resyncInterval of every Broker")
    allowed_broker_hosts: frozenset[str] = _option(
        frozenset(),
        _hosts,
        "the only broker hosts that may be reached, comma separated, loopback among them if listed; "
        "with * in the list all other public and private hosts too",
    )
    ref_grace: float = _option(60.0, _seconds, "how long a missing consent counts as not there yet")
    secrets_sweep: float = _option(900.0, _seconds, "how often users' Secrets are looked at again")
    broker_secret_sweep: float = _option(60.0, _seconds, "how often a Broker's own Secrets are read again")
    max_policies: int = _option(100, _positive, "policies of the operator per RabbitMQ vhost, at most")
    metrics_address: Address = _option(  # noqa: RUF009  # a field is returned: nothing is shared between instances
        Address("127.0.0.1", 9090), _address, "host:port of /metrics"
    )
    health_address: Address = _option(  # noqa: RUF009  # the same
        Address("127.0.0.1", 8081), _address, "host:port of /startupz, /readyz and /healthz"
    )
    log_format: str = _option("json", _one_of("json", "text"), "json, or text for terminals")
    log_level: str = _option(
        "info", _one_of("debug", "info", "warning", "error"), "least level that is logged: debug, info, warning, error"
    )
    tracing_endpoint: str | None = _option(
        None, _url, "URL that traces are sent to by OTLP over HTTP, as http://collector:4318/v1/traces; default none"
    )
    kubeconfig: Path | None = _option(  # noqa: RUF009  # the same
        None, Path, "kubeconfig to use; default KUBECONFIG, else the pod's ServiceAccount, else ~/.kube/config"
    )
    context: str | None = _option(None, str, "context of the kubeconfig; default its current one")
    shutdown_grace: float = _option(20.0, _seconds, "how long a stopping operator may finish the calls in flight")

    def __post_init__(self) -> None:
        """Refuse combinations that cannot work."""
        if not self.lease_retry_period < self.lease_renew_deadline < self.lease_duration:
            raise SettingsError(
                "--lease-retry-period must be shorter than --lease-renew-deadline, and that shorter than "
                f"--lease-duration; they are {self.lease_retry_period:g}s, {self.lease_renew_deadline:g}s and "
                f"{self.lease_duration:g}s"
            )

    @property
    def only_allowed_broker_hosts(self) -> bool:
        """Whether no host outside `allowed_broker_hosts` may be reached."""
        return bool(self.allowed_broker_hosts) and "*" not in self.allowed_broker_hosts

    @property
    def lease(self) -> str:
        """The name of the Lease object."""
        return f"{self.lease_name}-{self.shard}"

    @classmethod
    def read(cls, arguments: Sequence[str], environ: Mapping[str, str]) -> "Settings":
        """Read flags, then variables. Raises SettingsError; SystemExit after `--help`."""
        given = vars(_parser().parse_args(arguments))
        values: dict[str, Any] = {}
        for option in fields(cls):
            flag, variable = _flag(option.name), _PREFIX + option.name.upper()
            if given[option.name] is not None:
                source, text = flag, given[option.name]
            elif environ.get(variable):
                source, text = variable, environ[variable]
            else:
                continue
            try:
                values[option.name] = option.metadata["parse"](text.strip())
            except ValueError as error:
                raise SettingsError(f"{source}: {error}") from None
        return cls(**values)


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _shown(default: Any) -> str:
    if default is None or default in ((), frozenset()):
        return ""
    if isinstance(default, bool):
        default = str(default).lower()
    return f" (default {default:g}s)" if isinstance(default, float) else f" (default {default})"


class Option(NamedTuple):
    """One setting as users meet it. `text` ends with the default, where there is one."""

    flag: str
    variable: str
    text: str


def options() -> list[Option]:
    """Return every setting, for `--help` and the reference page."""
    return [
        Option(_flag(one.name), _PREFIX + one.name.upper(), one.metadata["help"] + _shown(one.default))
        for one in fields(Settings)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="channel-operator",
        description="Makes channels written as Kubernetes resources real on RabbitMQ and Kafka.",
        epilog=f"Each flag has a variable: --log-level is {_PREFIX}LOG_LEVEL. Flags win.",
        allow_abbrev=False,
    )
    for flag, _, text in options():
        parser.add_argument(flag, metavar="VALUE", help=text.replace("%", "%%"))
    return parser
