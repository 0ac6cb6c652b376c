"""BrokerUsers that log in by certificate: whose name it is, what is issued, and what happens when it changes."""

import datetime as dt
from typing import Any

import pytest
from cryptography import x509

from channel_operator.brokers.rabbitmq.resources import NO_PASSWORD, Permission, User
from channel_operator.core.model import Key, Secret
from tests.engine.world import TAG, World, world
from tests.lab.tls import CertificateAuthority

CA = CertificateAuthority.create("clients")
TLS: dict[str, Any] = {"authentication": {"type": "TLS", "certificateSecretRef": {"name": "worker-tls"}}}
READS = "^(?:billing\\.(?:invoices))$"


def issue(w: World, name: str | x509.Name = "billing.worker", *, days: int = 90, **entries: str) -> str:
    """Put a certificate into the user's Secret, as cert-manager would; the fake clock begins in January 2026."""
    pair = CA.issue(name, (), valid=w.clock.now() + dt.timedelta(days=days) - dt.datetime.now(dt.UTC))
    w.kube.secret("billing", "worker-tls", **{"tls__crt": pair.cert_pem, "tls__key": pair.key_pem, **entries})
    return pair.cert_pem


async def settled(w: World, name: str = "billing.worker", *, broker: Any = None, **fields: Any) -> Key:
    w.make_broker(**(broker or {}))
    issue(w, name)
    user = w.make_user("worker", **TLS, **fields)
    w.make_queue("invoices", consumers=[{"name": "worker"}])
    await w.start()
    await w.advance(10)
    return user


def reads(w: World) -> set[str]:
    return {r.user for r in w.broker.resources.values() if isinstance(r, Permission) and r.read == READS}


async def test_the_user_is_named_by_its_certificate_and_has_no_password() -> None:
    async with world() as w:
        user = await settled(w, "billing.the-worker")
        assert w.ready(user)
        made = w.user("billing.the-worker")
        assert made == User("billing.the-worker", (TAG,), None, NO_PASSWORD)
        assert w.kube.status(user)["username"] == "billing.the-worker"
        assert reads(w) == w.names("User") == {"billing.the-worker"}
        entries = w.kube.entries("billing", "worker-binding")
        pair = w.kube.entries("billing", "worker-tls")
        assert entries["username"] == "billing.the-worker"
        assert (entries["tls.crt"], entries["private-key"]) == (pair["tls.crt"], pair["tls.key"])
        assert "password" not in entries


async def test_a_renewed_certificate_of_the_same_name_reaches_the_binding_and_changes_no_user() -> None:
    async with world() as w:
        user = await settled(w)
        w.broker.writes.clear()
        renewed = issue(w)
        await w.advance(3 * 3600, step=60)  # a quarter of an hour on average
        assert w.kube.entries("billing", "worker-binding")["tls.crt"] == renewed
        assert w.broker.writes == []
        assert w.kube.told(user).count("CredentialsRotated") == 1
        again = issue(w)
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(5)
        assert w.kube.entries("billing", "worker-binding")["tls.crt"] == again
        assert w.ready(user)


async def test_a_certificate_of_another_name_makes_another_user_before_the_former_one_goes() -> None:
    async with world() as w:
        user = await settled(w)
        w.broker.writes.clear()
        issue(w, "billing.renamed")
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        assert w.kube.entries("billing", "worker-binding")["username"] == "billing.renamed"
        assert reads(w) == w.names("User") == {"billing.renamed"}
        order = [(str(change.action), change.id.path[0]) for change in w.broker.writes if change.id.kind == "User"]
        assert order == [("create", "billing.renamed"), ("delete", "billing.worker")]
        assert w.kube.status(user)["username"] == "billing.renamed"
        assert w.ready(user)


async def test_a_former_certificates_user_goes_although_the_operator_ends_in_between() -> None:
    async with world() as w:
        user = await settled(w)
        former = dict(w.broker.resources)
        issue(w, "billing.renamed")
        w.kube.annotate(user, reconcile_at="1")
        await w.advance(10)
        await w.crash()
        w.broker.resources.update(former)  # as if it had ended before the last write
        await w.start()
        await w.advance(400)
        assert w.names("User") == {"billing.renamed"}


async def test_a_certificate_that_takes_a_name_of_somebody_else_changes_nothing() -> None:
    async with world() as w:
        user = await settled(w)
        other = w.make_user("other")
        await w.settle()
        theirs = w.user("billing.other")
        for name, reason in (("billing.other", "NameConflict"), ("shop.checkout", "NameNotAllowed")):
            issue(w, name)
            w.kube.annotate(user, reconcile_at=name)
            await w.advance(10)
            assert w.kube.condition(user) == ("False", reason)
            assert "spec.authentication.certificateSecretRef" in w.kube.message(user)
            assert w.user("billing.other") == theirs
            assert w.names("User") == {"billing.worker", "billing.other"}
        assert w.ready(other)
        issue(w)
        w.kube.annotate(user, reconcile_at="back")
        await w.advance(10)
        assert w.ready(user)
        assert reads(w) == {"billing.worker"}


