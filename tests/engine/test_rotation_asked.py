"""A password replaced because an annotation asks for it: at once and once, or refused by name."""

from tests.engine.rotating import OVERLAP, ROTATION, login, opens, settled
from tests.engine.world import world


async def test_the_annotation_replaces_the_password_at_once_and_once() -> None:
    async with world() as w:
        user = await settled(w)
        first = login(w)
        w.kube.annotate(user, rotate="1")
        await w.advance(1)
        second = login(w)
        assert second[0] == first[0]
        assert opens(w, second)
        assert not opens(w, first)
        assert w.kube.told(user).count("CredentialsRotated") == 1
        await w.restart()
        await w.advance(1000)
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        assert login(w) == second
        w.kube.annotate(user, rotate="2")
        await w.advance(10)
        assert login(w) != second
        assert w.ready(user)


async def test_with_rotation_the_annotation_asks_for_the_next_slot_now() -> None:
    async with world() as w:
        user = await settled(w, rotation=ROTATION)
        first = login(w)
        w.kube.annotate(user, rotate="leaked")
        await w.advance(10)
        assert login(w)[0] == "billing.worker_b"
        assert opens(w, first)
        assert w.kube.told(user).count("CredentialsRotated") == 1
        await w.restart()
        await w.advance(OVERLAP + 60, step=60)
        assert w.names("User") == {"billing.worker_b"}


async def test_an_annotation_that_was_there_from_the_start_asks_for_nothing_more() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker", annotations={"channel-operator.dev/rotate": "1"})
        await w.start()
        first = login(w)
        await w.restart()
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(1000)
        assert login(w) == first
        assert "CredentialsRotated" not in w.kube.told(user)


async def test_the_annotation_is_refused_by_name_for_a_user_that_brings_its_own_password() -> None:
    async with world() as w:
        w.kube.secret("billing", "mine", password="chosen-by-the-team")
        user = await settled(w, passwordSecretRef={"name": "mine"})
        w.kube.annotate(user, rotate="1")
        await w.advance(10)
        assert w.kube.condition(user) == ("False", "InvalidSpec")
        assert "change the password in the Secret that spec.passwordSecretRef names" in w.kube.message(user)
        assert opens(w, ("billing.worker", "chosen-by-the-team"))
        w.kube.secret("billing", "mine", password="another-one-of-theirs")
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        assert opens(w, ("billing.worker", "another-one-of-theirs"))  # what it has goes on being kept
        w.kube.annotate(user, rotate=None)
        await w.advance(10)
        assert w.ready(user)
