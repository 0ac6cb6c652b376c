"""Passwords and binding Secrets of users: made, taken from elsewhere, kept, mended, refused."""

import pytest

from channel_operator.core.model import Secret
from tests.engine.kubestub import Write
from tests.engine.world import MAIN, world


async def test_a_secret_that_belongs_to_something_else_is_not_touched_and_named() -> None:
    async with world() as w:
        w.make_broker()
        w.kube.secret("billing", "worker-binding", important="data")
        user = w.make_user("worker")
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(60)
        assert w.kube.condition(user) == ("False", "SecretConflict")
        assert 'a Secret "billing/worker-binding" exists' in w.kube.message(user)
        assert w.kube.entries("billing", "worker-binding") == {"important": "data"}
        assert "billing.worker" not in w.names("User")
        assert w.ready(queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "Missing"
        del w.kube.secrets["billing", "worker-binding"]
        await w.advance(30)
        assert w.ready(user, queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "Granted"


async def test_a_chosen_name_labels_and_annotations_reach_the_secret() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user(
            "worker", secret={"name": "login", "labels": {"team": "blue"}, "annotations": {"example.org/a": "b"}}
        )
        await w.start()
        made = w.kube.secrets["billing", "login"]
        assert made.labels["team"] == "blue"
        assert made.annotations["example.org/a"] == "b"
        assert made.type == "servicebinding.io/rabbitmq"
        w.kube.edit(user, secret={"name": "login", "labels": {"team": "red"}})
        await w.settle()
        assert w.kube.secrets["billing", "login"].labels == {"team": "red"}
        assert w.ready(user)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (None, "there is no such Secret"),
        ({"other": "x"}, 'it has no key "password", or an empty one'),
        ({"password": ""}, 'it has no key "password", or an empty one'),
    ],
)
async def test_a_password_that_cannot_be_taken_is_awaited_and_named(entries: dict[str, str] | None, said: str) -> None:
    async with world() as w:
        w.make_broker()
        if entries is not None:
            w.kube.secret("billing", "mine", **entries)
        user = w.make_user("worker", passwordSecretRef={"name": "mine"})
        await w.start()
        assert w.kube.condition(user) == ("Unknown", "RefNotFound")
        assert said in w.kube.message(user)
        assert 'spec.passwordSecretRef: no password in Secret "billing/mine"' in w.kube.message(user)
        assert "billing.worker" not in w.names("User")
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        await w.advance(30)
        assert w.ready(user)
        assert w.user("billing.worker").password == Secret("chosen-by-the-team")
        assert w.kube.entries("billing", "worker-binding")["password"] == "chosen-by-the-team"


@pytest.mark.parametrize("while_away", [False, True])
async def test_an_own_password_that_is_stated_later_is_taken_before_the_edit_is_reported(*, while_away: bool) -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        await w.advance(10)
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        if while_away:
            await w.crash()
        w.kube.edit(user, passwordSecretRef={"name": "mine"})
        if while_away:
            await w.start()
        await w.settle()
        assert w.ready(user)
        assert w.user("billing.worker").password == Secret("chosen-by-the-team")
        assert w.kube.entries("billing", "worker-binding")["password"] == "chosen-by-the-team"


@pytest.mark.parametrize("by", ["sweep", "annotation"])
async def test_a_changed_own_password_is_noticed(by: str) -> None:
    async with world(secrets_sweep=60.0) as w:
        w.make_broker()
        w.kube.secret("billing", "mine", password="first-password")
        user = w.make_user("worker", passwordSecretRef={"name": "mine"})
        await w.start()
        await w.advance(10)
        issued = w.kube.status(user)["credentials"]["issuedAt"]
        w.kube.secret("billing", "mine", password="second-password")
        if by == "annotation":
            w.kube.annotate(user, reconcile_at="now")
            await w.settle()
        else:
            await w.advance(130)
        assert w.user("billing.worker").password == Secret("second-password")
        assert w.kube.entries("billing", "worker-binding")["password"] == "second-password"
        assert w.kube.status(user)["credentials"]["issuedAt"] > issued
        assert w.ready(user)


async def test_a_deleted_binding_secret_is_made_again_and_the_password_changes_on_both_sides() -> None:
    async with world(secrets_sweep=60.0) as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        await w.advance(10)
        old = w.kube.entries("billing", "worker-binding")["password"]
        del w.kube.secrets["billing", "worker-binding"]
        await w.advance(130)
        new = w.kube.entries("billing", "worker-binding")["password"]
        assert new != old
        assert w.user("billing.worker").password == Secret(new)
        assert w.ready(user)


async def test_a_binding_secret_changed_by_hand_is_mended() -> None:
    async with world(secrets_sweep=60.0) as w:
        w.make_broker()
        w.make_user("worker")
        await w.start()
        await w.advance(10)
        made = w.kube.secrets["billing", "worker-binding"]
        w.kube.secrets["billing", "worker-binding"] = type(made)(
            made.uid,
            "9999",
            made.type,
            made.owner_uids,
            made.annotations,
            made.labels,
            {**made.data, "host": Secret("x")},
        )
        await w.advance(130)
        assert w.kube.entries("billing", "worker-binding")["host"] == "rabbitmq"
        assert w.kube.entries("billing", "worker-binding")["password"] == made.data["password"].reveal()


async def test_sweeps_over_secrets_that_are_well_write_nothing() -> None:
    async with world(secrets_sweep=60.0) as w:
        w.make_broker()
        for number in range(4):
            w.make_user(f"u{number}")
            w.make_queue(f"q{number}", consumers=[{"name": f"u{number}"}])
        await w.start()
        await w.advance(60)
        written, on_broker, reads = len(w.kube.writes), len(w.broker.writes), w.kube.secret_reads
        await w.advance(300)
        assert w.kube.secret_reads > reads + 4
        assert w.kube.writes[written:] == []
        assert w.broker.writes[on_broker:] == []


async def test_a_conflict_on_the_secret_is_tried_again() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker")
        await w.start()
        await w.advance(10)
        made = w.kube.secrets["billing", "worker-binding"]
        w.make_queue("invoices", consumers=[{"name": "worker"}])
        w.kube.secrets["billing", "worker-binding"] = type(made)(
            made.uid, "9999", made.type, made.owner_uids, made.annotations, made.labels, made.data
        )
        await w.advance(10)
        assert "invoices" in w.kube.entries("billing", "worker-binding")["channels.json"]
        assert w.ready(user)


async def test_a_changed_client_address_of_the_broker_reaches_every_secret_and_no_status() -> None:
    async with world() as w:
        w.make_broker()
        users = [w.make_user(f"u{number}") for number in range(3)]
        await w.start()
        await w.advance(10)
        written = len(w.kube.writes)
        w.kube.edit(
            MAIN, rabbitmq={"managementUrls": ["https://rabbitmq:15671"], "clients": {"addresses": ["other:5671"]}}
        )
        await w.advance(10)
        assert {w.kube.entries("billing", f"{user.name}-binding")["host"] for user in users} == {"other"}
        assert w.ready(*users)
        assert w.kube.written(written)[Write("secret", users[0])] == 1
