"""The chart's admission policies on a real API server: who may write what, and what they must leave alone."""

from collections.abc import Iterator

import pytest
import yaml

from tests.chart.conftest import CHART, Manifest, helm_on
from tests.harness.waiting import wait_until
from tests.lab.errors import LabError
from tests.lab.kubernetes import ControlPlane

API = "channel-operator.dev/v1alpha1"
OPERATOR = "system:serviceaccount:guarded:demo-channel-operator"
TESTER = "system:serviceaccount:guarded:demo-channel-operator-test"
RULES = ("physicalName", "deletionPolicy", "allowDataLoss", "brokers")

BEFORE = {"physicalName": "bound.chosen-before", "deletionPolicy": "Delete", "adoptionPolicy": "AllowDataLoss"}

RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: writes-everything}
rules:
- {apiGroups: [channel-operator.dev], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: writes-everything}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writes-everything}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "system:authenticated"}]
"""


def _queue(namespace: str, name: str, **spec: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": "Queue", "metadata": metadata, "spec": {"brokerRef": {"name": "main"}, **spec}}


def _user(namespace: str, **spec: str) -> Manifest:
    return {**_queue(namespace, "user", **spec), "kind": "BrokerUser"}


def _broker(namespace: str, url: str = "https://rabbitmq.example.com:15671") -> Manifest:
    return {
        "apiVersion": API,
        "kind": "Broker",
        "metadata": {"name": "main", "namespace": namespace},
        "spec": {
            "rabbitmq": {"managementUrls": [url], "clients": {"addresses": ["rabbitmq.example.com:5671"]}},
            "credentials": {"passwordSecretRef": {"name": "rabbitmq-admin"}},
        },
    }


@pytest.fixture(scope="module")
def guarded(cluster: ControlPlane, everywhere: str) -> Iterator[ControlPlane]:
    """Install every rule for the namespaces `free` (which may) and `bound`; something was there before."""
    assert everywhere  # it brings the CRDs
    for namespace in ("free", "bound", "outside", "guarded"):
        cluster.kubectl("create", "namespace", namespace)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    cluster.kubectl("apply", "-f", "-", stdin=RIGHTS)
    cluster.kubectl(
        "apply",
        "-f",
        "-",
        stdin=yaml.safe_dump_all([_queue("bound", "before", **BEFORE), _queue("bound", "plain"), _broker("bound")]),
    )
    values = ["crds.install=false", "rbac.aggregate=false", "watch.namespaces={free,bound}"]
    values += [f"admissionPolicies.{rule}.create=true" for rule in RULES]
    values += [f"admissionPolicies.{rule}.namespaces={{free}}" for rule in RULES[:3]]
    values += ["admissionPolicies.brokers.groups={platform}"]
    settings = [f"--set={value}" for value in values]
    helm_on(cluster, "install", "demo", CHART, "--namespace=guarded", *settings)
    for manifest in (
        _queue("bound", "q", physicalName="bound.x"),
        _queue("bound", "q", deletionPolicy="Delete"),
        _queue("bound", "q", adoptionPolicy="AllowDataLoss"),
        _user("bound", username="bound.x"),
        _broker("bound", "https://elsewhere.example.com:15671"),
    ):
        # The API server learns of a rule a moment after it was written.
        wait_until(lambda one=manifest: _refused(cluster, one), f"a rule for {manifest['kind']} holds")  # type: ignore[misc]  # binds this turn's value
    yield cluster
    helm_on(cluster, "uninstall", "demo", "--namespace=guarded")
    cluster.kubectl("delete", "clusterrolebinding/writes-everything", "clusterrole/writes-everything")


def _try(cluster: ControlPlane, manifest: Manifest, *who: str) -> str:
    """Apply as somebody, without effect. LabError with the API server's complaint."""
    options = ["--server-side", "--force-conflicts", "--dry-run=server"]
    return cluster.kubectl("apply", *options, *(who or ("--as=tenant",)), "-f", "-", stdin=yaml.safe_dump(manifest))


def _refused(cluster: ControlPlane, manifest: Manifest) -> bool:
    try:
        _try(cluster, manifest)
    except LabError:
        return True
    return False


