"""What things are called on a broker, and which names a manifest may choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel_operator.api.meta import Kind
from channel_operator.core import naming
from channel_operator.core.model import Key
from tests.unit.core.samples import broker_spec

QUEUE = Key(Kind.QUEUE, "billing", "invoices")
USER = Key(Kind.BROKER_USER, "billing", "worker")
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,10}[a-z0-9])?){0,3}", fullmatch=True)


@pytest.mark.parametrize(
    ("template", "expected"),
    [("{namespace}.{name}", "billing.invoices"), ("prod.{namespace}.{name}", "prod.billing.invoices")],
)
def test_names_come_from_the_template(template: str, expected: str) -> None:
    spec = broker_spec(naming={"template": template})
    assert naming.native_name(spec, QUEUE, None) == expected
    assert naming.native_name(spec, QUEUE, "chosen") == "chosen"
    assert naming.namespace_of(spec, expected) == "billing"


@given(LABELS, NAMES)
def test_a_name_made_by_the_template_leads_back_to_its_namespace(namespace: str, name: str) -> None:
    for template in ("{namespace}.{name}", "prod.{namespace}.{name}", "a-b_{namespace}.{name}"):
        spec = broker_spec(naming={"template": template})
        native = naming.native_name(spec, Key(Kind.QUEUE, namespace, name), None)
        assert naming.namespace_of(spec, native) == namespace
        assert native.startswith(naming.prefix_of(spec, namespace))


@pytest.mark.parametrize("name", ["", "plain", ".x", "billing.", "other.billing.x"])
def test_names_that_no_template_made_belong_to_nobody(name: str) -> None:
    assert naming.namespace_of(broker_spec(naming={"template": "prod.{namespace}.{name}"}), name) is None


@pytest.mark.parametrize(
    ("policy", "stated", "message"),
    [
        ("WithinPrefix", "billing.other", None),
        ("WithinPrefix", "billing.a.b.c", None),
        ("WithinPrefix", "billing.invoices", None),
        (
            "WithinPrefix",
            "billing.",
            (
                'spec.physicalName: "billing." must start with "billing." (naming.physicalName: WithinPrefix on the '
                "Broker). Choose such a name or remove the field."
            ),
        ),
        (
            "WithinPrefix",
            "shop.orders",
            (
                'spec.physicalName: "shop.orders" must start with "billing." (naming.physicalName: WithinPrefix on the '
                "Broker). Choose such a name or remove the field."
            ),
        ),
        (
            "WithinPrefix",
            "billingx.orders",
            (
                'spec.physicalName: "billingx.orders" must start with "billing." (naming.physicalName: WithinPrefix on '
                "the Broker). Choose such a name or remove the field."
            ),
        ),
        ("Never", "billing.invoices", None),
        (
            "Never",
            "billing.other",
            (
                "spec.physicalName: the Broker does not let manifests choose names (naming.physicalName: Never). "
                'Remove "billing.other".'
            ),
        ),
        ("Any", "anything-at-all", None),
        (
            "Any",
            "__consumer_offsets",
            (
                'spec.physicalName: "__consumer_offsets" starts with a prefix the broker reserves for itself. '
                "Choose another name."
            ),
        ),
        (
            "Any",
            "amq.direct",
            'spec.physicalName: "amq.direct" starts with a prefix the broker reserves for itself. Choose another name.',
        ),
    ],
)
def test_a_chosen_name_is_held_against_the_brokers_rules(policy: str, stated: str, message: str | None) -> None:
    spec = broker_spec(naming={"physicalName": policy})
    problem = naming.check_stated(spec, QUEUE, stated, own_user="operator")
    assert (problem.message if problem else None) == message
    if problem:
        assert (problem.reason, problem.field, problem.stalled) == ("NameNotAllowed", "spec.physicalName", True)


def test_the_operators_own_user_is_nobodys_whatever_the_rules() -> None:
    spec = broker_spec(naming={"physicalName": "Any"})
    problem = naming.check_stated(spec, USER, "operator", own_user="operator")
    assert problem is not None
    assert problem.message == (
        'spec.username: "operator" is the user the operator itself logs in with. Choose another username.'
    )
    own = naming.native_name(spec, USER, None)
    assert naming.check_stated(spec, USER, None, own_user=own) is not None, "not even by the template"
    assert naming.check_stated(spec, QUEUE, "operator", own_user="operator") is None, "a queue may be called so"


def test_a_namespace_cannot_reach_into_another_by_the_template() -> None:
    spec = broker_spec()
    one = naming.native_name(spec, Key(Kind.QUEUE, "a", "b.c"), None)
    other = naming.native_name(spec, Key(Kind.QUEUE, "a-b", "c"), None)
    assert one != other
    assert naming.namespace_of(spec, one) == "a"
