"""Credentials that change and users that several Brokers share, met by real clients: who gets in, who does not."""

from tests.harness.amqp import Client, opens
from tests.harness.kubeapi import Object
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

ROTATE = "channel-operator.dev/rotate"


def tls_secret(world: World, namespace: str, name: str) -> Object:
    """Return a Secret with a certificate for this name, as cert-manager would write it."""
    pair = world.lab.ca.issue(name)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "client-tls", "namespace": namespace},
        "stringData": {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem},
    }


BY_CERTIFICATE = {"authentication": {"type": "TLS", "certificateSecretRef": {"name": "client-tls"}}}


def listed_queue(site: Site, team: str, name: str = "invoices") -> Object:
    return site.queue(team, name, producers=[{"name": "user"}], consumers=[{"name": "user"}])


def wait_username(site: Site, team: str, name: str) -> dict[str, str]:
    def found() -> dict[str, str] | None:
        binding = site.binding(team, "user")
        return binding if binding["username"] == name else None

    return wait_until(found, f"the binding names {name}", describe=site.cluster.evidence)


def test_an_open_consumer_survives_a_rotation_and_the_old_password_ends_after_the_overlap(site: Site) -> None:
    team = site.namespace("team")
    rotation = {"every": "1h", "overlap": "6s"}
    site.cluster.apply(site.user(team, "user", rotation=rotation), listed_queue(site, team))
    site.cluster.wait_ready("Queue", team, "invoices")
    site.cluster.wait_ready("BrokerUser", team, "user")
    first = site.binding(team, "user")
    assert first["username"] == f"{team}.user_a"
    with Client(first) as old:
        _, arrived = old.consume(f"{team}.invoices")
        site.cluster.annotate("BrokerUser", team, "user", {ROTATE: "1"})
        second = wait_username(site, team, f"{team}.user_b")
        with Client(second) as new:
            new.publish(f"{team}.invoices_in", "after")

        def came() -> bool:
            old.pump()
            return arrived == ["after"]

        wait_until(came, "the old connection still receives", describe=site.cluster.evidence)
    site.cluster.wait_event(team, "user", "CredentialsRotated")
    wait_until(lambda: not opens(first), "the old password is refused", describe=site.cluster.evidence)
    assert opens(second)
    assert set(site.permissions()) == {f"{team}.user_b"}
    status = site.cluster.wait_ready("BrokerUser", team, "user")["status"]
    assert status["username"] == f"{team}.user_b"


def test_the_annotation_replaces_a_password_at_once_and_open_connections_stay(site: Site) -> None:
    team = site.namespace("team")
    site.cluster.apply(site.user(team, "user"), listed_queue(site, team))
    site.cluster.wait_ready("Queue", team, "invoices")
    site.cluster.wait_ready("BrokerUser", team, "user")
    first = site.binding(team, "user")
    with Client(first) as old:
        site.cluster.annotate("BrokerUser", team, "user", {ROTATE: "1"})
        wait_until(
            lambda: site.binding(team, "user")["password"] != first["password"],
            "the binding has another password",
            describe=site.cluster.evidence,
        )
        old.publish(f"{team}.invoices_in", "still here")
    assert opens(site.binding(team, "user"))
    assert not opens(first)
    assert not opens({**first, "password": ""})


def test_a_certificate_lets_its_user_in_and_a_certificate_of_another_name_takes_its_place(
    world: World, site: Site
) -> None:
    team = site.namespace("team")
    site.cluster.apply(
        tls_secret(world, team, f"{team}.robot"),
        site.user(team, "user", **BY_CERTIFICATE),
        site.user(team, "other"),
        listed_queue(site, team),
        site.queue(team, "others", consumers=[{"name": "other"}]),
    )
    for kind, name in (("Queue", "invoices"), ("Queue", "others"), ("BrokerUser", "user")):
        site.cluster.wait_ready(kind, team, name)
    first = site.binding(team, "user")
    assert first["username"] == f"{team}.robot"
    assert "password" not in first
    with Client(first) as client:
        client.publish(f"{team}.invoices_in", "hello")
        assert client.receive(f"{team}.invoices") == ["hello"]
        assert client.try_get(f"{team}.others") == "ACCESS_REFUSED"
        assert client.try_publish(f"{team}.others_in") == "ACCESS_REFUSED"
        assert client.try_publish("", f"{team}.invoices") == "ACCESS_REFUSED"
    assert not opens({**first, "password": ""})

    site.cluster.apply(tls_secret(world, team, f"{team}.android"))
    site.cluster.look_now(team, "user", kind="BrokerUser")
    second = wait_username(site, team, f"{team}.android")
    assert opens(second)
    wait_until(lambda: not opens(first), "the former certificate is refused", describe=site.cluster.evidence)

    site.cluster.apply(tls_secret(world, team, "finance.robot"))
    site.cluster.look_now(team, "user", kind="BrokerUser")
    site.cluster.wait_reason("BrokerUser", team, "user", "NameNotAllowed")
    assert opens(second)


def test_two_brokers_on_one_cluster_share_its_users_and_neither_takes_one_of_the_others(world: World) -> None:
    free = {"naming": {"physicalName": "Any"}}
    left, right = world.site(spec=free), world.site(spec=free)
    teams = left.namespace("left"), right.namespace("right")
    name = f"{teams[0]}.shared"
    cluster = left.cluster
    cluster.apply(left.user(teams[0], "user", username=name), listed_queue(left, teams[0]))
    cluster.apply(left.user(teams[0], "turning", rotation={"every": "1h", "overlap": "30m"}))
    for kind, which in (("BrokerUser", "user"), ("BrokerUser", "turning"), ("Queue", "invoices")):
        cluster.wait_ready(kind, teams[0], which)
    cluster.wait_older("BrokerUser", teams[0], "user")
    cluster.annotate("BrokerUser", teams[0], "turning", {ROTATE: "1"})
    cluster.wait_event(teams[0], "turning", "CredentialsRotated")
    cluster.apply(right.user(teams[1], "user", username=name), listed_queue(right, teams[1]))
    cluster.wait_reason("BrokerUser", teams[1], "user", "NameConflict")
    before = users_of(left, teams[0])
    assert set(before) == {name, f"{teams[0]}.turning_a", f"{teams[0]}.turning_b"}
    world.look(right)
    assert users_of(left, teams[0]) == before
    assert name not in right.permissions()
    assert opens(left.binding(teams[0], "user"))

    cluster.delete("BrokerUser", teams[1], "user")
    cluster.wait_gone("BrokerUser", teams[1], "user")
    world.look(right)
    assert users_of(left, teams[0]) == before
    assert opens(left.binding(teams[0], "user"))

    cluster.apply(right.user(teams[1], "user", username=name))
    cluster.wait_reason("BrokerUser", teams[1], "user", "NameConflict")
    cluster.delete("BrokerUser", teams[0], "user")
    cluster.wait_gone("BrokerUser", teams[0], "user")
    cluster.wait_ready("BrokerUser", teams[1], "user")
    assert opens(right.binding(teams[1], "user"))
    assert name not in left.permissions()


def users_of(site: Site, prefix: str) -> dict[str, Object]:
    """Return the cluster's users with this prefix, hashes and tags included."""
    return {one["name"]: one for one in site.rabbit("GET", "/api/users") if one["name"].startswith(f"{prefix}.")}
