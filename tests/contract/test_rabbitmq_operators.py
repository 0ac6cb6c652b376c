"""Two operators with ids of their own at one virtual host: neither touches a user of the other's."""

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.brokers.rabbitmq.resources import User, permission_id, user_id
from channel_operator.core.model import Action, Change, Key, Secret
from channel_operator.errors import Blocked
from tests.contract.targets import RabbitMQTarget, Scene
from tests.unit.rabbitmq.samples import resolved_user


@pytest.mark.parametrize("marks", [("other",), ("other", "own")])
async def test_a_user_of_another_operator_is_neither_written_nor_deleted_nor_left_over(
    place: RabbitMQTarget, marks: tuple[str, ...]
) -> None:
    """Also where somebody gave it the marks of both: each operator would take it from the other for ever."""
    other = RabbitMQTarget(place.rabbitmq, f"{place.operator_id}-2", vhost=place.vhost)
    try:
        scene = Scene(other, await other.session.probe())
        theirs = resolved_user(f"{place.prefix}.u", "theirs")
        await scene.settle(theirs)
        about = f"/api/users/{theirs.subject.name}"
        found = place.api("GET", about)
        ids = {"other": other.operator_id, "own": place.operator_id}
        tags = ",".join(f"channel-operator-{ids[mark]}" for mark in marks)
        hashes = {name: found[name] for name in ("password_hash", "hashing_algorithm")}
        place.api("PUT", about, {**hashes, "tags": tags})
        before = place.api("GET", about)

        picture = (await place.session.observe(None)).resources
        rid = user_id(theirs.subject.name)
        assert rid in picture
        assert place.driver.leftovers(picture) == []
        owners = frozenset[Key]()
        mine = User(theirs.subject.name, (f"channel-operator-{place.operator_id}",), Secret("mine"))
        changes = [
            Change(rid, Action.UPDATE, mine, picture[rid], owners, 0),
            Change(permission_id(theirs.subject.name), Action.DELETE, None, None, owners, 4, narrows=True),
            Change(rid, Action.DELETE, None, picture[rid], owners, 5, narrows=True),
        ]
        outcomes = [(await place.session.apply([change]))[0] for change in changes]
        assert isinstance(outcomes[0].error, Blocked)
        assert outcomes[0].error.reason is Reason.ADOPTION_REFUSED
        assert [outcome.kept for outcome in outcomes[1:]] == [True, True]
        assert place.api("GET", about) == before
        with other.client(theirs) as client:
            assert client.connection.is_open
    finally:
        await other.session.close()
