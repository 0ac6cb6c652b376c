"""A real AMQP client that has nothing but a binding Secret: sends, receives, and tries what it must not do.

It never declares anything unless a test makes it try, and it reports a refusal by the broker's own word.
"""

import ssl
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pika
import pika.exceptions
from pika.adapters.blocking_connection import BlockingChannel

from tests.harness.waiting import wait_until

__all__ = ["Client", "opens", "show_certificate"]

Operation = Callable[[BlockingChannel], object]

_SECONDS = 10
"""How long the broker may take for one answer."""
_WORDS = {
    320: "CONNECTION_FORCED",
    403: "ACCESS_REFUSED",
    404: "NOT_FOUND",
    405: "RESOURCE_LOCKED",
    406: "PRECONDITION_FAILED",
    530: "NOT_ALLOWED",
}


def show_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Have a client show this certificate; the library reads files only."""
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair.pem")
        pair.touch(0o600)
        pair.write_text(f"{certificate}\n{key}")
        context.load_cert_chain(pair)


class Client:
    """One connection of one BrokerUser, over TLS verified against the binding's authority."""

    def __init__(self, binding: Mapping[str, str], *, address: tuple[str, int] | None = None) -> None:
        """Connect; raises pika's error if the broker refuses. `address` leads through a proxy."""
        host, port = address or (binding["host"], int(binding["port"]))
        context = ssl.create_default_context(cadata=binding["certificates"])
        credentials: pika.PlainCredentials | pika.credentials.ExternalCredentials
        if "password" in binding:
            credentials = pika.PlainCredentials(binding["username"], binding["password"])
        else:
            show_certificate(context, binding["tls.crt"], binding["private-key"])
            credentials = pika.credentials.ExternalCredentials()
        self.username = binding["username"]
        self.connection = pika.BlockingConnection(
            pika.ConnectionParameters(
                host=host,
                port=port,
                virtual_host=binding["virtual-host"],
                credentials=credentials,
                ssl_options=pika.SSLOptions(context, server_hostname=binding["host"]),
                socket_timeout=_SECONDS,
                stack_timeout=2 * _SECONDS,
                blocked_connection_timeout=_SECONDS,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection if it is still open."""
        if self.connection.is_open:
            self.connection.close()

    def publish(self, exchange: str, *bodies: str, key: str = "") -> None:
        """Publish persistent messages and wait for each to be confirmed and routed. Raises pika's error if not."""
        channel = self.connection.channel()
        channel.confirm_delivery()
        for body in bodies:
            properties = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
            channel.basic_publish(exchange, key, body.encode(), properties, mandatory=True)
        channel.close()

    def get(self, queue: str) -> str | None:
        """Take one message and acknowledge it; None if the queue is empty. Raises pika's error if refused."""
        channel = self.connection.channel()
        _, _, body = channel.basic_get(queue, auto_ack=True)
        channel.close()
        return None if body is None else body.decode()

    def receive(self, queue: str, count: int = 1) -> list[str]:
        """Wait for so many messages and acknowledge them."""
        received: list[str] = []

        def look() -> bool:
            found = self.get(queue)
            received.extend([] if found is None else [found])
            return len(received) >= count

        wait_until(look, f"{count} messages in {queue}", describe=lambda: f"received: {received}")
        return received

    def consume(self, queue: str) -> tuple[BlockingChannel, list[str]]:
        """Subscribe; return the channel and the list that `pump` fills with what arrives (acknowledged at once)."""
        channel = self.connection.channel()
        arrived: list[str] = []

        def keep(_: BlockingChannel, __: Any, ___: Any, body: bytes) -> None:
            arrived.append(body.decode())

        channel.basic_consume(queue, keep, auto_ack=True)
        return channel, arrived

    def replay(self, stream: str, offset: str | int, count: int) -> list[str]:
        """Read so many messages of a stream from an offset on: `first`, `next`, `last` or a number."""
        channel = self.connection.channel()
        channel.basic_qos(prefetch_count=100)  # RabbitMQ wants a limit from whoever reads a stream
        arrived: list[str] = []

        def keep(_: BlockingChannel, method: Any, __: Any, body: bytes) -> None:
            arrived.append(body.decode())
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(stream, keep, arguments={"x-stream-offset": offset})

        def all_there() -> bool:
            self.pump()
            return len(arrived) >= count

        wait_until(all_there, f"{count} messages of {stream}", describe=lambda: f"arrived: {arrived}")
        channel.close()
        return arrived

    def pump(self, seconds: float = 0.1) -> None:
        """Let arrive what arrives, for a moment. Raises pika's error when the broker ended the connection."""
        self.connection.process_data_events(time_limit=seconds)

    def attempt(self, operation: Operation) -> str | None:
        """Try something on a channel of its own: None if the broker let it happen, else the broker's word for no.

        `UNROUTABLE` and `NACK` are answers to a publish. After `CONNECTION_FORCED` and the like nothing more can be
        tried on this connection.
        """
        channel = self.connection.channel()
        try:
            channel.confirm_delivery()
            operation(channel)
        except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as error:
            return _WORDS.get(error.reply_code, str(error.reply_code))
        except pika.exceptions.UnroutableError:
            return "UNROUTABLE"
        except pika.exceptions.NackError:
            return "NACK"
        channel.close()
        return None

    def try_publish(self, exchange: str, routing_key: str = "", body: bytes = b"x") -> str | None:
        """Try to publish one message; see attempt."""
        return self.attempt(lambda channel: channel.basic_publish(exchange, routing_key, body, mandatory=True))

    def try_get(self, queue: str) -> str | None:
        """Try to read one message, which goes back to the queue; see attempt."""
        return self.attempt(lambda channel: channel.basic_get(queue, auto_ack=False))


def opens(binding: Mapping[str, str]) -> bool:
    """Whether the broker lets a client in that has read this from a binding Secret."""
    try:
        with Client(binding):
            return True
    except pika.exceptions.AMQPError:
        return False
