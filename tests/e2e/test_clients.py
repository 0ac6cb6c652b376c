"""What docs/clients/README.md says a refusal looks like is what RabbitMQ says to a user with issued credentials."""

import re
from collections.abc import Callable

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from tests.harness.install import ROOT
from tests.harness.site import Site

PAGE = (ROOT / "docs" / "clients" / "README.md").read_text()
ROWS = dict(re.findall(r"^\| (`(?:basket|pricing)` .+?) \| `(.+?)` \|$", PAGE, re.MULTILINE))
NAMESPACES = {"basket": "shop", "pricing": "billing"}

Attempt = Callable[[BlockingChannel], object]


def publish(exchange: str, routing_key: str = "") -> Attempt:
    def attempt(channel: BlockingChannel) -> None:
        channel.confirm_delivery()
        channel.basic_publish(exchange, routing_key, b"x")

    return attempt


ATTEMPTS: dict[str, Attempt] = {
    "`basket` declares the queue `billing.quotes`": lambda channel: channel.queue_declare("billing.quotes"),
    "`basket` declares an exchange `mine`": lambda channel: channel.exchange_declare("mine"),
    "`basket` sends to the queue by the default exchange": publish("", "billing.quotes"),
    "`basket` sends to `shop.quote-replies_in`": publish("shop.quote-replies_in"),
    "`basket` receives from `billing.quotes`": lambda channel: channel.basic_consume("billing.quotes", lambda *_: None),
    "`pricing` binds `billing.quotes` to `shop.quote-replies_in`": lambda channel: channel.queue_bind(
        "billing.quotes", "shop.quote-replies_in"
    ),
}


def test_every_refusal_on_the_page_is_tried() -> None:
    assert sorted(ROWS) == sorted(ATTEMPTS)


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_refusal_looks_as_the_page_says(what: str, quotes: Site) -> None:
    user = what.split("`")[1]
    with quotes.client(NAMESPACES[user], user) as client:
        with pytest.raises(ChannelClosedByBroker) as refusal:
            ATTEMPTS[what](client.connection.channel())
    assert (refusal.value.reply_code, refusal.value.reply_text) == (403, ROWS[what])
