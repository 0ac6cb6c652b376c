"""What the binding Secret of a BrokerUser should hold: name, content, and the digest of it. Pure; writes nothing."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.brokers.base import Driver
from channel_operator.core.accepted import Credential, Login, ResolvedUser
from channel_operator.core.model import Key, Secret
from channel_operator.core.rotation import PLAIN, slot_of

__all__ = ["BindingContent", "binding_content", "digest_of", "secret_name"]

Render = Callable[[Credential], Mapping[str, str]]


def secret_name(key: Key, spec: BrokerUserSpec) -> str:
    """Return the name of a user's binding Secret."""
    return spec.secret.name if spec.secret is not None and spec.secret.name else f"{key.name}-binding"


@dataclass(slots=True)
class BindingContent:
    """A binding Secret as it should be. `render` puts the credential of this `slot` in; `digest` names all else.

    `username`: the native user that it names.
    """

    type: str
    render: Render
    digest: str
    slot: str
    username: str


def binding_content(
    driver: Driver, resolved: ResolvedUser, login: Login, entries: Sequence[Mapping[str, Any]], ca: str | None
) -> BindingContent:
    """Return the Secret that names this login. `entries`: what the user may use, for `channels.json`."""

    def render(credential: Credential) -> dict[str, str]:
        return dict(driver.binding(login.name, credential, channels=entries, ca=ca))

    blank = Credential(certificate="", private_key=Secret("")) if login.by_certificate else Credential(Secret(""))
    content = render(blank)
    slot = PLAIN if login.by_certificate else slot_of(resolved.subject.name, login.name) or PLAIN
    secret = resolved.spec.secret
    metadata = [dict(secret.labels or {}), dict(secret.annotations or {})] if secret is not None else []
    return BindingContent(
        f"servicebinding.io/{content['type']}", render, digest_of([content, metadata]), slot, login.name
    )


def digest_of(value: Any) -> str:
    """Return a short name for a JSON value: equal values, equal names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
