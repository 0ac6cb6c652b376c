"""Reads what a Broker refers to (credentials, client certificate, CA) and makes a connection of it.

Decides whether they are usable, and says which Secret and which key is wrong. Same namespace only. Nothing is watched:
the loop reads again once a minute and when the broker refuses the credentials.
"""

from dataclasses import dataclass

from channel_operator.api.broker import BrokerSpec, CaSource
from channel_operator.api.reasons import Reason
from channel_operator.brokers.base import Connection
from channel_operator.core.model import Secret
from channel_operator.core.view import Manifest
from channel_operator.engine.ports import SecretData, SecretStore
from channel_operator.errors import Blocked

__all__ = ["Addresses", "read_connection"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which broker hosts may be reached."""

    allowed: frozenset[str] = frozenset()
    only: bool = False


async def _secret(store: SecretStore, namespace: str, name: str, field: str) -> SecretData:
    found = await store.read_secret(namespace, name)
    if found is None:
        raise _missing(CaSource.SECRET, namespace, name, field)
    return found


def _missing(kind: CaSource, namespace: str, name: str, field: str) -> Blocked:
    return Blocked(
        f'{field}: there is no {kind} "{namespace}/{name}". Create it; it is looked for once a minute.',
        reason=Reason.CREDENTIALS_INVALID,
        field=field,
    )


def _entry(secret: SecretData, namespace: str, name: str, key: str, field: str) -> Secret:
    value = secret.data.get(key)
    if value is None or not value.reveal().strip():
        raise Blocked(
            f'{field}: Secret "{namespace}/{name}" has no key "{key}" or it is empty. Add it.',
            reason=Reason.CREDENTIALS_INVALID,
            field=field,
        )
    return value


async def _authority(store: SecretStore, namespace: str, spec: BrokerSpec) -> str | None:
    ref = spec.tls.ca_ref
    if ref is None:
        return None
    field = "spec.tls.caRef"
    if ref.kind is CaSource.CONFIG_MAP:
        data = await store.read_config_map(namespace, ref.name)
        if data is None:
            raise _missing(ref.kind, namespace, ref.name, field)
        text = data.get(ref.key)
    else:
        secret = await _secret(store, namespace, ref.name, field)
        value = secret.data.get(ref.key)
        text = value.reveal() if value is not None else None
    if text and "-----BEGIN CERTIFICATE-----" in text:
        return text
    fault = (
        f'the key "{ref.key}" is not a certificate in PEM form'
        if text
        else f'there is no key "{ref.key}", or it is empty'
    )
    raise Blocked(
        f'{field}: in {ref.kind} "{namespace}/{ref.name}" {fault}. Put the certificate of the authority there.',
        reason=Reason.CREDENTIALS_INVALID,
        field=field,
    )


async def read_connection(
    manifest: Manifest, store: SecretStore, *, operator_id: str, addresses: Addresses
) -> Connection:
    """Read everything a session needs. Raises Blocked naming field, Secret and key; Unreachable."""
    spec = manifest.spec
    if not isinstance(spec, BrokerSpec):
        raise Blocked("the spec of the Broker cannot be read", reason=Reason.INVALID_SPEC)
    namespace = manifest.key.namespace
    username, password, certificate, private_key = "", None, None, None
    if spec.credentials.password_secret_ref is not None:
        name, field = spec.credentials.password_secret_ref.name, "spec.credentials.passwordSecretRef"
        secret = await _secret(store, namespace, name, field)
        username = _entry(secret, namespace, name, "username", field).reveal()
        password = _entry(secret, namespace, name, "password", field)
    if spec.credentials.certificate_secret_ref is not None:
        name, field = spec.credentials.certificate_secret_ref.name, "spec.credentials.certificateSecretRef"
        secret = await _secret(store, namespace, name, field)
        certificate = _entry(secret, namespace, name, "tls.crt", field).reveal()
        private_key = _entry(secret, namespace, name, "tls.key", field)
    return Connection(
        name=f"{namespace}/{manifest.key.name}",
        spec=spec,
        username=username,
        password=password,
        operator_id=operator_id,
        certificate=certificate,
        private_key=private_key,
        ca=await _authority(store, namespace, spec),
        allowed_hosts=addresses.allowed,
        only_allowed_hosts=addresses.only,
    )
