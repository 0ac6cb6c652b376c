"""Secrets that can be recognised, planted everywhere: none comes out in logs, Events, status, metrics or traces."""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.collector import Collector
from tests.harness.install import ROOT
from tests.harness.kubeapi import Object
from tests.harness.metric_names import documented
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.promtool import promtool
from tests.lab.tls import CertificateAuthority

OWN = "canary-of-a-users-own-password"
WRONG = "canary-of-a-wrong-administrator-password"
CERTIFICATES = "channel_operator_certificate_expiry_timestamp_seconds"
KINDS = ("Broker", "BrokerUser", "Queue", "Topic", "Subscription")


def _secret(namespace: str, name: str, **entries: str) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": entries}


def _live_dangerously(world: World, site: Site, ca: CertificateAuthority) -> set[str]:
    """Make passwords of every kind and have things go wrong with each; return them."""
    shop = site.namespace("shop")
    by_certificate = ca.issue(f"{shop}.by-certificate")
    site.cluster.apply(
        _secret(shop, "own", password=OWN),
        _secret(site.home, "wrong", username=world.rabbitmq.admin_user, password=WRONG),
        site.user(shop, "generated"),
        site.user(shop, "own", passwordSecretRef={"name": "own"}),
        site.queue(shop, "orders", producers=[{"name": "generated"}], consumers=[{"name": "own"}, {"name": "nobody"}]),
        site.queue(shop, "refused", rabbitmq={"maxPriority": 5}),
        site.queue(shop, "watched", managementPolicy="Observe", consumers=[{"name": "own"}]),
        _secret(shop, "certificate", **{"tls.crt": by_certificate.cert_pem, "tls.key": by_certificate.key_pem}),
        site.user(
            shop,
            "by-certificate",
            authentication={"type": "TLS", "certificateSecretRef": {"name": "certificate"}},
        ),
    )
    for name in ("generated", "own", "by-certificate"):
        site.cluster.wait_ready("BrokerUser", shop, name)
    site.cluster.wait_ready("Queue", shop, "orders")
    site.cluster.wait_for("Queue", shop, "watched", _is_planned, "it says what would change")
    wrong = site.broker(credentials={"passwordSecretRef": {"name": "wrong"}})
    site.cluster.apply({**wrong, "metadata": {**wrong["metadata"], "name": "wrong"}})
    site.cluster.wait_reason("Broker", site.home, "wrong", "CredentialsInvalid")

    # A password changed at the broker, and one changed in its Secret.
    generated = site.binding(shop, "generated")["password"]
    tags = ",".join(site.rabbit("GET", f"/api/users/{shop}.generated")["tags"])
    site.rabbit("PUT", f"/api/users/{shop}.generated", {"password": f"{OWN}-at-the-broker", "tags": tags})
    site.cluster.apply(_secret(shop, "own", password=f"{OWN}-second"))
    for name in ("generated", "own"):
        site.cluster.look_now(shop, name, kind="BrokerUser")
    wait_until(lambda: site.binding(shop, "own")["password"] == f"{OWN}-second", "the new password is used")
    site.cluster.annotate("BrokerUser", shop, "generated", {"channel-operator.dev/rotate": "now"})
    wait_until(lambda: site.binding(shop, "generated")["password"] != generated, "there is another password")
    world.look(site)
    hashes = {one["password_hash"] for one in site.rabbit("GET", "/api/users") if one["password_hash"]}
    passwords = {OWN, WRONG, generated, site.binding(shop, "generated")["password"], world.rabbitmq.admin_password}
    keys = {by_certificate.key_pem.splitlines()[1], _log_in_with_a_certificate(world, site, ca)}
    return {*passwords, *hashes, *keys}


def _log_in_with_a_certificate(world: World, site: Site, ca: CertificateAuthority) -> str:
    """Give the Broker a client certificate and return a line of its private key."""
    certificate = ca.issue("operator")
    site.cluster.apply(
        _secret(site.home, "certificate", **{"tls.crt": certificate.cert_pem, "tls.key": certificate.key_pem}),
        site.broker(
            credentials={
                "passwordSecretRef": {"name": "rabbitmq-admin"},
                "certificateSecretRef": {"name": "certificate"},
            }
        ),
    )
    site.cluster.wait_ready("Broker", site.home, "main")
    world.look(site)
    return certificate.key_pem.splitlines()[1]