CASES = [
    ("physicalName", {"physicalName": "{}.chosen"}, "spec.physicalName: only these namespaces may choose names"),
    ("Delete", {"deletionPolicy": "Delete"}, "spec.deletionPolicy: only these namespaces may have messages deleted"),
    ("AllowDataLoss", {"adoptionPolicy": "AllowDataLoss"}, "spec.adoptionPolicy: only these namespaces may take"),
]


@pytest.mark.parametrize(("spec", "complaint"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_field_is_for_the_listed_namespaces(guarded: ControlPlane, spec: dict[str, str], complaint: str) -> None:
    def filled(namespace: str) -> dict[str, str]:
        return {name: value.format(namespace) for name, value in spec.items()}

    with pytest.raises(LabError, match=f"{complaint}.*: free"):
        _try(guarded, _queue("bound", "q", **filled("bound")))
    if "physicalName" not in spec:  # which nobody can change
        with pytest.raises(LabError, match=complaint):
            _try(guarded, _queue("bound", "plain", **spec))
    for namespace in ("free", "outside"):
        assert "serverside-applied" in _try(guarded, _queue(namespace, "q", **filled(namespace)))


def test_a_users_own_name_is_for_the_listed_namespaces(guarded: ControlPlane) -> None:
    with pytest.raises(LabError, match=r"spec\.username: only these namespaces may choose names"):
        _try(guarded, _user("bound", username="bound.me"))
    assert _try(guarded, _user("bound"))
    assert _try(guarded, _user("free", username="free.me"))


def test_what_loses_nothing_is_for_everybody(guarded: ControlPlane) -> None:
    for spec in ({"deletionPolicy": "DeleteIfEmpty"}, {"deletionPolicy": "Retain"}, {"adoptionPolicy": "Never"}, {}):
        assert _try(guarded, _queue("bound", "q", **spec))


def test_what_was_there_before_the_rules_can_still_be_worked_on(guarded: ControlPlane) -> None:
    finalizer = '{"metadata": {"finalizers": ["channel-operator.dev/cleanup"]}}'
    for who in (OPERATOR, "tenant"):
        as_who = [f"--as={who}", "--dry-run=server", "--type=merge", "-p", finalizer]
        guarded.kubectl("patch", "queues.channel-operator.dev/before", "-n", "bound", *as_who)
    assert _try(guarded, _queue("bound", "before", **{**BEFORE, "deletionPolicy": "Retain"}))


def test_the_throwaway_queue_of_helm_test_may_go_with_its_message(guarded: ControlPlane) -> None:
    assert _try(guarded, _queue("bound", "q", deletionPolicy="Delete"), f"--as={TESTER}")


def test_brokers_are_written_by_the_listed_groups(guarded: ControlPlane) -> None:
    elsewhere = _broker("bound", "https://elsewhere.example.com:15671")
    new = {**elsewhere, "metadata": {"name": "new", "namespace": "bound"}}
    for manifest in (
        elsewhere,
        new,
        {**_broker("bound"), "metadata": {**elsewhere["metadata"], "annotations": {"a": "b"}}},
    ):
        with pytest.raises(LabError, match="only members of these groups may write Brokers: platform"):
            _try(guarded, manifest)
        assert _try(guarded, manifest, "--as=admin", "--as-group=platform", "--as-group=system:authenticated")
    assert _try(guarded, {**elsewhere, "metadata": {"name": "main", "namespace": "outside"}})


def test_the_operator_and_the_clusters_own_controllers_go_on_with_brokers(guarded: ControlPlane) -> None:
    broker, dry = "brokers.channel-operator.dev/main", ["-n", "bound", "--dry-run=server", "--type=merge", "-p"]
    owned = '{"metadata": {"finalizers": ["a.example.com/b"], "annotations": {"channel-operator.dev/owned": "{}"}}}'
    guarded.kubectl("patch", broker, *dry, owned, f"--as={OPERATOR}")
    guarded.kubectl("patch", broker, *dry, '{"metadata": {"finalizers": ["a.example.com/b"]}}', "--as=collector")
    status = ["--subresource=status", *dry, '{"status": {"observedGeneration": 1}}', f"--as={OPERATOR}"]
    guarded.kubectl("patch", broker, *status)
