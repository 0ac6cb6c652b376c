"""Every problem that resolve can find, in the words that its user reads."""

import pytest

from channel_operator.api.meta import Kind
from channel_operator.core.view import Manifest
from tests.unit.core.samples import KAFKA, broker, check, manifest, queue, user, view

BROKER_REF = "spec.brokerRef"


@pytest.mark.parametrize(
    ("found", "others", "expected"),
    [
        (
            queue(brokerRef={"name": "absent"}),
            [broker()],
            (
                "RefNotFound",
                "ResolvedRefs",
                BROKER_REF,
                (
                    'spec.brokerRef: there is no Broker "billing/absent" (yet); brokerRef.namespace is not stated, so '
                    "this namespace was taken. Create it, or correct the reference."
                ),
                False,
            ),
        ),
        (
            queue(brokerRef={"name": "absent", "namespace": "billing"}),
            [broker()],
            (
                "RefNotFound",
                "ResolvedRefs",
                BROKER_REF,
                'spec.brokerRef: there is no Broker "billing/absent" (yet). Create it, or correct the reference.',
                False,
            ),
        ),
        (
            queue(),
            [broker(**KAFKA)],
            (
                "RefNotReady",
                "ResolvedRefs",
                BROKER_REF,
                'spec.brokerRef: Broker "messaging/main" is not accepted itself; see its status.',
                False,
            ),
        ),
        (
            queue(),
            [broker(deleted=True)],
            (
                "RefNotReady",
                "ResolvedRefs",
                BROKER_REF,
                'spec.brokerRef: Broker "messaging/main" is being deleted. Use another one.',
                False,
            ),
        ),
        (
            queue(),
            [broker(allowedNamespaces={"from": "Same"})],
            (
                "RefNotPermitted",
                "ResolvedRefs",
                BROKER_REF,
                (
                    'spec.brokerRef: Broker "messaging/main" does not admit namespace "billing". '
                    "Ask its owner to admit it in spec.allowedNamespaces."
                ),
                True,
            ),
        ),
        (
            queue(retry={"maxDeliveries": 0}),
            [broker()],
            (
                "InvalidSpec",
                "Accepted",
                "spec.retry.maxDeliveries",
                "spec.retry.maxDeliveries: must be 1 or more",
                True,
            ),
        ),
        (
            manifest(Kind.SUBSCRIPTION, "audit"),
            [],
            (
                "RefNotFound",
                "ResolvedRefs",
                "spec.topicRef",
                'spec.topicRef: there is no Topic "billing/events" (yet). Create it, or correct the reference.',
                False,
            ),
        ),
        (
            queue(physicalName="shop.orders"),
            [broker()],
            (
                "NameNotAllowed",
                "Accepted",
                "spec.physicalName",
                (
                    'spec.physicalName: "shop.orders" must start with "billing." (naming.physicalName: WithinPrefix on '
                    "the Broker). Choose such a name or remove the field."
                ),
                True,
            ),
        ),
        (
            user("worker", username="operator"),
            [broker(naming={"physicalName": "Any"})],
            (
                "NameNotAllowed",
                "Accepted",
                "spec.username",
                'spec.username: "operator" is the user the operator itself logs in with. Choose another username.',
                True,
            ),
        ),
        (
            queue("young"),
            [broker(), queue("elder", age=5, physicalName="billing.young")],
            (
                "NameConflict",
                "Accepted",
                "spec.physicalName",
                (
                    'The channel name "billing.young" on Broker messaging/main belongs to the older '
                    "Queue billing/elder. Choose another metadata.name or spec.physicalName."
                ),
                True,
            ),
        ),
        (
            user("young", username="shared"),
            [broker(naming={"physicalName": "Any"}), user("elder", "shop", age=5, username="shared")],
            (
                "NameConflict",
                "Accepted",
                "spec.username",
                (
                    'The user name "shared" on Broker messaging/main belongs to an older object elsewhere. '
                    "Choose another metadata.name or spec.username."
                ),
                True,
            ),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_each_problem_in_words(
    found: Manifest, others: list[Manifest], expected: tuple[str, str, str | None, str, bool]
) -> None:
    assert check(found, view(*others, found))[1] == [expected]


def test_a_missing_consent_is_no_error_before_its_grace_is_over() -> None:
    seen = view(broker(allowedNamespaces={"from": "Same"}))
    _, [problem] = check(queue(), seen, grace_over=False)
    assert problem[0] == "RefNotPermitted"
    assert problem[-1] is False


def test_what_is_wrong_twice_is_told_twice() -> None:
    _, problems = check(queue(messageTTL="soon", brokerRef={"name": "absent"}), view())
    assert [p[0] for p in problems] == ["InvalidSpec", "RefNotFound"]