def _is_planned(found: Object) -> bool:
    return bool(found.get("status", {}).get("plan"))


def _scrape(world: World) -> str:
    """Return what Prometheus would read."""
    port = world.operator.metrics_port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _said(world: World) -> dict[str, str]:
    """Return everything the operator has said so far, by where."""
    cluster = world.cluster
    objects = [one for kind in KINDS for one in cluster.objects(kind)]
    shown = [{"metadata": {**one["metadata"], "managedFields": None}, "status": one.get("status")} for one in objects]
    return {
        "log": Path(world.operator.log).read_text(errors="replace"),
        "events": json.dumps(cluster.objects("Event")),
        "status and annotations": json.dumps(shown),
        "metrics": _scrape(world),
        "lease": json.dumps(cluster.get("Lease", world.installation.namespace, "channel-operator-0")),
        "annotations of Secrets": json.dumps([one["metadata"].get("annotations") for one in cluster.objects("Secret")]),
    }


def test_no_secret_comes_out_anywhere(world: World, make_world: Callable[..., World]) -> None:
    with Collector() as collector:
        settings = {"log_level": "debug", "tracing_endpoint": collector.url}
        talkative = make_world(rabbitmq=world.rabbitmq, settings=settings)
        secrets = _live_dangerously(talkative, talkative.site(), world.lab.ca)
        assert len(secrets) >= 8
        said = _said(talkative)
        talkative.operator.stop()
        # Whatever was left is sent at the end.
        said |= {"log": Path(talkative.operator.log).read_text(errors="replace"), "traces": collector.text()}
        assert collector.names() >= {"connect", "pass", "observe", "resolve", "diff", "apply", "report", "put_user"}
    assert all(said.values())
    assert '"level": "debug"' in said["log"]
    assert '"plan"' in said["status and annotations"]
    for where, text in said.items():
        for secret in secrets:
            assert secret not in text, f"a secret came out in {where}"
            assert json.dumps(secret)[1:-1] not in text, f"a secret came out in {where}"


def test_promtool_finds_nothing_wrong_with_what_prometheus_reads(world: World, site: Site) -> None:
    site.cluster.apply(site.queue(site.namespace("shop"), "orders"))
    world.look(site)
    text = _scrape(world)
    promtool("check", "metrics", text=text)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    named = {f"{name}_total" if one.type == "counter" else name for name, one in families.items()}
    assert named == set(documented())
    ends = [one.labels for one in families[CERTIFICATES].samples if one.labels["broker"] == f"{site.home}/main"]
    assert {labels["which"] for labels in ends} == {"management", "data", "ca"}
    assert {sample.labels["verb"] for sample in families["channel_operator_kube_request"].samples} >= {"list", "patch"}


def test_the_brokers_own_exporter_names_queues_as_the_page_on_metrics_says(world: World, site: Site) -> None:
    if world.rabbitmq.external:
        pytest.skip("where a RabbitMQ from outside serves its metrics is not known")
    page = (ROOT / "docs" / "operations.md").read_text()
    [path] = re.findall(r"`(/metrics/detailed\?\S+&vhost=)/`", page)
    names = set(re.findall(r"\brabbitmq_detailed_\w+", page))
    shop = site.namespace("shop")
    site.cluster.apply(site.queue(shop, "orders"))
    site.cluster.wait_ready("Queue", shop, "orders")
    url = f"https://localhost:{world.rabbitmq.prometheus_port}{path}{site.vhost}"

    def shown() -> bool:
        with urllib.request.urlopen(url, timeout=10, context=world.rabbitmq.client_context()) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        ours = {"vhost": site.vhost, "queue": f"{shop}.orders"}
        return {one.name for one in samples if ours.items() <= one.labels.items()} >= names

    assert len(names) == 2
    wait_until(shown, "RabbitMQ shows the queue's depth and consumers", describe=world.last_words)
