"""How an application uses the binding Secret of its BrokerUser, mounted as a folder, with pika on RabbitMQ.

Copy it next to your own code. It reads the folder, connects over verified TLS, publishes with confirms and hands out
deliveries. It declares nothing: queues and rights are the operator's business.
"""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials

CONNECT_SECONDS = 10
"""How long a connection attempt may take."""
TURN_SECONDS = 0.2
"""How long one wait for the network lasts before Ctrl-C and the silence limit are looked at."""


class BindingError(Exception):
    """The folder lacks something, or what the client wants to do is not granted. The text is for the user."""


class Delivery(NamedTuple):
    """One message as it was delivered. `tag` settles it: ack or reject."""

    tag: int
    body: str
    headers: dict[str, Any]
    redelivered: bool
    correlation_id: str | None
    reply_to: str | None
    user_id: str | None


@dataclass(frozen=True)
class Binding:
    """A binding Secret as a folder: one file per entry, as Kubernetes mounts it."""

    folder: Path

    def entry(self, name: str) -> str:
        """Return the text of an entry; BindingError if it is absent."""
        try:
            return (self.folder / name).read_text(encoding="utf-8")
        except OSError:
            if not self.folder.is_dir():
                raise BindingError(
                    f"there is no folder {self.folder}: mount a BrokerUser's binding Secret there"
                ) from None
            raise BindingError(f"{self.folder} has no entry {name}: is it a BrokerUser's binding Secret?") from None

    def has(self, name: str) -> bool:
        """Tell whether the entry exists."""
        return (self.folder / name).is_file()

    def channel(self, role: str, name: str | None = None) -> dict[str, Any]:
        """Return the first channel on which this user has `role`: Producer, Consumer or DeadLetterConsumer.

        `name` narrows it to one channel. BindingError if there is none: the user is not on the channel's list (yet).
        """
        channels: list[dict[str, Any]] = json.loads(self.entry("channels.json"))
        for channel in channels:
            if channel["role"] == role and name in (None, channel["name"]):
                return channel
        wanted = f" on {name}" if name else ""
        raise BindingError(
            f"user {self.entry('username')} is not {role}{wanted}: see channels.json and the channel's list"
        )

    def exchanges(self) -> set[str]:
        """Return every exchange this user may send to."""
        channels: list[dict[str, Any]] = json.loads(self.entry("channels.json"))
        return {channel["exchange"] for channel in channels if "exchange" in channel}

    def connect(self) -> pika.BlockingConnection:
        """Connect. Over TLS the server's certificate and name are verified against the entry `certificates`."""
        host = self.entry("host")
        options: dict[str, Any] = {"credentials": None}
        if self.entry("uri").startswith("amqps:"):
            trusted = self.entry("certificates") if self.has("certificates") else None
            context = ssl.create_default_context(cadata=trusted)
            if self.has("tls.crt"):
                context.load_cert_chain(self.folder / "tls.crt", self.folder / "private-key")
            options["ssl_options"] = pika.SSLOptions(context, server_hostname=host)
        if self.has("password"):
            options["credentials"] = pika.PlainCredentials(self.entry("username"), self.entry("password"))
        else:
            options["credentials"] = ExternalCredentials()
        return pika.BlockingConnection(
            pika.ConnectionParameters(
                host=host,
                port=int(self.entry("port")),
                virtual_host=self.entry("virtual-host"),
                socket_timeout=CONNECT_SECONDS,
                blocked_connection_timeout=30,
                **options,
            )
        )


def reply_address(queue: dict[str, Any]) -> str:
    """Return what a request carries as `reply_to`: the entry exchange of a Queue on which this user is Consumer."""
    return f"{queue['queues'][0]}_in"


def publish(
    channel: BlockingChannel,
    exchange: str,
    bodies: Sequence[str],
    *,
    routing_key: str = "",
    correlation_id: str | None = None,
    reply_to: str | None = None,
    user_id: str | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    """Publish persistent messages, one after the other, each confirmed by the broker and routed to a queue.

    `user_id` tells the receiver who sent it; RabbitMQ refuses any other than the connection's own user.
    Raises pika's UnroutableError or NackError for the first that is not safe on the broker.
    """
    channel.confirm_delivery()
    for body in bodies:
        properties = pika.BasicProperties(
            delivery_mode=pika.DeliveryMode.Persistent,
            message_id=str(uuid.uuid4()),
            content_type="text/plain; charset=utf-8",
            correlation_id=correlation_id,
            reply_to=reply_to,
            user_id=user_id,
            headers=headers,
        )
        channel.basic_publish(exchange, routing_key, body=body.encode(), properties=properties, mandatory=True)


def deliveries(
    channel: BlockingChannel,
    queues: Sequence[str],
    *,
    prefetch: int = 1,
    silence: float = 0,
    limit: int = 0,
    arguments: dict[str, Any] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Delivery]:
    """Yield deliveries of the queues; the caller settles each with `channel.basic_ack` or `channel.basic_reject`.

    At most `prefetch` are unsettled at a time. Ends when none came for `silence` seconds, or after `limit` deliveries
    (then `prefetch` must be 1), 0 = no such end; and when `stop`, asked several times a second, says so. `arguments`
    go with the consumer, such as the offset of a stream.
    """
    channel.basic_qos(prefetch_count=prefetch)
    arrived: deque[Delivery] = deque()

    def keep(_: BlockingChannel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        arrived.append(
            Delivery(
                tag=method.delivery_tag,
                body=body.decode(errors="replace"),
                headers=properties.headers or {},
                redelivered=method.redelivered,
                correlation_id=properties.correlation_id,
                reply_to=properties.reply_to,
                user_id=properties.user_id,
            )
        )

    consumers = [channel.basic_consume(queue, keep, arguments=arguments) for queue in queues]
    last = time.monotonic()
    count = 0
    while not silence or time.monotonic() - last < silence:
        channel.connection.process_data_events(time_limit=TURN_SECONDS)
        while arrived:
            count += 1
            if count == limit:
                # Before the caller settles it, so that the broker does not hand us a message we would drop:
                # a dropped message counts as a delivery.
                for consumer in consumers:
                    channel.basic_cancel(consumer)
            yield arrived.popleft()
            last = time.monotonic()
            if count == limit:
                return
        if stop is not None and stop():
            return
