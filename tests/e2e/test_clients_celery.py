"""The program of docs/clients/celery.md works with nothing but issued credentials, in an environment of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import examples
from tests.harness.programs import Application, Program, python_of
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

FOLDER = examples.CLIENTS / "celery"


@pytest.fixture(scope="session")
def celery() -> list[str | Path]:
    return [python_of("clients"), "-m", "celery", "-A", "quotes"]


def work(queue: str) -> list[str]:
    """Return the command of a worker, as the page has it."""
    return ["worker", "--queues", queue, "--without-gossip", "--without-mingle", "--loglevel", "INFO"]


@pytest.fixture
def basket(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "shop", "basket", tmp_path / "basket", channels=2)


@pytest.fixture
def pricing(quotes: Site, tmp_path: Path) -> Application:
    return Application(quotes, "billing", "pricing", tmp_path / "pricing", channels=2)


@pytest.fixture
def worker(pricing: Application, celery: list[str | Path]) -> Iterator[Program]:
    with pricing.start([*celery, *work("billing.quotes"), "--concurrency", "1"], FOLDER) as running:
        running.wait_line("ready.")
        yield running


def ask(basket: Application, celery: list[str | Path], identity: str, text: str) -> None:
    asked = basket.run([*celery, "call", "quotes.price", f'--args=["{identity}", "{text}"]'], FOLDER)
    assert asked.returncode == 0, asked.stdout


@pytest.mark.usefixtures("worker")
def test_a_task_is_answered_by_a_task(basket: Application, celery: list[str | Path]) -> None:
    with basket.start([*celery, *work("shop.quote-replies"), "--concurrency", "1"], FOLDER) as reader:
        ask(basket, celery, "basket-7", "3 apples")
        assert "reply to basket-7: 3 apples cost 8 euros" in reader.wait_line("reply to")


def test_a_task_that_is_rejected_is_tried_as_often_as_the_queue_says(
    quotes: Site, basket: Application, worker: Program, celery: list[str | Path]
) -> None:
    ask(basket, celery, "basket-8", "3 plums")
    wait_until(lambda: quotes.ready_messages("billing.quotes_dead") == 1, "the task is dead-lettered")
    assert worker.log.read_text().count("reject requeue=True") == 3


def test_a_task_that_fails_is_a_dead_letter_at_once(
    quotes: Site, basket: Application, worker: Program, celery: list[str | Path]
) -> None:
    asked = basket.run([*celery, "call", "quotes.price", "--args=[]"], FOLDER)
    assert asked.returncode == 0, asked.stdout
    wait_until(lambda: quotes.ready_messages("billing.quotes_dead") == 1, "the task is dead-lettered")
    assert worker.log.read_text().count("raised unexpected") == 1


def test_a_worker_logs_no_refusal(worker: Program) -> None:
    assert [line for line in worker.log.read_text().splitlines() if "REFUSED" in line or "CRITICAL" in line] == []


@pytest.mark.parametrize("option", ["--countdown=1", "--eta=2020-01-01T00:00:00"])
def test_a_task_for_later_is_done_later(
    basket: Application, worker: Program, celery: list[str | Path], option: str
) -> None:
    asked = basket.run([*celery, "call", "quotes.price", '--args=["basket-9", "3 apples"]', option], FOLDER)
    assert asked.returncode == 0, asked.stdout
    worker.wait_line("succeeded")


@pytest.mark.parametrize("left_out", ["--without-mingle", "--without-gossip"])
def test_a_worker_without_the_two_switches_says_what_is_refused(
    pricing: Application, celery: list[str | Path], left_out: str
) -> None:
    switches = [switch for switch in work("billing.quotes") if switch != left_out]
    with pricing.start([*celery, *switches, "--concurrency", "1"], FOLDER) as running:
        assert "ACCESS_REFUSED - configure access to exchange" in running.wait_line("Unrecoverable error")


def test_a_server_of_another_authority_is_not_talked_to(pricing: Application, celery: list[str | Path]) -> None:
    pricing.distrust()
    with pricing.start([*celery, *work("billing.quotes")], FOLDER) as running:
        assert "CERTIFICATE_VERIFY_FAILED" in running.wait_line("Cannot connect to amqps://")


def test_a_server_of_another_name_is_not_talked_to(pricing: Application, celery: list[str | Path]) -> None:
    pricing.misname()
    with pricing.start([*celery, *work("billing.quotes")], FOLDER) as running:
        assert "Hostname mismatch" in running.wait_line("Cannot connect to amqps://")


def test_a_worker_runs_on_the_older_rabbitmq_too(
    make_world: Callable[..., World], celery: list[str | Path], tmp_path: Path
) -> None:
    # It would end the connection of a worker that asks for a prefetch count of the whole channel.
    site = examples.platform(make_world(rabbitmq="previous"))
    examples.channels(site, "request-reply")
    basket = Application(site, "shop", "basket", tmp_path / "basket", channels=2)
    pricing = Application(site, "billing", "pricing", tmp_path / "pricing", channels=2)
    with pricing.start([*celery, *work("billing.quotes"), "--concurrency", "1"], FOLDER) as running:
        ask(basket, celery, "basket-7", "3 apples")
        running.wait_line("succeeded")
