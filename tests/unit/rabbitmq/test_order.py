"""In which order objects are written, what hangs on what, and how a change reads."""

import json
from collections.abc import Mapping

from channel_operator.api.meta import Kind
from channel_operator.brokers.rabbitmq.compile import RabbitMQDriver
from channel_operator.brokers.rabbitmq.resources import (
    Binding,
    Exchange,
    Queue,
    User,
    binding_id,
    exchange_id,
    permission_id,
    queue_id,
    user_id,
)
from channel_operator.core.accepted import Credential, Role
from channel_operator.core.model import (
    Change,
    Resource,
    ResourceId,
    Secret,
    by_stage,
)
from tests.unit.rabbitmq.samples import (
    NEWEST,
    changes_for,
    driver,
    grant,
    resolved_queue,
    resolved_user,
    resources,
    subject,
)

PRODUCER = subject("shop.checkout", Kind.BROKER_USER).key


def everything(pure: RabbitMQDriver) -> list[Change]:
    queue = resolved_queue(
        "billing.q", grant("shop.checkout", Role.PRODUCER), deadLetter={}, retry={"maxDeliveries": 5}
    )
    user = resolved_user("shop.checkout")
    return changes_for(
        pure, [(queue.subject.key, pure.compile(queue, NEWEST)), (PRODUCER, pure.compile(user, NEWEST))], {}
    )


def rounds(changes: list[Change]) -> list[set[str]]:
    return [{" ".join((c.id.kind, c.id.path[0])) for c in stage} for stage in by_stage(changes)]


def state(changes: list[Change]) -> dict[ResourceId, Resource]:
    return {change.id: change.desired for change in changes if change.desired is not None}


def test_a_queue_is_built_in_three_rounds_with_its_dead_letters_first_and_its_entry_last() -> None:
    assert rounds(everything(driver())) == [
        {"Exchange billing.q_dlx", "Queue billing.q_dead", "User shop.checkout"},
        {"Queue billing.q", "Exchange billing.q_in", "Binding billing.q_dlx", "Permission shop.checkout"},
        {"Binding billing.q_in"},
    ]


def test_a_queue_without_dead_letters_takes_two_rounds() -> None:
    pure = driver()
    queue = resolved_queue("billing.q")
    changes = changes_for(pure, [(queue.subject.key, pure.compile(queue, NEWEST))], {})
    assert rounds(changes) == [{"Queue billing.q", "Exchange billing.q_in"}, {"Binding billing.q_in"}]


def test_a_queue_is_taken_down_after_its_rights_and_before_what_it_refers_to() -> None:
    pure = driver()
    picture = state(everything(pure))
    gone = subject("billing.q")
    user = pure.withdraw(subject("shop.checkout", Kind.BROKER_USER))
    changes = changes_for(pure, [(gone.key, pure.withdraw(gone)), (PRODUCER, user)], picture)
    assert rounds(changes) == [
        {"User shop.checkout"},
        {"Permission shop.checkout"},
        {"Queue billing.q"},
        {"Binding billing.q_in", "Binding billing.q_dlx"},
        {"Exchange billing.q_in", "Exchange billing.q_dlx", "Queue billing.q_dead"},
    ]


def test_a_right_is_taken_away_before_the_queue_goes_and_given_after_nothing_but_the_user() -> None:
    pure = driver()
    picture = state(everything(pure))
    gone = subject("billing.q")
    user = resolved_user("shop.checkout")
    changes = changes_for(pure, [(gone.key, pure.withdraw(gone)), (PRODUCER, pure.compile(user, NEWEST))], picture)
    assert rounds(changes)[0] == {"Permission shop.checkout"}
    assert next(c for c in changes if c.id == permission_id("shop.checkout")).narrows


def test_bindings_that_others_made_on_our_objects_are_found() -> None:
    tap = Binding("billing.q_in", "spy")
    feed = Binding("amq.topic", "billing.q", routing_key="#")
    elsewhere = Binding("other", "thing")
    ours = Binding("billing.q_in", "billing.q")
    observed: Mapping[ResourceId, Resource] = {b.id: b for b in (tap, feed, elsewhere, ours)}
    owned = {ours.id, queue_id("billing.q"), exchange_id("billing.q_in")}
    assert set(driver().foreign(observed, owned, ())) == {tap.id, feed.id}
    assert set(driver().foreign(observed, owned, {queue_id("spy")})) == {feed.id}


