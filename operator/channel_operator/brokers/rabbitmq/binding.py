"""The binding Secret of a user (Service Binding specification). Decides its entries; never writes it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from channel_operator.api.broker import BrokerSpec, TlsMode
from channel_operator.core.accepted import Credential

__all__ = ["binding_secret"]


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def binding_secret(
    spec: BrokerSpec, username: str, credential: Credential, *, channels: Sequence[Mapping[str, Any]], ca: str | None
) -> dict[str, str]:
    """Return the entries of the Secret, password or private key included."""
    rabbitmq = spec.rabbitmq
    if rabbitmq is None:
        raise ValueError("the Broker is not of type RabbitMQ")
    entries = {
        "type": "rabbitmq",
        "provider": "channel-operator",
        "username": username,
        "virtual-host": rabbitmq.vhost,
        "channels.json": json.dumps(list(channels), ensure_ascii=False, sort_keys=True),
    }
    login = ""
    if credential.password is not None:
        entries["password"] = credential.password.reveal()
        login = f"{quote(username, safe='')}:{quote(credential.password.reveal(), safe='')}@"
    if credential.certificate is not None and credential.private_key is not None:
        # The mechanism EXTERNAL takes the name from the certificate, so the address carries none.
        entries["tls.crt"], entries["private-key"] = credential.certificate, credential.private_key.reveal()
    addresses = tuple(rabbitmq.clients.addresses) if rabbitmq.clients else ()
    if addresses:
        entries["host"], entries["port"] = _host_and_port(addresses[0])
        entries["addresses"] = ",".join(addresses)
        scheme = "amqp" if spec.tls.mode is TlsMode.DISABLED else "amqps"
        entries["uri"] = f"{scheme}://{login}{addresses[0]}/{quote(rabbitmq.vhost, safe='')}"
    streams = tuple(rabbitmq.clients.stream_addresses or ()) if rabbitmq.clients else ()
    if streams:
        entries["stream-port"] = _host_and_port(streams[0])[1]
    if ca is not None:
        entries["certificates"] = ca
    return entries
