"""The program of docs/clients/spring-amqp.md works with nothing but issued credentials, built by Maven from its pom."""

from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.harness import examples
from tests.harness.programs import Application, Program
from tests.harness.site import Site
from tests.harness.waiting import TIMEOUT, wait_until
from tests.lab import java

# The first test may find no JDK, no Maven and no artifacts yet.
pytestmark = pytest.mark.timeout(900)
FOLDER = examples.CLIENTS / "spring-amqp"


@pytest.fixture(scope="session")
def program() -> list[str | Path]:
    return [java.java(), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-jar", java.package(FOLDER, "quotes.jar")]


def profile(name: str) -> str:
    return f"--spring.profiles.active={name}"


@pytest.fixture
def basket(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "shop", "basket", tmp_path / "basket", channels=2)


@pytest.fixture
def pricing(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "billing", "pricing", tmp_path / "pricing", channels=2)


@pytest.fixture
def service(pricing: Application, program: list[str | Path]) -> Iterator[Program]:
    with pricing.start([*program, profile("serve")], FOLDER) as running:
        running.wait_line("Started Quotes")
        yield running


def ask(basket: Application, program: list[str | Path], identity: str, *more: str) -> None:
    asked = basket.run([*program, profile("ask"), *more, identity, "3 apples"], FOLDER)
    assert asked.returncode == 0, asked.stdout
    assert f"asked {identity}" in asked.stdout


@pytest.mark.usefixtures("service")
def test_a_request_is_answered_where_it_asks_for(basket: Application, program: list[str | Path]) -> None:
    ask(basket, program, "basket-7")
    with basket.start([*program, profile("replies")], FOLDER) as reader:
        assert "reply to basket-7: 3 apples cost 8 euros" in reader.wait_line("reply to")


def test_a_request_that_cannot_be_answered_is_a_dead_letter_after_some_tries(quotes: Site, service: Program) -> None:
    with quotes.client("shop", "basket") as requester:
        properties = pika.BasicProperties(correlation_id="basket-8", reply_to="billing.quotes_in")
        requester.connection.channel().basic_publish("billing.quotes_in", "", b"1 apple", properties)
    wait_until(
        lambda: quotes.ready_messages("billing.quotes_dead") == 1,
        "the request is dead-lettered",
        timeout=3 * TIMEOUT,  # each of the three tries may wait ten seconds for a confirmation, on an idle machine
        describe=service.log.read_text,
    )
    refusal = "ACCESS_REFUSED - write access to exchange 'billing.quotes_in' in vhost '/' refused for user"
    service.wait_line(refusal)


def test_what_spring_returns_to_the_queue_is_not_counted(
    quotes: Site, pricing: Application, program: list[str | Path]
) -> None:
    # Why the page has Spring try again by itself. RabbitMQ counts no basic.nack with requeue from 4.3 on.
    with quotes.client("shop", "basket") as requester:
        requester.connection.channel().basic_publish("billing.quotes_in", "", b"1 apple")
    listener = "--spring.rabbitmq.listener.simple"
    returning = [f"{listener}.retry.enabled=false", f"{listener}.default-requeue-rejected=true"]
    with pricing.start([*program, profile("serve"), *returning], FOLDER) as running:
        running.wait_line("no reply address", count=10)
    assert quotes.ready_messages("billing.quotes_dead") == 0
    quotes.purge()


def test_the_service_goes_on_with_a_new_password(
    basket: Application, pricing: Application, service: Program, program: list[str | Path]
) -> None:
    pricing.change_password("chosen-by-the-team-2")
    pricing.close_connections()
    service.wait_line("Restarting")
    ask(basket, program, "basket-9")
    with basket.start([*program, profile("replies")], FOLDER) as reader:
        reader.wait_line("reply to basket-9")


def test_a_server_of_another_authority_is_not_talked_to(basket: Application, program: list[str | Path]) -> None:
    basket.distrust()
    asked = basket.run([*program, profile("ask"), "basket-10", "3 apples"], FOLDER)
    assert asked.returncode != 0
    assert "unable to find valid certification path" in asked.stdout


def test_a_server_of_another_name_is_not_talked_to(
    basket: Application, program: list[str | Path], tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 other.example\n")
    basket.misname("other.example")
    java_program, *rest = program
    command = [java_program, f"-Djdk.net.hosts.file={hosts}", *rest, profile("ask"), "basket-11", "3 apples"]
    asked = basket.run(command, FOLDER)
    assert asked.returncode != 0
    assert "No subject alternative DNS name matching other.example found" in asked.stdout
