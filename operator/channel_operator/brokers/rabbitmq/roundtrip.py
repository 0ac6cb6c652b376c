"""One message to a queue and back, as an application with a binding Secret would send it: AMQP 0-9-1 over TLS.

Decides whether it came back. Declares nothing and blocks its thread.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import pika
import pika.exceptions

from channel_operator.brokers.rabbitmq import failures
from channel_operator.brokers.rabbitmq.amqp import use, words
from channel_operator.errors import OperatorError, Retry, Unreachable

__all__ = ["round_trip"]


def round_trip(binding: Mapping[str, str], text: str, seconds: float) -> None:
    """See registry.round_trip."""
    if not binding.get("uri", "").startswith("amqps:"):
        raise OperatorError(
            "the Broker states no address with TLS for clients (spec.rabbitmq.clients.addresses, spec.tls)"
        )
    where = f"AMQP at {binding['host']}:{binding['port']} as user {binding['username']}"
    channels = json.loads(binding["channels.json"])
    exchange = next(one["exchange"] for one in channels if one["role"] == "Producer")
    queue = next(one["queues"][0] for one in channels if one["role"] == "Consumer")
    try:
        use(_parameters(binding, seconds), lambda channel: _send_and_receive(channel, exchange, queue, text, seconds))
    except (pika.exceptions.UnroutableError, pika.exceptions.NackError):
        raise Retry(f'{where}: the exchange "{exchange}" took the message to no queue') from None
    except pika.exceptions.ChannelClosedByBroker as error:
        raise OperatorError(f'{where}: refused with {error.reply_code} at "{exchange}" or "{queue}"') from None
    except pika.exceptions.AMQPError as error:
        raise Unreachable(f"{where}: {words(error, binding['username'], binding['virtual-host'])}") from None
    except OSError as error:
        raise failures.from_exception(error, where) from None


def _parameters(binding: Mapping[str, str], seconds: float) -> Any:
    context = ssl.create_default_context(cadata=binding.get("certificates"))
    return pika.ConnectionParameters(
        host=binding["host"],
        port=int(binding["port"]),
        virtual_host=binding["virtual-host"],
        credentials=pika.PlainCredentials(binding["username"], binding["password"]),
        ssl_options=pika.SSLOptions(context, binding["host"]),
        socket_timeout=seconds,
        stack_timeout=seconds,
        blocked_connection_timeout=seconds,
        connection_attempts=1,
    )


def _send_and_receive(channel: Any, exchange: str, queue: str, text: str, seconds: float) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, "", text.encode(), mandatory=True)
    for method, _, body in channel.consume(queue, inactivity_timeout=seconds):
        if method is None:
            raise Retry(f'the queue "{queue}" did not give the message back within {seconds:.0f} s')
        channel.basic_ack(method.delivery_tag)
        if body.decode() != text:
            raise OperatorError(f'the queue "{queue}" gave back another message than was sent')
        return
