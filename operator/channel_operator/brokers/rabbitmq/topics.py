"""What a Topic is on RabbitMQ: a topic exchange, to which each Subscription binds a queue of its own.

Decides its native objects and who gets which name. Never decides who may do what (core).
"""

from collections.abc import Mapping
from typing import Any

from channel_operator.brokers.rabbitmq.access import Access
from channel_operator.brokers.rabbitmq.parts import asserted, granted, held, refused, withdrawn
from channel_operator.brokers.rabbitmq.resources import TOPIC, Exchange, exchange_id
from channel_operator.brokers.rabbitmq.site import Site
from channel_operator.brokers.rabbitmq.topic_rules import topic_enforcement, topic_problems
from channel_operator.core.accepted import Compiled, ResolvedTopic, Role, Subject
from channel_operator.core.model import Capabilities

__all__ = ["compiled", "hold", "withdraw"]


def compiled(resolved: ResolvedTopic, site: Site, capabilities: Capabilities) -> Compiled:
    """Return the parts of an accepted Topic."""
    subject, spec = resolved.subject, resolved.spec
    problems = topic_problems(spec, capabilities)
    if problems:
        return refused(hold(subject, site), problems)
    exchange = subject.name
    parts = [asserted(Exchange(exchange, TOPIC), subject)]
    parts += granted(resolved.grants, {Role.PRODUCER: Access(write=frozenset({exchange}))}, subject)
    return Compiled(
        tuple(parts),
        names=frozenset({exchange}),
        enforcement=topic_enforcement(spec),
        address=_address(subject, site),
        effective={"storage": "FanOut"} if spec.storage is None else {},
        coordinates=_coordinates(subject),
    )


def hold(subject: Subject, site: Site) -> Compiled:
    """Return the parts of a Topic on hold."""
    return Compiled(
        held([exchange_id(subject.name)], subject),
        names=frozenset({subject.name}),
        address=_address(subject, site),
        coordinates=_coordinates(subject),
    )


def withdraw(subject: Subject) -> Compiled:
    """Return the parts of a deleted Topic; one that is retained keeps its exchange, and the bindings to it stay."""
    parts = withdrawn([exchange_id(subject.name)], subject) if subject.removal is not None else ()
    return Compiled(tuple(parts), names=frozenset({subject.name}))


def _address(subject: Subject, site: Site) -> Mapping[str, Any]:
    return {"name": subject.name, "rabbitmq": {"vhost": site.rabbitmq.vhost, "exchange": subject.name}}


def _coordinates(subject: Subject) -> Mapping[Role, Mapping[str, Any]]:
    return {Role.PRODUCER: {"exchange": subject.name}}
