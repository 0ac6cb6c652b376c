"""Says a change in one line for people. Decides the words; shows no secret."""

from channel_operator.brokers.rabbitmq.compare import diff
from channel_operator.brokers.rabbitmq.resources import (
    DELIVERY_LIMIT,
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    User,
)
from channel_operator.core.model import Action, Change, Resource

__all__ = ["describe"]

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-", Action.RECREATE: "~"}


def _properties(queue: Queue) -> str:
    arguments = dict(queue.arguments)
    words = [queue.type]
    limit = arguments.get(DELIVERY_LIMIT)
    if isinstance(limit, int) and limit >= 0:
        words.append(f"delivery limit {limit}")
    for name, text in (("x-message-ttl", "TTL {} ms"), ("x-max-length", "at most {} messages")):
        if name in arguments:
            words.append(text.format(arguments[name]))
    if "x-max-length-bytes" in arguments:
        words.append(f"at most {arguments['x-max-length-bytes']} bytes")
    return ", ".join(words)


def _thing(resource: Resource, action: Action) -> str:
    match resource:
        case Queue():
            detail = "" if action is Action.DELETE else f" ({_properties(resource)})"
            return f"queue {resource.name}{detail}"
        case Exchange():
            return f"exchange {resource.name} ({resource.type})"
        case Binding():
            key = f" with key {resource.routing_key}" if resource.routing_key else ""
            return f"binding {resource.source} → {resource.destination}{key}"
        case Policy():
            stated = ", ".join(f"{key} {value}" for key, value in resource.definition)
            return f"policy {resource.name} ({stated})"
        case User():
            return f"user {resource.name}"
        case Permission():
            return f"permission of {resource.user}"
        case _:
            return str(resource.id)


def _details(change: Change) -> str:
    if change.action is Action.CREATE and isinstance(change.desired, Permission):
        return f": write {change.desired.write} read {change.desired.read}"
    if change.action is not Action.UPDATE or change.desired is None or change.observed is None:
        return ""
    difference = diff(change.desired, change.observed)
    return ": " + "; ".join(difference.fields) if difference else ""


def describe(change: Change) -> str:
    """`+ queue billing.invoices (quorum, delivery limit 4)`."""
    resource = change.desired or change.observed
    thing = _thing(resource, change.action) if resource is not None else str(change.id)
    return f"{_SIGNS[change.action]} {thing}{_details(change)}"
