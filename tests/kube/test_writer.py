"""Writes to our own objects and the lists of them, on a real API server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes.aio.config import incluster_config

from channel_operator.api.meta import Kind
from channel_operator.engine.clock import SystemClock
from channel_operator.engine.ports import Conflict, Forbidden, Gone
from channel_operator.errors import Retry, Unreachable
from channel_operator.kube import writer as writer_module
from channel_operator.kube.client import KubeClient, Rejected, custom_path
from channel_operator.kube.events import EventPoster
from channel_operator.kube.login import Credentials, LoginError
from channel_operator.kube.writer import Writer
from tests.kube.conftest import Kube
from tests.kube.connected import FINALIZERS, Requests, connected, delete_queue, make_queue, queue_key, read_queue
from tests.lab.proxy import FaultProxy


def writer_for(client: KubeClient, *namespaces: str) -> Writer:
    return Writer(client, EventPoster(client, SystemClock(), instance="tests"), namespaces)


def guard(body: dict[str, Any]) -> dict[str, str]:
    return {"uid": body["metadata"]["uid"], "resource_version": body["metadata"]["resourceVersion"]}


async def test_a_claim_is_one_write_and_tells_its_version(kube: Kube, namespace: str) -> None:
    requests = Requests()
    async with connected(kube.kubeconfig, requests) as client:
        made = await make_queue(client, namespace)
        before = requests.total
        written = await writer_for(client).patch_metadata(
            queue_key(namespace), **guard(made), finalizers=FINALIZERS, annotations={"channel-operator.dev/owned": "x"}
        )
        assert requests.total == before + 1
        stored = (await read_queue(client, namespace))["metadata"]
        assert stored["finalizers"] == list(FINALIZERS)
        assert stored["annotations"] == {"channel-operator.dev/owned": "x"}
        assert stored["resourceVersion"] == written.resource_version
        await writer_for(client).patch_metadata(
            queue_key(namespace),
            uid=stored["uid"],
            resource_version=written.resource_version,
            finalizers=[],
            annotations={"channel-operator.dev/owned": None, "never-there": None},
        )
        stored = (await read_queue(client, namespace))["metadata"]
        assert "finalizers" not in stored
        assert not stored.get("annotations")


async def test_a_claim_of_an_older_version_is_refused_and_changes_nothing(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        made = await make_queue(client, namespace)
        kube.kubectl("annotate", "queues.channel-operator.dev", "invoices", "-n", namespace, "by=somebody")
        with pytest.raises(Conflict):
            await writer_for(client).patch_metadata(
                queue_key(namespace), **guard(made), finalizers=FINALIZERS, annotations=None
            )
        assert "finalizers" not in (await read_queue(client, namespace))["metadata"]


async def test_a_claim_never_lands_on_a_new_object_of_the_same_name(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        old = await make_queue(client, namespace)
        await delete_queue(client, namespace)
        with pytest.raises(Gone):
            await writer_for(client).patch_metadata(
                queue_key(namespace), **guard(old), finalizers=FINALIZERS, annotations=None
            )
        await make_queue(client, namespace)
        with pytest.raises(Conflict):
            await writer_for(client).patch_metadata(
                queue_key(namespace), **guard(old), finalizers=FINALIZERS, annotations=None
            )
        assert "finalizers" not in (await read_queue(client, namespace))["metadata"]


async def test_a_status_is_one_write_of_whole_fields_that_leaves_the_spec_alone(kube: Kube, namespace: str) -> None:
    requests = Requests()
    async with connected(kube.kubeconfig, requests) as client:
        made = await make_queue(client, namespace)
        writer, uid, key = writer_for(client), made["metadata"]["uid"], queue_key(namespace)
        address = {"name": "x", "rabbitmq": {"vhost": "/", "exchange": "x_in", "queues": ["x"]}}
        before = requests.total
        await writer.set_status(key, uid=uid, fields={"observedGeneration": 1, "origin": "Created", "address": address})
        written = await writer.set_status(
            key, uid=uid, fields={"origin": None, "address": {"name": "y", "rabbitmq": None}, "broker": None}
        )
        assert requests.total == before + 2
        stored = await read_queue(client, namespace)
        assert stored["status"] == {"observedGeneration": 1, "address": {"name": "y"}}
        assert stored["spec"] == made["spec"]
        assert stored["metadata"]["generation"] == 1
        assert stored["metadata"]["resourceVersion"] == written.resource_version


async def test_a_status_never_lands_on_a_new_object_of_the_same_name(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        old = await make_queue(client, namespace)
        await delete_queue(client, namespace)
        writer, uid = writer_for(client), old["metadata"]["uid"]
        with pytest.raises(Gone):
            await writer.set_status(queue_key(namespace), uid=uid, fields={"observedGeneration": 1})
        new = await make_queue(client, namespace)
        with pytest.raises(Gone):
            await writer.set_status(queue_key(namespace), uid=uid, fields={"observedGeneration": 1})
        assert (await read_queue(client, namespace))["status"] == new["status"]


async def test_a_status_against_the_schema_names_the_field(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        made = await make_queue(client, namespace)
        with pytest.raises(Rejected, match=r"status\.observedGeneration"):
            await writer_for(client).set_status(
                queue_key(namespace), uid=made["metadata"]["uid"], fields={"observedGeneration": "one"}
            )


async def test_lists_hold_every_object_on_every_page_with_its_kind(
    kube: Kube, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_PAGE", "2")
    async with connected(kube.kubeconfig) as client:
        names = {f"q{number}" for number in range(5)}
        await asyncio.gather(*(make_queue(client, namespace, name) for name in names))
        writer = writer_for(client)
        for bodies, whole in ((await writer.list_all(), True), (await writer.list_metadata(), False)):
            queues = [b for b in bodies if b["kind"] == "Queue" and b["metadata"]["namespace"] == namespace]
            assert {body["metadata"]["name"] for body in queues} == names
            assert {body["apiVersion"] for body in queues} == {"channel-operator.dev/v1alpha1"}
            assert all(("spec" in body) == whole for body in queues)
            spaces = {body["metadata"]["name"] for body in bodies if body["kind"] == "Namespace"}
            assert {namespace, "kube-system"} <= spaces


async def test_with_listed_namespaces_nothing_else_is_read(kube: Kube, namespace: str) -> None:
    other = kube.namespace()
    async with connected(kube.kubeconfig) as client:
        await make_queue(client, namespace)
        await make_queue(client, other)
        bodies = await writer_for(client, namespace, "not-there").list_all()
        assert {body["metadata"].get("namespace", body["metadata"]["name"]) for body in bodies} == {namespace}
        assert [body["kind"] for body in bodies] == ["Namespace", "Queue"]


async def test_missing_rights_are_named(kube: Kube, namespace: str, tmp_path: Path) -> None:
    kubeconfig = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    async with connected(kubeconfig) as client:
        with pytest.raises(Forbidden, match="the API server forbids the operator to list /api"):
            await writer_for(client).list_all()
        with pytest.raises(Forbidden, match=f"namespace {namespace} cannot be read: it does not exist, or"):
            # By itself: beside the other lists of a start, whichever is refused first would be told.
            await writer_for(client, namespace)._read_namespaces(metadata=False)


async def test_an_unknown_kind_says_that_the_definitions_are_missing(kube: Kube) -> None:
    async with connected(kube.kubeconfig) as client:
        writer = writer_for(client)
        with pytest.raises(Retry, match="install the CustomResourceDefinitions"):
            await writer._read_list("/apis/channel-operator.dev/v1/queues", "Queue", "v1", metadata=False)


async def test_an_api_server_that_is_away_or_silent_or_cut_off_is_unreachable(
    kube: Kube, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channel_operator.kube.client._READ_SECONDS", 1.0)
    monkeypatch.setattr("channel_operator.kube.client._CONNECT_SECONDS", 1.0)
    with FaultProxy("127.0.0.1", kube.control_plane.port) as proxy:
        url = f"https://127.0.0.1:{proxy.port}"
        account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig", url=url)
        async with connected(account) as client:
            read = custom_path(Kind.QUEUE, namespace)
            with pytest.raises(Forbidden):
                await client.call("list", read)
            proxy.black_hole()
            with pytest.raises(Unreachable, match="did not answer within 1 s"):
                await client.call("list", read)
            proxy.refuse()
            with pytest.raises(Unreachable, match="cannot be reached"):
                await client.call("list", read)
            proxy.forward()
            # One that has just started answers before it has read its roles.
            with pytest.raises(Retry, match="does not let the operator list /apis") as early:
                await client.call("list", read)
            assert not isinstance(early.value, Forbidden)
            monkeypatch.setattr("channel_operator.kube.client._STARTING_SECONDS", 0.0)
            with pytest.raises(Forbidden):
                await client.call("list", read)


async def test_an_untrusted_api_server_is_not_talked_to(kube: Kube, namespace: str, tmp_path: Path) -> None:
    account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    config = json.loads(kube.kubectl("config", "view", "--raw", "-o=json", f"--kubeconfig={account}").stdout)
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    account.write_text(json.dumps(config))
    async with connected(account) as client:
        with pytest.raises(Unreachable, match="its certificate is not trusted"):
            await client.call("list", custom_path(Kind.QUEUE, namespace))


async def test_a_token_that_was_replaced_on_disk_is_read_again(kube: Kube, namespace: str, tmp_path: Path) -> None:
    account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    good = account.read_text()
    config = json.loads(kube.kubectl("config", "view", "--raw", "-o=json", f"--kubeconfig={account}").stdout)
    config["users"][0]["user"]["token"] = "expired"
    account.write_text(json.dumps(config))
    async with connected(account) as client:
        account.write_text(good)
        with pytest.raises(Forbidden):  # known, and without rights: not 401
            await client.call("list", custom_path(Kind.QUEUE, namespace))


async def test_a_token_that_stays_refused_is_a_plain_sentence(kube: Kube, namespace: str, tmp_path: Path) -> None:
    account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    config = json.loads(kube.kubectl("config", "view", "--raw", "-o=json", f"--kubeconfig={account}").stdout)
    config["users"][0]["user"]["token"] = "n0t-a-t0ken"
    account.write_text(json.dumps(config))
    async with connected(account) as client:
        with pytest.raises(Retry, match="does not accept the operator's credentials") as refused:
            await client.call("list", custom_path(Kind.QUEUE, namespace))
        assert "n0t-a-t0ken" not in str(refused.value)


async def test_missing_credentials_say_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(LoginError, match=f"no usable credentials in kubeconfig {tmp_path}/nothing: there is no such"):
        await Credentials.load(kubeconfig=tmp_path / "nothing")


async def test_the_namespace_of_the_credentials_is_known(kube: Kube, namespace: str, tmp_path: Path) -> None:
    account = kube.control_plane.kubeconfig_for(namespace, "default", tmp_path / "kubeconfig")
    assert (await Credentials.load(kubeconfig=account)).namespace == namespace
    assert (await Credentials.load(kubeconfig=account, namespace="mine")).namespace == "mine"


async def test_in_a_pod_the_service_account_is_used_and_its_token_renewed(
    kube: Kube, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = kube.kubectl("create", "token", "default", "-n", namespace).stdout.strip()
    (tmp_path / "ca.crt").write_text(kube.control_plane.ca_pem)
    (tmp_path / "namespace").write_text(namespace)
    (tmp_path / "token").write_text("expired")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(kube.control_plane.port))
    monkeypatch.setattr("channel_operator.kube.login._SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    credentials = await Credentials.load()
    assert credentials.namespace == namespace
    client = KubeClient(credentials)
    (tmp_path / "token").write_text(token)
    with pytest.raises(Forbidden):  # known, and without rights: not 401
        await client.call("list", custom_path(Kind.QUEUE, namespace))
    await client.close()
