"""The cases of cases.py, continued: Broker, BrokerUser and who is admitted; all of them together."""

from typing import Final

from channel_operator.api.meta import Kind
from tests.unit.api.cases import CHANNEL_CASES, FORBIDDEN, KAFKA, LOGIN, REQUIRED, B, Case, Spec, T, U, spec


def _consent(kind: Kind, name: str) -> list[Case]:
    """Return what a list of admitted namespaces refuses."""
    message = "selector goes with from: Selector, and with nothing else"
    selector: Spec = {"matchLabels": {"team": "a"}}
    good = spec(kind, **{name: {"from": "Selector", "selector": selector}})

    def expression(operator: str, values: list[str] | None) -> Spec:
        one: Spec = {"key": "team", "operator": operator} | ({} if values is None else {"values": values})
        return spec(kind, **{name: {"from": "Selector", "selector": {"matchExpressions": [one]}}})

    where = f"{name}.selector.matchExpressions[0].values"
    values = "values belong to the operators In and NotIn, and to no other"
    return [
        Case(kind, f"{name}.selector", message, spec(kind, **{name: {"from": "Selector"}}), good),
        Case(kind, f"{name}.selector", message, spec(kind, **{name: {"selector": selector}}), good, id="Same"),
        Case(kind, where, values, expression("In", None), expression("In", ["a"])),
        Case(kind, where, values, expression("Exists", ["a"]), expression("Exists", None), id="Exists"),
    ]


ACCESS_CASES: Final = [
    *_consent(T, "subscribers"),
    *_consent(B, "allowedNamespaces"),
    Case(
        B,
        "rabbitmq",
        "state exactly one of rabbitmq and kafka",
        spec(B, kafka=KAFKA),
        {"kafka": KAFKA, "credentials": LOGIN},
        FORBIDDEN,
    ),
    Case(
        B,
        "rabbitmq",
        "state exactly one of rabbitmq and kafka",
        {"credentials": LOGIN},
        spec(B),
        FORBIDDEN,
        id="neither",
    ),
    Case(
        B,
        "rabbitmq.managementUrls",
        "an http URL needs tls.mode: Disabled; use https",
        spec(B, rabbitmq={"managementUrls": ["https://a:15671", "http://b:15672"]}),
        spec(B, rabbitmq={"managementUrls": ["http://b:15672"]}, tls={"mode": "Disabled"}),
        FORBIDDEN,
    ),
    Case(
        B,
        "credentials",
        "state passwordSecretRef, certificateSecretRef, or both",
        {"kafka": KAFKA, "credentials": {}},
        {"kafka": KAFKA, "credentials": {"certificateSecretRef": {"name": "tls"}}},
        REQUIRED,
    ),
    Case(
        B,
        "credentials.passwordSecretRef",
        "RabbitMQ's management API needs a password, also beside a client certificate",
        spec(B, credentials={"certificateSecretRef": {"name": "tls"}}),
        spec(B, credentials={"certificateSecretRef": {"name": "tls"}, **LOGIN}),
        REQUIRED,
    ),
    Case(
        B,
        "tls.mode",
        "caRef and serverName have no meaning with mode: Disabled; remove them",
        spec(B, tls={"mode": "Disabled", "caRef": {"name": "ca"}}),
        spec(B, tls={"caRef": {"name": "ca"}, "serverName": "rabbitmq"}),
        FORBIDDEN,
    ),
    Case(
        B,
        "defaults.retry",
        "state maxDeliveries, backoff, or both",
        spec(B, defaults={"retry": {}}),
        spec(B, defaults={"retry": {"maxDeliveries": 3}}),
        REQUIRED,
    ),
    Case(
        B,
        "defaults.retry.backoff.initial",
        "initial must not be longer than max",
        spec(B, defaults={"retry": {"backoff": {"initial": "1h", "max": "1m"}}}),
        spec(B, defaults={"retry": {"backoff": {"initial": "1m", "max": "1h"}}}),
    ),
    Case(
        U,
        "authentication.certificateSecretRef",
        "certificateSecretRef goes with type: TLS, and with nothing else",
        spec(U, authentication={"type": "TLS"}),
        spec(U, authentication={"type": "TLS", "certificateSecretRef": {"name": "tls"}}),
    ),
    Case(
        U,
        "authentication.certificateSecretRef",
        "certificateSecretRef goes with type: TLS, and with nothing else",
        spec(U, authentication={"certificateSecretRef": {"name": "tls"}}),
        spec(U, authentication={}),
        id="Password",
    ),
    Case(
        U,
        "passwordSecretRef",
        "passwordSecretRef goes with authentication.type: Password only",
        spec(
            U,
            authentication={"type": "TLS", "certificateSecretRef": {"name": "tls"}},
            passwordSecretRef={"name": "own"},
        ),
        spec(U, authentication={"type": "Password"}, passwordSecretRef={"name": "own"}),
        FORBIDDEN,
    ),
    Case(
        U,
        "rotation",
        "rotation goes with authentication.type: Password only; renew the certificate instead",
        spec(
            U,
            authentication={"type": "TLS", "certificateSecretRef": {"name": "tls"}},
            rotation={"every": "24h", "overlap": "1h"},
        ),
        spec(U, rotation={"every": "24h", "overlap": "1h"}),
        FORBIDDEN,
    ),
    Case(
        U,
        "rotation",
        "rotation makes passwords itself; remove passwordSecretRef, or change the password in that Secret",
        spec(U, passwordSecretRef={"name": "own"}, rotation={"every": "24h", "overlap": "1h"}),
        spec(U, passwordSecretRef={"name": "own"}),
        FORBIDDEN,
        id="own password",
    ),
    Case(
        U,
        "rotation.overlap",
        "overlap must be shorter than every",
        spec(U, rotation={"every": "1h", "overlap": "60m"}),
        spec(U, rotation={"every": "1h", "overlap": "59m"}),
    ),
]

RULE_CASES: Final = [*CHANNEL_CASES, *ACCESS_CASES]
