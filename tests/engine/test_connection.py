"""What a Broker refers to: credentials, client certificate, authority; each fault names field, Secret and key."""

from typing import Any

import pytest

from channel_operator.api.meta import Kind
from channel_operator.core.model import Secret
from channel_operator.engine.clock import FakeClock
from channel_operator.engine.connection import Addresses, read_connection
from channel_operator.errors import Blocked
from tests.engine.kubestub import KubeStub
from tests.unit.core.samples import broker, manifest

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


async def read(kube: KubeStub, **fields: Any) -> Any:
    found = broker(credentials={"passwordSecretRef": {"name": "login"}, **fields.pop("more", {})}, **fields)
    addresses = Addresses(frozenset({"10.0.0.1"}), only=True)
    return await read_connection(found, kube, operator_id="op", addresses=addresses)


def server() -> KubeStub:
    kube = KubeStub(FakeClock())
    kube.secret("messaging", "login", username="operator", password="hush")
    return kube


async def test_everything_that_a_session_needs_is_read() -> None:
    kube = server()
    kube.secret("messaging", "client", tls__crt=PEM, tls__key="a key")
    kube.secret("messaging", "authority", ca__crt=PEM)
    found = await read(
        kube, more={"certificateSecretRef": {"name": "client"}}, tls={"caRef": {"kind": "Secret", "name": "authority"}}
    )
    assert (found.name, found.username, found.password) == ("messaging/main", "operator", Secret("hush"))
    assert (found.certificate, found.private_key, found.ca) == (PEM, Secret("a key"), PEM)
    assert (found.allowed_hosts, found.only_allowed_hosts, found.operator_id) == ({"10.0.0.1"}, True, "op")
    assert "hush" not in repr(found)
    assert "a key" not in repr(found)


async def test_an_authority_may_be_in_a_config_map_under_any_key() -> None:
    kube = server()
    kube.config_maps["messaging", "authority"] = {"bundle": PEM}
    found = await read(kube, tls={"caRef": {"kind": "ConfigMap", "name": "authority", "key": "bundle"}})
    assert found.ca == PEM


async def test_without_an_authority_those_of_the_system_count() -> None:
    assert (await read(server())).ca is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"tls": {"caRef": {"kind": "ConfigMap", "name": "authority"}}},
            'spec.tls.caRef: there is no ConfigMap "messaging/authority". Create it; it is looked for once a minute.',
        ),
        (
            {"tls": {"caRef": {"kind": "Secret", "name": "authority"}}},
            'spec.tls.caRef: there is no Secret "messaging/authority". Create it; it is looked for once a minute.',
        ),
        (
            {"tls": {"caRef": {"kind": "Secret", "name": "login", "key": "password"}}},
            (
                'spec.tls.caRef: in Secret "messaging/login" the key "password" is not a certificate in PEM form. '
                "Put the certificate of the authority there."
            ),
        ),
        (
            {"tls": {"caRef": {"kind": "Secret", "name": "login", "key": "absent"}}},
            (
                'spec.tls.caRef: in Secret "messaging/login" there is no key "absent", or it is empty. '
                "Put the certificate of the authority there."
            ),
        ),
        (
            {"more": {"certificateSecretRef": {"name": "client"}}},
            (
                'spec.credentials.certificateSecretRef: there is no Secret "messaging/client". Create it; it is looked '
                "for once a minute."
            ),
        ),
        (
            {"more": {"certificateSecretRef": {"name": "login"}}},
            (
                'spec.credentials.certificateSecretRef: Secret "messaging/login" has no key "tls.crt" or it is empty. '
                "Add it."
            ),
        ),
    ],
    ids=["no-config-map", "no-authority", "no-pem", "no-entry", "no-certificate", "no-key"],
)
async def test_each_fault_names_what_is_wrong(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Blocked) as refused:
        await read(server(), **fields)
    assert str(refused.value) == said
    assert refused.value.reason == "CredentialsInvalid"
    assert refused.value.field == said.partition(":")[0]
    assert "hush" not in str(refused.value)


async def test_secrets_of_another_namespace_are_out_of_reach() -> None:
    kube = KubeStub(FakeClock())
    kube.secret("elsewhere", "login", username="operator", password="hush")
    with pytest.raises(Blocked, match='there is no Secret "messaging/login"'):
        await read(kube)


async def test_a_manifest_that_cannot_be_read_makes_no_connection() -> None:
    found = manifest(Kind.BROKER, "main", "messaging", credentials={})
    with pytest.raises(Blocked):
        await read_connection(found, server(), operator_id="op", addresses=Addresses())
