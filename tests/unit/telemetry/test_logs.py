"""What a log line looks like, and what never gets into one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from channel_operator.core.model import Secret
from channel_operator.errors import Unreachable
from channel_operator.telemetry import logs
from channel_operator.telemetry.redaction import Redactor

CANARY = "c4n4ry-Zq81-do-not-show"
PEM = "PRIVATE " + "KEY-----"
"""In pieces, so that nothing that looks for keys takes this file for one."""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave logging to the other tests as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, least in levels.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def fail(error: Exception) -> None:
    """Raise, as code under a try would."""
    raise error


class Log:
    def __init__(self, form: str = "json", level: str = "info") -> None:
        self.stream = io.StringIO()
        self.redactor: Redactor = logs.configure(form=form, level=level, stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def last(self) -> dict[str, object]:
        line: dict[str, object] = json.loads(self.text.splitlines()[-1])
        return line


def test_a_line_is_one_json_object_with_the_usual_fields_first() -> None:
    log = Log()
    structlog.get_logger("channel_operator.loop").info("queue created", kind="Queue", name="invoices", duration=0.02)
    assert list(log.last)[:4] == ["ts", "level", "logger", "msg"]
    assert log.last["logger"] == "channel_operator.loop"
    assert log.last["msg"] == "queue created"
    assert log.last["name"] == "invoices"
    assert log.last["duration"] == 0.02


def test_libraries_log_in_the_same_form() -> None:
    log = Log()
    logging.getLogger("somebody.else").warning("disk %s is full", "sda")
    assert log.last["msg"] == "disk sda is full"
    assert log.last["logger"] == "somebody.else"


def test_text_for_terminals_is_no_json() -> None:
    log = Log(form="text")
    structlog.get_logger("x").info("hello", name="invoices")
    assert "hello" in log.text
    assert not log.text.startswith("{")


def test_lines_below_the_level_are_not_written() -> None:
    log = Log(level="warning")
    structlog.get_logger("x").info("hello")
    logging.getLogger("y").info("hello")
    assert log.text == ""


def test_an_error_with_a_meaning_has_no_traceback() -> None:
    log = Log()
    try:
        fail(Unreachable("the broker did not answer"))
    except Unreachable:
        structlog.get_logger("x").exception("not done")
    assert "Traceback" not in log.text
    assert log.last["reason"] == "the broker did not answer"


def test_a_bug_has_a_traceback() -> None:
    log = Log()
    try:
        fail(KeyError("oops"))
    except KeyError:
        structlog.get_logger("x").exception("bug")
    assert "Traceback" in str(log.last["exception"])


def test_kopf_is_quiet_about_objects_and_tries_and_loud_about_failures() -> None:
    log = Log(level="debug")
    logging.getLogger("kopf.objects").error("Handler failed")
    logging.getLogger("kopf._cogs.clients.api").error("Request attempt #1 failed; will retry: GET /x")
    logging.getLogger("kopf.activities").info("Initial authentication has been initiated.")
    assert log.text == ""
    logging.getLogger("kopf._core.reactor").error("Watcher has failed")
    assert log.last["msg"] == "Watcher has failed"


@pytest.mark.parametrize(
    "fields",
    [
        {"password": CANARY},
        {"Authorization": f"Bearer {CANARY}"},
        {"headers": {"authorization": f"Basic {CANARY}"}},
        {"data": {"private-key": CANARY}},
        {"data": {"tls.key": CANARY}},
        {"data": {"sasl.jaas.config": CANARY}},
        {"value": Secret(CANARY)},
        {"values": [Secret(CANARY), {"inner": Secret(CANARY)}]},
        {"raw": CANARY.encode()},
        {"uri": f"amqps://worker:{CANARY}@rabbit:5671/%2F"},
        {"reason": f'cannot read "password": "{CANARY}"'},
        {"reason": f"login with password={CANARY} failed"},
        {"reason": f"sent Authorization: Bearer {CANARY}"},
        {"pem": f"-----BEGIN {PEM}\n{CANARY}\n-----END {PEM}"},
        {"api_token": CANARY},
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_a_secret_never_reaches_a_line(fields: dict[str, object], form: str) -> None:
    log = Log(form=form)
    structlog.get_logger("x").warning("something happened", **fields)
    assert "something happened" in log.text
    assert CANARY not in log.text


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_remembered_secret_is_masked_wherever_it_turns_up(form: str) -> None:
    log = Log(form=form)
    log.redactor.remember(Secret(CANARY))
    structlog.get_logger("x").warning(f"odd {CANARY}", where=[f"x{CANARY}y"])
    logging.getLogger("library").warning("failed with %s", CANARY)
    try:
        fail(RuntimeError(CANARY))
    except RuntimeError:
        structlog.get_logger("x").exception("bug")
    assert CANARY not in log.text
    assert "RuntimeError" in log.text


def test_ordinary_words_stay_readable() -> None:
    log = Log()
    log.redactor.remember("guest")  # too short to be masked: it would eat ordinary words
    sentence = "the guest's password: no entry 'password' in Secret shop/rabbit, at https://rabbit:15671/api"
    structlog.get_logger("x").info(sentence, secret="shop/rabbit", tries=3)
    assert log.last["msg"] == sentence
    assert log.last["secret"] == "shop/rabbit"
    assert log.last["tries"] == 3
