"""The binding Secret of a user (Service Binding specification). Decides its entries; never writes it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from channel_operator.api.broker import BrokerSpec, TlsMode
from channel_operator.core.model import Secret

__all__ = ["binding_secret"]


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def binding_secret(
    spec: BrokerSpec, username: str, password: Secret, *, channels: Sequence[Mapping[str, Any]], ca: str | None
) -> dict[str, str]:
    """Return the entries of the Secret, the password included."""
    rabbitmq = spec.rabbitmq
    if rabbitmq is None:
        raise ValueError("the Broker is not of type RabbitMQ")
    entries = {
        "type": "rabbitmq",
        "provider": "channel-operator",
        "username": username,
        "password": password.reveal(),
        "virtual-host": rabbitmq.vhost,
        "channels.json": json.dumps(list(channels), ensure_ascii=False, sort_keys=True),
    }
    addresses = tuple(rabbitmq.clients.addresses) if rabbitmq.clients else ()
    if addresses:
        entries["host"], entries["port"] = _host_and_port(addresses[0])
        entries["addresses"] = ",".join(addresses)
        scheme = "amqp" if spec.tls.mode is TlsMode.DISABLED else "amqps"
        login = f"{quote(username, safe='')}:{quote(password.reveal(), safe='')}"
        entries["uri"] = f"{scheme}://{login}@{addresses[0]}/{quote(rabbitmq.vhost, safe='')}"
    streams = tuple(rabbitmq.clients.stream_addresses or ()) if rabbitmq.clients else ()
    if streams:
        entries["stream-port"] = _host_and_port(streams[0])[1]
    if ca is not None:
        entries["certificates"] = ca
    return entries