@pytest.mark.parametrize(
    ("name", "days", "entries", "said"),
    [
        ("billing.worker", -1, {}, "holds a certificate that ended at "),
        ("billing.worker", 90, {"tls__crt": "no certificate"}, "holds no certificate and private key in PEM form"),
        (
            "billing.worker",
            90,
            {"tls__key": CA.issue("x").key_pem},
            "holds a private key that is not the certificate's",
        ),
        ("billing.worker", 90, {"tls__key": ""}, 'has no key "tls.key", or an empty one'),
        (x509.Name([]), 90, {}, "subject has no common name (CN)"),
    ],
)
@pytest.mark.parametrize("later", [True, False])
async def test_a_certificate_that_cannot_be_used_is_named_and_takes_nothing_away(
    name: str | x509.Name, days: int, entries: dict[str, str], said: str, *, later: bool
) -> None:
    async with world() as w:
        if later:
            user = await settled(w)
            before = dict(w.broker.resources)
            issue(w, name, days=days, **entries)
            w.kube.annotate(user, reconcile_at="1")
            await w.advance(10)
        else:
            w.make_broker()
            issue(w, name, days=days, **entries)
            user = w.make_user("worker", **TLS)
            before = {}
            await w.start()
            await w.advance(10)
        assert w.kube.condition(user) == ("False", "CredentialsInvalid")
        assert w.kube.message(user).count("spec.authentication.certificateSecretRef") == 1
        assert said in w.kube.message(user)
        assert w.broker.resources == before
        await w.restart()
        assert w.broker.resources == before
        issue(w)
        w.kube.annotate(user, reconcile_at="2")
        await w.advance(30)
        assert w.ready(user)


async def test_a_certificate_that_is_not_there_yet_is_awaited() -> None:
    async with world() as w:
        w.make_broker()
        user = w.make_user("worker", **TLS)
        queue = w.make_queue("invoices", consumers=[{"name": "worker"}])
        await w.start()
        await w.advance(10)
        assert w.kube.condition(user) == ("Unknown", "RefNotFound")
        assert w.kube.status(queue)["grants"][0]["state"] == "Missing"
        issue(w)
        await w.advance(60)
        assert w.ready(user, queue)
        assert w.kube.status(queue)["grants"][0]["state"] == "Granted"
        assert reads(w) == {"billing.worker"}


async def test_a_restart_reads_no_certificate_and_takes_no_right() -> None:
    async with world(secrets_sweep=1e9) as w:
        user = await settled(w)
        await w.crash()
        del w.kube.secrets["billing", "worker-tls"]
        w.broker.writes.clear()
        reads_before = w.kube.secret_reads
        await w.start()
        await w.advance(10)
        assert w.kube.secret_reads == reads_before + 1  # the Broker's own
        assert w.broker.writes == []
        assert w.ready(user)


async def test_a_user_whose_name_nothing_says_any_more_is_no_left_over() -> None:
    async with world(secrets_sweep=1e9) as w:
        user = await settled(w)
        await w.crash()
        w.kube.status(user).pop("username")
        certificate = w.kube.secrets.pop(("billing", "worker-tls"))
        await w.start()
        await w.advance(700)
        assert w.names("User") == {"billing.worker"}
        w.kube.secrets["billing", "worker-tls"] = certificate
        await w.advance(60)
        assert w.ready(user)
        assert reads(w) == {"billing.worker"}


async def test_a_status_that_was_forged_takes_nothing_from_another_user() -> None:
    async with world() as w:
        user = await settled(w)
        w.make_user("other")
        await w.settle()
        theirs = w.user("billing.other")
        await w.crash()
        w.kube.status(user)["username"] = "billing.other"
        await w.start()
        await w.advance(1000)
        assert w.user("billing.other") == theirs
        assert reads(w) == {"billing.worker"}


async def test_a_certificate_user_made_anew_by_hand_with_a_password_loses_it() -> None:
    async with world() as w:
        user = await settled(w)
        w.put(User("billing.worker", (TAG,), Secret("let-me-in")))
        await w.advance(400)
        assert w.user("billing.worker") == User("billing.worker", (TAG,), None, NO_PASSWORD)
        assert w.kube.told(user)[-1] == "DriftCorrected"


async def test_deleting_the_manifest_removes_the_user_that_the_certificate_named() -> None:
    async with world() as w:
        user = await settled(w, "billing.the-worker")
        w.kube.delete(user)
        await w.advance(10)
        assert w.names("User") == set()
        assert user not in w.kube.objects


@pytest.mark.parametrize(
    ("stated", "ready"), [({"username": "billing.worker"}, True), ({"username": "billing.other"}, False)]
)
async def test_a_stated_username_must_be_what_the_certificate_says(stated: dict[str, str], *, ready: bool) -> None:
    async with world() as w:
        user = await settled(w, **stated)
        assert w.ready(user) is ready
        if not ready:
            assert w.kube.condition(user) == ("False", "NameNotAllowed")
            assert w.names("User") == set()


async def test_an_adopted_certificate_user_keeps_itself_and_loses_its_grants() -> None:
    async with world() as w:
        w.put(User("billing.worker", (), None, NO_PASSWORD))
        user = await settled(w, broker={"adoptableUsers": ["billing.worker"]})
        assert w.kube.status(user)["origin"] == "Adopted"
        assert reads(w) == {"billing.worker"}
        w.kube.delete(user)
        await w.advance(10)
        assert w.names("User") == {"billing.worker"}
        assert reads(w) == set()
