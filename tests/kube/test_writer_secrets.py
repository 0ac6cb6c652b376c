"""Secrets and ConfigMaps on a real API server: what is ours is kept right, what is not is left alone."""

import base64
import json
from typing import Any

import pytest

from channel_operator.api.reasons import Reason
from channel_operator.core.model import Secret
from channel_operator.engine.ports import Conflict, Gone, Owner, SecretData
from channel_operator.errors import Blocked
from channel_operator.kube.client import KubeClient, path
from channel_operator.kube.secrets import KubeSecrets
from tests.kube.conftest import Kube
from tests.kube.connected import connected, delete_queue, eventually, make_queue

TYPE = "servicebinding.io/rabbitmq"


async def make_owner(client: KubeClient, namespace: str, name: str = "checkout") -> Owner:
    """Return an owner that exists: the garbage collector removes what belongs to nobody."""
    return Owner("Queue", name, (await make_queue(client, namespace, name))["metadata"]["uid"])


async def write(
    client: KubeClient,
    owner: Owner,
    namespace: str,
    password: str = "s3cret",
    *,
    type_: str = TYPE,
    expected: SecretData | None = None,
) -> SecretData:
    return await KubeSecrets(client).write_secret(
        namespace,
        "checkout-binding",
        type=type_,
        data={"username": "shop.checkout", "password": Secret(password)},
        labels={"team": "shop"},
        annotations={"note": "x"},
        owner=owner,
        expected=expected,
    )


async def test_a_secret_is_written_and_read_back_whole(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        written = await write(client, owner, namespace)
        read = await KubeSecrets(client).read_secret(namespace, "checkout-binding")
        assert read == written
        assert read.data == {"username": Secret("shop.checkout"), "password": Secret("s3cret")}
        assert (read.type, read.labels, read.annotations) == (TYPE, {"team": "shop"}, {"note": "x"})
        assert read.owner_uids == {owner.uid}
        stored = kube.get("secret", "checkout-binding", "-n", namespace)
        assert base64.b64decode(stored["data"]["password"]) == b"s3cret"
        assert "s3cret" not in repr(read)


async def test_what_is_not_there_is_none(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        assert await KubeSecrets(client).read_secret(namespace, "nothing") is None
        assert await KubeSecrets(client).read_config_map(namespace, "nothing") is None


async def test_an_update_replaces_entries_and_keeps_the_object(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        first = await write(client, owner, namespace)
        second = await write(client, owner, namespace, "n3w", expected=first)
        assert second.uid == first.uid
        assert second.data["password"] == Secret("n3w")


async def test_an_update_of_an_older_version_is_refused(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        first = await write(client, owner, namespace)
        await write(client, owner, namespace, "n3w", expected=first)
        with pytest.raises(Conflict):
            await write(client, owner, namespace, "late", expected=first)
        kube.kubectl("delete", "secret", "checkout-binding", "-n", namespace)
        with pytest.raises(Conflict):
            await write(client, owner, namespace, "later", expected=first)


async def test_a_changed_type_makes_the_secret_anew(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        first = await write(client, owner, namespace)
        second = await write(client, owner, namespace, type_="servicebinding.io/kafka", expected=first)
        assert second.type == "servicebinding.io/kafka"
        assert second.uid != first.uid


@pytest.mark.parametrize("known", [False, True])
async def test_somebody_elses_secret_is_never_touched(kube: Kube, namespace: str, *, known: bool) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        theirs = await write(client, await make_owner(client, namespace, "other"), namespace)
        with pytest.raises(Blocked) as refused:
            await write(client, owner, namespace, "ours", expected=theirs if known else None)
        assert refused.value.reason == Reason.SECRET_CONFLICT
        assert str(refused.value) == (
            f"Secret {namespace}/checkout-binding exists and does not belong to Queue checkout: delete it, or "
            "choose another name in spec.secret.name"
        )
        assert await KubeSecrets(client).read_secret(namespace, "checkout-binding") == theirs


async def test_our_own_secret_met_by_surprise_is_read_again_first(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        owner = await make_owner(client, namespace)
        await write(client, owner, namespace)
        with pytest.raises(Conflict):
            await write(client, owner, namespace, "n3w")


async def test_a_binary_entry_hurts_only_who_asks_for_it(kube: Kube, namespace: str) -> None:
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mixed", "namespace": namespace},
            "data": {
                "password": base64.b64encode(b"fine").decode(),
                "keystore": base64.b64encode(b"\xfe\xed").decode(),
            },
        }
    )
    async with connected(kube.kubeconfig) as client:
        read = await KubeSecrets(client).read_secret(namespace, "mixed")
        assert read is not None
        assert read.data["password"].reveal() == "fine"
        assert read.data != {"password": Secret("fine")}
        with pytest.raises(Blocked, match=f"entry 'keystore' of Secret {namespace}/mixed is not UTF-8 text") as refused:
            read.data["keystore"]
        assert refused.value.reason == Reason.CREDENTIALS_INVALID


async def test_a_config_map_gives_its_texts(kube: Kube, namespace: str) -> None:
    kube.kubectl("create", "configmap", "ca", "-n", namespace, "--from-literal=ca.crt=PEM")
    async with connected(kube.kubeconfig) as client:
        assert await KubeSecrets(client).read_config_map(namespace, "ca") == {"ca.crt": "PEM"}


@pytest.mark.parametrize("name", ["..", ".", "a/b", "%2e%2e", ""])
async def test_a_name_from_a_manifest_cannot_lead_elsewhere(kube: Kube, namespace: str, name: str) -> None:
    async with connected(kube.kubeconfig) as client:
        assert await KubeSecrets(client).read_secret(namespace, name) is None


async def test_a_namespace_that_is_going_takes_no_new_secret(kube: Kube) -> None:
    going = kube.namespace()
    holder: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "holder", "namespace": going, "finalizers": ["example.com/hold"]},
    }
    kube.apply(holder)
    kube.kubectl("delete", "namespace", going, "--wait=false")
    try:
        async with connected(kube.kubeconfig) as client:
            with pytest.raises(Gone, match="the namespace is being deleted"):
                await write(client, Owner("Queue", "gone", "6fa459ea-ee8a-3ca4-894e-db77e160355e"), going)
    finally:
        patch = json.dumps({"metadata": {"finalizers": None}})
        kube.kubectl("patch", "configmap", "holder", "-n", going, "--type=merge", "-p", patch)


async def test_a_binding_goes_with_its_owner(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        await write(client, await make_owner(client, namespace, "owner"), namespace)
        await delete_queue(client, namespace, "owner")
        name = ("get", "secret", "checkout-binding", "-n", namespace)
        # The collector learns of custom kinds every thirty seconds only.
        await eventually(lambda: kube.kubectl(*name).returncode != 0, seconds=150)
        with pytest.raises(Gone):
            await client.call("get", path("api/v1", namespace, "secrets", "checkout-binding"))