def test_users_with_our_mark_are_found_with_their_rights_and_no_others() -> None:
    pure = driver()
    observed: dict[ResourceId, Resource] = {
        user.id: user
        for user in (User("a", ("channel-operator-op",)), User("b", ("channel-operator-other",)), User("c"))
    }
    observed.update(resources(pure.compile(resolved_user("a"), NEWEST)))
    observed[permission_id("a")] = pure.assemble(
        permission_id("a"),
        [p for p in pure.compile(resolved_user("a"), NEWEST).parts if p.id.kind == "Permission"],
        {},
        (),
    ).resource or Queue("unused", "quorum")
    assert pure.leftovers(observed) == [user_id("a"), permission_id("a")]


def test_bindings_go_with_either_of_their_ends() -> None:
    binding = Binding("billing.q_in", "billing.q")
    observed: dict[ResourceId, Resource] = {binding.id: binding}
    assert driver().attached(queue_id("billing.q"), observed) == [binding.id]
    assert driver().attached(exchange_id("billing.q_in"), observed) == [binding.id]
    assert driver().attached(queue_id("billing.q_in"), observed) == []


def test_only_what_has_a_name_of_its_own_counts_as_an_orphan() -> None:
    pure = driver()
    assert pure.name_of(queue_id("billing.q")) == "billing.q"
    assert pure.name_of(binding_id("a", "b")) is None
    assert pure.name_of(permission_id("u")) is None


def test_changes_read_as_lines() -> None:
    pure = driver()
    assert sorted(pure.describe(change) for change in everything(pure)) == [
        "+ binding billing.q_dlx → billing.q_dead",
        "+ binding billing.q_in → billing.q",
        "+ exchange billing.q_dlx (fanout)",
        "+ exchange billing.q_in (fanout)",
        r"+ permission of shop.checkout: write ^(?:billing\.(?:q_in))$ read ^$",
        "+ queue billing.q (quorum, delivery limit 4)",
        "+ queue billing.q_dead (quorum)",
        "+ user shop.checkout",
    ]


def test_no_line_and_no_repr_shows_a_password() -> None:
    pure = driver()
    changes = everything(pure)
    assert "secret" not in " ".join([*map(pure.describe, changes), repr(changes)])


def test_a_binding_secret_has_every_entry_by_its_usual_name() -> None:
    pure = driver(
        rabbitmq={
            "vhost": "a b/%ü",
            "clients": {"addresses": ["r0.svc:5671", "r1.svc:5671"], "streamAddresses": ["r0.svc:5551"]},
        }
    )
    entries = pure.binding(
        "shop.checkout",
        Credential(Secret("p@:/ss")),
        channels=[
            {"kind": "Queue", "name": "q", "namespace": "billing", "role": "Producer", "exchange": "billing.q_in"}
        ],
        ca="-----BEGIN CERTIFICATE-----",
    )
    assert json.loads(entries["channels.json"])[0]["exchange"] == "billing.q_in"
    assert {name: value for name, value in entries.items() if name != "channels.json"} == {
        "type": "rabbitmq",
        "provider": "channel-operator",
        "username": "shop.checkout",
        "password": "p@:/ss",
        "virtual-host": "a b/%ü",
        "host": "r0.svc",
        "port": "5671",
        "addresses": "r0.svc:5671,r1.svc:5671",
        "stream-port": "5551",
        "uri": "amqps://shop.checkout:p%40%3A%2Fss@r0.svc:5671/a%20b%2F%25%C3%BC",
        "certificates": "-----BEGIN CERTIFICATE-----",
    }


def test_the_binding_of_a_certificate_user_has_the_pair_and_no_password() -> None:
    pair = Credential(None, "the certificate", Secret("its key"))
    entries = driver().binding("CN=shop.checkout,O=Acme", pair, channels=[], ca=None)
    assert entries["username"] == "CN=shop.checkout,O=Acme"
    assert (entries["tls.crt"], entries["private-key"]) == ("the certificate", "its key")
    assert entries["uri"] == "amqps://rabbitmq.messaging.svc:5671/%2F"
    assert "password" not in entries


def test_a_queue_with_another_exchange_of_its_name_is_untouched_by_order() -> None:
    # Exchanges and queues may share a name: ids tell them apart.
    assert Exchange("x", "fanout").id != Queue("x", "quorum").id
