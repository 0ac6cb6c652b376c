"""What answers in RabbitMQ's place is never taken for an empty broker."""

from collections.abc import Mapping
from typing import Any

import pytest

from channel_operator.brokers.rabbitmq.http import Answer, _decode
from channel_operator.brokers.rabbitmq.observe import observe_all
from channel_operator.errors import Unreachable

GOOD: Mapping[str, Any] = {
    "definitions": {"queues": [], "exchanges": [], "bindings": [], "policies": []},
    "users": [],
    "permissions": [],
}


class Client:
    """Gives prepared answers."""

    vhost = "/"
    where = "RabbitMQ at https://rabbitmq:15671 (Broker messaging/main)"

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    async def get(self, operation: str, target: str, **_: Any) -> Answer:
        assert target
        return Answer(200, self._answers[operation])


async def test_an_empty_broker_is_empty() -> None:
    assert (await observe_all(Client(GOOD))).resources == {}  # type: ignore[arg-type]  # answers as the real one


@pytest.mark.parametrize("odd", [None, 7, "no", {}, {"queues": []}, {"queues": {}, "exchanges": [], "bindings": []}])
@pytest.mark.parametrize("which", GOOD)
async def test_an_answer_of_another_shape_is_none(which: str, odd: Any) -> None:
    with pytest.raises(Unreachable, match="not RabbitMQ's"):
        await observe_all(Client({**GOOD, which: odd}))  # type: ignore[arg-type]  # answers as the real one


def test_an_answer_without_end_to_its_depth_is_no_json() -> None:
    with pytest.raises(Unreachable, match="not JSON"):
        _decode(b"[" * 200_000, "RabbitMQ")
