"""The program of docs/clients/pika.md works with nothing but issued credentials, and outlives their change."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.harness import examples
from tests.harness.programs import Application, Program
from tests.harness.site import Site
from tests.harness.waiting import wait_until

FOLDER = examples.CLIENTS / "pika"


def command(*words: str) -> list[str]:
    return [sys.executable, str(FOLDER / "quotes.py"), *words]


@pytest.fixture
def basket(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "shop", "basket", tmp_path / "basket", channels=2)


@pytest.fixture
def pricing(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "billing", "pricing", tmp_path / "pricing", channels=2)


@pytest.fixture
def service(pricing: Application) -> Iterator[Program]:
    with pricing.start(command("serve"), FOLDER) as running:
        running.wait_line("serving as billing.pricing")
        yield running


def ask(basket: Application, identity: str) -> None:
    asked = basket.run(command("ask", identity, "3 apples"), FOLDER)
    assert (asked.returncode, asked.stdout) == (0, f"asked {identity}\n")


@pytest.mark.usefixtures("service")
def test_a_request_is_answered_where_it_asks_for(basket: Application) -> None:
    with basket.start(command("replies"), FOLDER) as reader:
        ask(basket, "basket-7")
        assert reader.wait_line("reply to") == "reply to basket-7: 3 apples cost 8 euros"


@pytest.mark.usefixtures("service")
def test_a_request_that_names_an_exchange_of_others_becomes_a_dead_letter(quotes: Site) -> None:
    with quotes.client("shop", "basket") as requester:
        properties = pika.BasicProperties(correlation_id="basket-8", reply_to="billing.quotes_in")
        requester.connection.channel().basic_publish("billing.quotes_in", "", b"1 apple", properties)
    wait_until(lambda: quotes.ready_messages("billing.quotes_dead") == 1, "the request is dead-lettered")


def test_the_service_goes_on_with_a_new_password(basket: Application, pricing: Application, service: Program) -> None:
    pricing.change_password("chosen-by-the-team-1")
    service.wait_line("serving as billing.pricing", count=2)
    assert service.log.read_text().splitlines()[1] == "the binding Secret has changed: connecting again"
    with basket.start(command("replies"), FOLDER) as reader:
        ask(basket, "basket-9")
        reader.wait_line("reply to basket-9")


def test_the_service_comes_back_when_its_connection_is_cut(
    basket: Application, pricing: Application, service: Program
) -> None:
    pricing.close_connections()
    service.wait_line("connecting again in 1 s")
    service.wait_line("serving as billing.pricing", count=2)
    with basket.start(command("replies"), FOLDER) as reader:
        ask(basket, "basket-10")
        reader.wait_line("reply to basket-10")


def test_a_server_of_another_authority_is_not_talked_to(basket: Application) -> None:
    basket.distrust()
    asked = basket.run(command("ask", "basket-11", "3 apples"), FOLDER)
    assert asked.returncode != 0
    assert "CERTIFICATE_VERIFY_FAILED" in asked.stdout


def test_a_server_of_another_name_is_not_talked_to(basket: Application) -> None:
    basket.misname()
    asked = basket.run(command("ask", "basket-12", "3 apples"), FOLDER)
    assert asked.returncode != 0
    assert "Hostname mismatch" in asked.stdout
