"""What users and tools see of the kinds on a real API server: defaults, columns, selection, stable applies, help."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from channel_operator.api.meta import API_VERSION, GROUP, PLURALS, Kind
from tests.kube.conftest import Kube
from tests.unit.api.cases import KAFKA, LOGIN, MINIMAL, RABBITMQ, B, Q, S, Spec, T, U, spec

FULL: dict[Kind, Spec] = {
    B: spec(B, allowedNamespaces={"from": "All"}, tls={"caRef": {"name": "ca"}}, naming={}, defaults={}, brake={}),
    U: spec(U, secret={"labels": {"team": "shop"}}, authentication={}),
    Q: spec(
        Q,
        retry={"maxDeliveries": 5},
        deadLetter={},
        messageTTL="24h",
        limits={"maxBytes": "512Mi"},
        producers=[{"name": "checkout", "namespace": "shop"}],
        consumers=[{"name": "invoice-worker"}],
        kafka={"config": {"max.message.bytes": "2097152"}, "resetConfig": ["segment.ms"]},
    ),
    T: spec(T, subscribers={}, retention={"bytes": 1048576}, producers=[{"name": "checkout"}]),
    S: spec(S, startFrom={}, filter={"routingKeys": ["order.*", "refund.#"]}, consumers=[{"name": "mailer"}]),
}


def manifest(kind: Kind, body: Spec, namespace: str, name: str = "x") -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": str(kind),
        "metadata": {"name": name, "namespace": namespace},
        "spec": body,
    }


def stored(kube: Kube, kind: Kind, body: Spec, namespace: str, name: str = "x") -> dict[str, Any]:
    done = kube.apply(manifest(kind, body, namespace, name))
    assert done.returncode == 0, done.stderr
    return kube.get(f"{PLURALS[kind]}.{GROUP}", name, "-n", namespace)


@pytest.mark.parametrize(
    ("kind", "stated", "expected"),
    [
        (U, MINIMAL[U], {}),
        (U, spec(U, authentication={}, secret={}), {"authentication": {"type": "Password"}, "secret": {}}),
        (Q, MINIMAL[Q], {"managementPolicy": "Full", "requireBrokerEnforcement": False, "ordering": "None"}),
        (T, MINIMAL[T], {"managementPolicy": "Full", "requireBrokerEnforcement": False, "compaction": "None"}),
        (S, MINIMAL[S], {"managementPolicy": "Full", "requireBrokerEnforcement": False, "ordering": "None"}),
        (B, MINIMAL[B], {"managementPolicy": "Full", "deletionTimeout": "10m", "resyncInterval": "5m"}),
        (
            B,
            {"kafka": KAFKA, "credentials": LOGIN, "defaults": {}, "brake": {}, "tls": {"caRef": {"name": "ca"}}},
            {
                "managementPolicy": "Full",
                "deletionTimeout": "10m",
                "resyncInterval": "5m",
                "kafka": {**KAFKA, "saslMechanism": "SCRAM-SHA-512"},
                "defaults": {
                    "deletionPolicy": "Retain",
                    "adoptionPolicy": "IfCompatible",
                    "partitions": 6,
                    "queueType": "Quorum",
                },
                "brake": {"maxDeletions": 10, "maxRevocations": 50, "window": "10m"},
                "tls": {"mode": "Verify", "caRef": {"kind": "Secret", "name": "ca", "key": "ca.crt"}},
            },
        ),
    ],
)
def test_only_static_defaults_are_filled_in(
    kube: Kube, namespace: str, kind: Kind, stated: Spec, expected: Spec
) -> None:
    found = stored(kube, kind, stated, namespace)["spec"]
    if "rabbitmq" in stated:
        rest = {"vhost": "/", "settings": "Arguments", "policyPriority": 100, "onRevoke": "CloseConnections"}
        expected = {**expected, "rabbitmq": {**RABBITMQ, **rest, "certificateLogin": "CommonName"}}
    assert found == {**stated, **expected}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_fresh_object_says_that_nobody_has_looked_at_it(kube: Kube, namespace: str, kind: Kind) -> None:
    assert stored(kube, kind, MINIMAL[kind], namespace)["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", list(Kind))
def test_applying_the_same_manifest_again_changes_nothing(kube: Kube, namespace: str, kind: Kind) -> None:
    first = stored(kube, kind, FULL[kind], namespace)
    versions = []
    for _ in range(3):
        again = stored(kube, kind, FULL[kind], namespace)
        assert again["metadata"]["generation"] == first["metadata"]["generation"]
        assert again["spec"] == first["spec"]
        versions.append(again["metadata"]["resourceVersion"])
    # The first repetition may write managedFields once; afterwards nothing is written at all.
    assert len(set(versions[1:])) == 1


@pytest.mark.parametrize("kind", list(Kind))
def test_client_side_apply_and_diff_agree_too(kube: Kube, namespace: str, kind: Kind) -> None:
    text = json.dumps(manifest(kind, FULL[kind], namespace))
    assert "created" in kube.kubectl("apply", "-f", "-", stdin=text).stdout
    assert "unchanged" in kube.kubectl("apply", "-f", "-", stdin=text).stdout
    diff = kube.kubectl("diff", "-f", "-", stdin=text)
    assert (diff.returncode, diff.stdout) == (0, "")


@pytest.mark.parametrize(("kind", "field"), [(U, "brokerRef"), (Q, "brokerRef"), (T, "brokerRef"), (S, "topicRef")])
def test_objects_are_selected_by_what_they_refer_to(kube: Kube, namespace: str, kind: Kind, field: str) -> None:
    for name in ("here", "there"):
        stored(kube, kind, {field: {"name": name}}, namespace, name)
    found = kube.get(f"{PLURALS[kind]}.{GROUP}", "-n", namespace, f"--field-selector=spec.{field}.name=here")
    assert [item["metadata"]["name"] for item in found["items"]] == ["here"]


STATUS: dict[str, Any] = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Programmed",
            "message": "The broker matches the manifest.",
            "lastTransitionTime": "2030-01-31T12:00:00Z",
            "observedGeneration": 1,
        }
    ],
}
CHANNEL_STATUS: dict[str, Any] = {
    **STATUS,
    "broker": "messaging/main",
    "address": {"name": "billing.x", "rabbitmq": {"vhost": "/", "exchange": "billing.x_in", "queues": ["billing.x"]}},
    "origin": "Created",
    "effective": {"deletionPolicy": "Retain"},
    "enforcement": [{"field": "spec.retry.maxDeliveries", "by": "Broker", "note": ""}],
    "grants": [{"user": "shop/checkout", "role": "Producer", "state": "Granted"}],
    "grantCount": 1,
    "plan": {"summary": "1 change not made", "changes": ["+ queue billing.x (quorum)"]},
}
STATUSES: dict[Kind, dict[str, Any]] = {
    B: {**STATUS, "product": "RabbitMQ", "version": "4.3.6", "channels": {"total": 7, "ready": 6, "drifted": 0}},
    U: {
        **STATUS,
        "broker": "messaging/main",
        "username": "billing.x",
        "binding": {"name": "x-binding"},
        "grantCount": 2,
        "permissionBytes": {"configure": 2, "write": 40, "read": 2},
    },
    Q: CHANNEL_STATUS,
    T: CHANNEL_STATUS,
    S: CHANNEL_STATUS,
}


@pytest.mark.parametrize("kind", list(Kind))
def test_kubectl_get_shows_what_matters(
    kube: Kube, namespace: str, kind: Kind, golden: Callable[[str, str], None]
) -> None:
    stored(kube, kind, MINIMAL[kind], namespace)
    fresh = kube.kubectl("get", f"{PLURALS[kind]}.{GROUP}", "-n", namespace)
    patch = json.dumps({"status": STATUSES[kind]})
    resource = f"{PLURALS[kind]}.{GROUP}"
    done = kube.kubectl("patch", resource, "x", "-n", namespace, "--subresource=status", "--type=merge", f"-p={patch}")
    assert done.returncode == 0, done.stderr
    assert kube.get(resource, "x", "-n", namespace)["status"] == STATUSES[kind]
    ready, wide = (kube.kubectl("get", resource, "-n", namespace, *more) for more in ((), ("-o", "wide")))
    text = "".join(f"{title}:\n{done.stdout}\n" for title, done in (("fresh", fresh), ("ready", ready), ("wide", wide)))
    # The age differs from run to run, and the width of its column with it.
    lines = [re.sub(r"\b\d+s( +|$)", "5s    ", line).rstrip() for line in text.splitlines()]
    golden(f"get-{PLURALS[kind]}.txt", "\n".join(lines) + "\n")


def test_all_kinds_are_listed_together_in_all_namespaces(kube: Kube, namespace: str) -> None:
    for kind in Kind:
        stored(kube, kind, MINIMAL[kind], namespace)
    shown = kube.kubectl("get", "channels", "-A", "--no-headers")
    names = [line.split()[1] for line in shown.stdout.splitlines() if line.startswith(namespace + " ")]
    assert sorted(names) == sorted(f"{kind.lower()}.{GROUP}/x" for kind in Kind)


@pytest.mark.parametrize(("short", "kind"), [("brk", B), ("bru", U), ("chq", Q), ("cht", T), ("chsub", S)])
def test_short_names_work(kube: Kube, namespace: str, short: str, kind: Kind) -> None:
    stored(kube, kind, MINIMAL[kind], namespace)
    assert kube.kubectl("get", short, "-n", namespace, "-o", "name").stdout == f"{kind.lower()}.{GROUP}/x\n"


def test_users_are_provisioned_services_for_service_binding(kube: Kube) -> None:
    found = kube.get("crd", "-l", "servicebinding.io/provisioned-service=true")
    assert [item["metadata"]["name"] for item in found["items"]] == [f"brokerusers.{GROUP}"]


@pytest.mark.parametrize("kind", list(Kind))
def test_explain_reads_well(kube: Kube, kind: Kind, golden: Callable[[str, str], None]) -> None:
    done = kube.kubectl("explain", f"{PLURALS[kind]}.spec", "--recursive=false", f"--api-version={API_VERSION}")
    assert done.returncode == 0, done.stderr
    assert "<empty>" not in done.stdout
    golden(f"explain-{PLURALS[kind]}.txt", done.stdout)


@pytest.mark.parametrize("kind", list(Kind))
def test_explain_of_every_field_has_a_text(kube: Kube, kind: Kind) -> None:
    for part in ("", ".spec", ".status"):
        done = kube.kubectl("explain", f"{PLURALS[kind]}{part}", f"--api-version={API_VERSION}")
        assert "<no description>" not in done.stdout
        assert "<empty>" not in done.stdout
