"""Every field whose value is a text with a form, with values it takes and values it refuses.

Decides by tables: a form (what is good, what is bad and why) and the fields that have it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from channel_operator.api.meta import Kind
from tests.unit.api.cases import KAFKA, LOGIN, MINIMAL, B, Case, Q, S, Spec, T, U, at, spec


@dataclass(frozen=True)
class Form:
    """What a text must look like: values taken, values refused with the sentence they get."""

    good: tuple[Any, ...]
    bad: tuple[tuple[Any, str], ...]


_DURATION = "must be a duration longer than zero, such as 30s, 5m or 1h30m"
DURATION = Form(
    ("250ms", "5m", "1h30m", "99999h"),
    tuple((value, _DURATION) for value in ("0s", "0h0ms", "5 minutes", "1.5h", "-1s", "100000s", "1h1m1s1ms1ms")),
)
_SIZE = "must be a size in bytes above zero, such as 512Mi, 20Gi or 1000000"
SIZE = Form(
    (1, "1", "512Mi", "2k", 1048576),
    tuple((value, _SIZE) for value in ("0", 0, -5, "1.5Gi", "10GB", "1234567Ti", "Mi")),
)
_CHARACTERS = "must start with a letter or digit and consist of letters, digits, dots, underscores and dashes"
_AMQ = "must not start with amq., which RabbitMQ keeps for itself"
_ENDING = "must not end in _in, _dlx, _dead, _a, _b or _<number>: the operator derives names with these endings"
NAME = Form(
    ("invoices", "billing.invoices-2_x", "a" * 200, "x_in_y", "dead", "q_1234"),
    (
        ("_x", _CHARACTERS),
        ("a b", _CHARACTERS),
        ("a#", _CHARACTERS),
        ("rechnungen-für", _CHARACTERS),
        ("amq.direct", _AMQ),
        *((f"x{ending}", _ENDING) for ending in ("_in", "_dlx", "_dead", "_a", "_b", "_0", "_255")),
    ),
)
_TEMPLATE = "must be {namespace}.{name}, with a fixed prefix if wanted, such as prod.{namespace}.{name}"
TEMPLATE = Form(
    ("{namespace}.{name}", "prod.{namespace}.{name}", "eu-1_{namespace}.{name}"),
    (
        *(
            (value, _TEMPLATE)
            for value in ("{name}", "{namespace}-{name}", "{name}.{namespace}", "{namespace}.{name}.x")
        ),
        ("amq.{namespace}.{name}", _AMQ),
    ),
)
_URL = "must be a URL such as https://rabbitmq.messaging.svc:15671, without user, password or query"
URL = Form(
    (["https://a"], ["https://[::1]:15671/api-root/", "https://10.0.0.1:15671"]),
    tuple(([value], _URL) for value in ("a:15671", "ftp://a", "https://me:secret@a", "https://a/?x=1", "https://a b")),
)
_ADDRESS = "must be host:port, such as rabbitmq.messaging.svc:5671"
ADDRESSES = Form(
    (["a:5671"], ["[fd00::1]:5671", "10.0.0.1:5671"]),
    tuple(([value], _ADDRESS) for value in ("a", "a:", ":5671", "amqps://a:5671", "a:5671/x")),
)
_TIME = "must be a time with its zone, such as 2030-01-31T12:00:00Z"
TIME = Form(
    ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00.5+01:00"),
    tuple((value, _TIME) for value in ("2030-01-31", "2030-01-31T12:00:00", "2030-13-01T00:00:00Z", "yesterday")),
)
_KEYS = "must have keys such as team or example.com/team"
_VALUES = "must have label values: up to 63 letters, digits, dots, underscores and dashes"
_OURS = "must not have keys that start with channel-operator.dev/: they belong to the operator"
SELECTION = Form(({"team": "a", "example.com/tier": ""},), (({"a b": "x"}, _KEYS), ({"team": "a b"}, _VALUES)))
LABELS = Form(SELECTION.good, (*SELECTION.bad, ({"channel-operator.dev/owned": "x"}, _OURS)))
ANNOTATIONS = Form(
    ({"example.com/note": "any text, even this: {}"},),
    (({"a b": "x"}, _KEYS), ({"channel-operator.dev/owned": "x"}, _OURS)),
)
_KEY_LENGTH = "must have keys of 1 to 200 characters"
CONFIG = Form(({"max.message.bytes": "2097152"},), (({"k" * 201: "x"}, _KEY_LENGTH),))

_BACKOFF: Final[Spec] = {"retry": {"backoff": {"initial": "1ms"}}}
_TLS_KAFKA: Final[Spec] = {"kafka": KAFKA, "credentials": LOGIN}
_CHOSEN: Final[Spec] = {"from": "Selector"}

FIELDS: Final[tuple[tuple[Kind, str, Form, Spec], ...]] = (
    *((kind, "physicalName", NAME, MINIMAL[kind]) for kind in (Q, T, S)),
    (U, "username", NAME, MINIMAL[U]),
    *((kind, path, DURATION, MINIMAL[kind]) for kind in (Q, S) for path in ("messageTTL", "ackTimeout")),
    *((kind, "retry.backoff.initial", DURATION, MINIMAL[kind]) for kind in (Q, S)),
    *((kind, "retry.backoff.max", DURATION, spec(kind, **_BACKOFF)) for kind in (Q, S)),
    (T, "retention.time", DURATION, MINIMAL[T]),
    *((B, path, DURATION, MINIMAL[B]) for path in ("deletionTimeout", "resyncInterval", "brake.window")),
    (B, "defaults.retry.backoff.initial", DURATION, MINIMAL[B]),
    (B, "defaults.retry.backoff.max", DURATION, spec(B, defaults=_BACKOFF)),
    (U, "rotation.every", DURATION, spec(U, rotation={"overlap": "1ms"})),
    (U, "rotation.overlap", DURATION, spec(U, rotation={"every": "99999h99999h"})),
    *((kind, "limits.maxBytes", SIZE, MINIMAL[kind]) for kind in (Q, S)),
    (B, "defaults.limits.maxBytes", SIZE, MINIMAL[B]),
    (T, "retention.bytes", SIZE, MINIMAL[T]),
    (B, "naming.template", TEMPLATE, MINIMAL[B]),
    (B, "rabbitmq.managementUrls", URL, MINIMAL[B]),
    *((B, f"rabbitmq.clients.{name}", ADDRESSES, MINIMAL[B]) for name in ("addresses", "streamAddresses")),
    (B, "kafka.bootstrapServers", ADDRESSES, _TLS_KAFKA),
    *((B, f"kafka.clients.{name}", ADDRESSES, _TLS_KAFKA) for name in ("bootstrapServers", "tlsBootstrapServers")),
    (S, "startFrom.timestamp", TIME, spec(S, startFrom={"position": "Timestamp"})),
    (T, "subscribers.selector.matchLabels", SELECTION, spec(T, subscribers=_CHOSEN)),
    (B, "allowedNamespaces.selector.matchLabels", SELECTION, spec(B, allowedNamespaces=_CHOSEN)),
    (U, "secret.labels", LABELS, MINIMAL[U]),
    (U, "secret.annotations", ANNOTATIONS, MINIMAL[U]),
    *((kind, "kafka.config", CONFIG, MINIMAL[kind]) for kind in (Q, T)),
)


def scalar_cases() -> Iterator[Case]:
    """Yield one case for every refused value, beside a good value of the same field."""
    for kind, path, form, base in FIELDS:
        for number, (value, message) in enumerate(form.bad):
            bad, good = at(path, value, base), at(path, form.good[number % len(form.good)], base)
            where = f"{path}[0]" if isinstance(value, list) else path
            yield Case(kind, where, message, bad, good, shown=_shown(value), id=str(number))


def _shown(value: Any) -> str | None:
    if isinstance(value, list):
        return _shown(value[0])
    if isinstance(value, dict):
        return None
    return f'"{value}"' if isinstance(value, str) else str(value)


SCALAR_CASES: Final = list(scalar_cases())


def once_a_rule(cases: list[Case]) -> Iterator[Case]:
    """Yield all refused values of the first field that has a rule, and one for each further field with that rule."""
    first: dict[str, str] = {}
    seen: set[tuple[Kind, str, str]] = set()
    for case in cases:
        field = (case.kind, case.path, case.message)
        if (
            first.setdefault(case.message, f"{case.kind} {case.path}") == f"{case.kind} {case.path}"
            or field not in seen
        ):
            yield case
        seen.add(field)
