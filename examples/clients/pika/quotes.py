"""Quotes with pika: `ask` sends a request, `serve` answers them for ever, `replies` reads what was answered."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from pathlib import Path

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError
from pika.spec import Basic

BINDING = Path(os.environ["SERVICE_BINDING_ROOT"], "rabbitmq")
REQUESTS = "billing.quotes"
REPLIES = "shop.quote-replies"


def entry(name: str) -> str:
    """Return an entry of the binding Secret as it is now: Kubernetes renews the files when the Secret changes."""
    return (BINDING / name).read_text()


def login() -> tuple[str, str]:
    """Return user name and password as they are now."""
    return entry("username"), entry("password")


def connect(user: str, password: str) -> pika.BlockingConnection:
    """Connect over TLS; the server's certificate and name are verified."""
    host = entry("host")
    context = ssl.create_default_context(cafile=BINDING / "certificates")
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            host,
            int(entry("port")),
            entry("virtual-host"),
            pika.PlainCredentials(user, password),
            ssl_options=pika.SSLOptions(context, host),
            blocked_connection_timeout=30,
        )
    )


def send(channel: BlockingChannel, exchange: str, text: str, **properties: str) -> None:
    """Return once the message is safe on the broker; raises UnroutableError or NackError if it is not."""
    stored = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent, **properties)
    channel.basic_publish(exchange, "", text.encode(), stored, mandatory=True)


def publisher(connection: pika.BlockingConnection) -> BlockingChannel:
    """Return a channel on which the broker confirms every message."""
    channel = connection.channel()
    channel.confirm_delivery()
    return channel


def ask(identity: str, text: str) -> None:
    """Send one request. The reply address is an exchange, the one of our reply queue."""
    with connect(*login()) as connection:
        send(publisher(connection), f"{REQUESTS}_in", text, correlation_id=identity, reply_to=f"{REPLIES}_in")
    print(f"asked {identity}")


def serve() -> None:
    """Answer requests until the process ends: connect again after a failure, and when the Secret has changed."""
    pause = 1
    while True:
        try:
            answer_all()
            print("the binding Secret has changed: connecting again", flush=True)
            pause = 1
        except (AMQPError, OSError) as error:
            print(f"connecting again in {pause} s: {error!r}", flush=True)
            time.sleep(pause)  # there is no connection to serve meanwhile
            pause = min(2 * pause, 30)


def answer_all() -> None:
    """Answer what comes, until the Secret holds another login."""
    used = login()
    with connect(*used) as connection:
        replies = publisher(connection)

        def answer(
            channel: BlockingChannel, method: Basic.Deliver, properties: pika.BasicProperties, body: bytes
        ) -> None:
            # An exchange we may not send to would close the channel: look before. The file is read anew each time.
            granted = {one.get("exchange") for one in json.loads(entry("channels.json"))}
            if properties.reply_to not in granted:
                channel.basic_reject(method.delivery_tag, requeue=False)  # to the dead letter queue
                return
            text = f"{body.decode()} cost {len(body)} euros"
            send(replies, properties.reply_to, text, correlation_id=properties.correlation_id)
            channel.basic_ack(method.delivery_tag)  # only now: a crash before this line answers twice, never not at all

        channel = connection.channel()
        channel.basic_qos(prefetch_count=10)
        consumer = channel.basic_consume(REQUESTS, answer)
        print(f"serving as {used[0]}", flush=True)
        while login() == used:
            connection.process_data_events(time_limit=1)
        channel.basic_cancel(consumer)


def replies() -> None:
    """Print replies as they come."""
    with connect(*login()) as connection:
        for _, properties, body in connection.channel().consume(REPLIES, auto_ack=True):
            print(f"reply to {properties.correlation_id}: {body.decode()}", flush=True)


if __name__ == "__main__":
    {"ask": ask, "serve": serve, "replies": replies}[sys.argv[1]](*sys.argv[2:])
