"""An annotation with a typing error does nothing, and says so."""

import pytest

from channel_operator.api.meta import DELETION_POLICY, FORCE_RELEASE, GROUP, RECONCILE, RECREATE, RELEASE_BRAKE, ROTATE
from channel_operator.core.annotations import without_effect
from channel_operator.core.view import NamespaceInfo
from tests.unit.core.samples import broker, queue, user


@pytest.mark.parametrize(
    ("annotations", "said"),
    [
        ({RECONCILE: "Disabled", FORCE_RELEASE: "true", RECREATE: "IfEmpty", f"{GROUP}/reconcile-at": "now"}, ()),
        ({FORCE_RELEASE: "false", "example.com/reconcile": "disabled"}, ()),
        (
            {RECONCILE: "disabled"},
            (f'The annotation {RECONCILE}: "disabled" has no effect; it takes Disabled.',),
        ),
        ({RECREATE: "true"}, (f'The annotation {RECREATE}: "true" has no effect; it takes IfEmpty.',)),
        ({FORCE_RELEASE: "yes"}, (f'The annotation {FORCE_RELEASE}: "yes" has no effect; it takes true.',)),
        ({ROTATE: "1"}, (f"The annotation {ROTATE} has no effect on a Queue.",)),
        ({RELEASE_BRAKE: "1"}, (f"The annotation {RELEASE_BRAKE} has no effect on a Queue.",)),
        ({f"{GROUP}/recreat": "IfEmpty"}, (f"There is no annotation {GROUP}/recreat.",)),
        (
            {DELETION_POLICY: "Delete"},
            (f"The annotation {DELETION_POLICY} belongs on the namespace; here it is spec.deletionPolicy.",),
        ),
    ],
)
def test_what_an_annotation_of_a_queue_is_told(annotations: dict[str, str], said: tuple[str, ...]) -> None:
    assert without_effect(queue(annotations=annotations), None) == said


def test_a_long_value_is_not_repeated_whole() -> None:
    (said,) = without_effect(queue(annotations={RECONCILE: "x" * 300}), None)
    assert len(said) < 150


def test_a_users_rotation_and_a_brokers_token_are_what_they_take() -> None:
    assert without_effect(user("app", annotations={ROTATE: "1"}), None) == ()
    assert without_effect(broker(annotations={RELEASE_BRAKE: "1"}), None) == ()
    assert without_effect(user("app", annotations={RECREATE: "IfEmpty"}), None) != ()


@pytest.mark.parametrize(
    ("annotated", "stated", "told"),
    [("delete", None, True), ("Delete", None, False), (None, None, False), ("delete", "Delete", False)],
)
def test_a_namespaces_wrong_word_is_told_where_it_would_have_mattered(
    annotated: str | None, stated: str | None, *, told: bool
) -> None:
    namespace = NamespaceInfo("billing", {}, {DELETION_POLICY: annotated} if annotated else {})
    found = queue(**({"deletionPolicy": stated} if stated else {}))
    assert bool(without_effect(found, namespace)) is told
    assert without_effect(user("app"), namespace) == ()
