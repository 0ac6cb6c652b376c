"""The closed lists of words that status and events speak in, each with what to do about it.

Decides the vocabulary: condition types, condition reasons, event reasons. Never decides which one applies.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["ConditionType", "EventReason", "Reason"]


class _Word(StrEnum):
    """A PascalCase word for machines with a meaning and an advice for people."""

    meaning: str
    advice: str

    def __new__(cls, value: str, meaning: str = "", advice: str = "") -> Self:
        """Keep `value` as the string itself; the two texts are attributes."""
        word = str.__new__(cls, value)
        word._value_ = value
        word.meaning = meaning
        word.advice = advice
        return word


class ConditionType(_Word):
    """Types of `status.conditions`; `meaning` says what True means."""

    ACCEPTED = "Accepted", "The manifest is valid and this broker supports what it asks for."
    RESOLVED_REFS = "ResolvedRefs", "Everything the manifest refers to exists and may be used from here."
    PROGRAMMED = "Programmed", "The broker matches the manifest; under Observe it matches and is only watched."
    DRIFTED = "Drifted", "The broker differs from the manifest and is left so. Absent when nothing drifted."
    READY = "Ready", "All of the above hold: the object can be used."
    RECONCILING = "Reconciling", "Work goes on by itself. Absent otherwise."
    STALLED = "Stalled", "Only a user can fix it. Absent otherwise."
    REACHABLE = "Reachable", "The broker answers, on its management plane and on its data plane (Broker only)."
    BROKER_REPLACED = "BrokerReplaced", "Another broker answers at the address than before (Broker only)."


class Reason(_Word):
    """Reasons of conditions, the closed list."""

    PROGRAMMED = "Programmed", "The broker matches the manifest.", "Nothing to do."
    PROGRESSING = "Progressing", "The operator is at work on it.", "Wait; it goes on by itself."
    ACCEPTED = "Accepted", "The manifest is valid and supported.", "Nothing to do."
    OBSERVED = (
        "Observed",
        "The object is only watched (managementPolicy Observe); the operator writes nothing.",
        "Read status.plan for what would change; set managementPolicy Full to let it happen.",
    )
    UNSUPPORTED_BY_BROKER = (
        "UnsupportedByBroker",
        "The manifest states something this kind of broker cannot do.",
        "Remove the field the message names, or use a Broker that supports it (see docs/fields.md).",
    )
    BROKER_VERSION_TOO_OLD = (
        "BrokerVersionTooOld",
        "The broker could do this in a newer version.",
        "Upgrade the broker to the version the message names, or remove the field.",
    )
    PLUGIN_MISSING = (
        "PluginMissing",
        "The broker needs a plugin for this and it is not enabled.",
        "Have the broker's administrator enable the plugin the message names, or remove the field.",
    )
    FILTERS_UNSUPPORTED = (
        "FiltersUnsupported",
        "This broker cannot filter messages for a subscription.",
        "Remove spec.filter and split the Topic by event type instead.",
    )
    CLIENT_ENFORCED = (
        "ClientEnforced",
        "The manifest demands enforcement by the broker, but only the client can enforce this here.",
        "Set requireBrokerEnforcement to false and configure the client, or remove the field the message names.",
    )
    IMMUTABLE_ON_BROKER = (
        "ImmutableOnBroker",
        "The broker cannot change this property of an existing object.",
        "Take the change back, or annotate with channel-operator.dev/recreate: IfEmpty to have an empty one replaced.",
    )
    NAME_NOT_ALLOWED = (
        "NameNotAllowed",
        "The broker name of the object is outside the Broker's naming rules, or is reserved.",
        "Choose a physicalName or username the message allows, or ask the Broker's owner to change spec.naming.",
    )
    NAME_CONFLICT = (
        "NameConflict",
        "An older object already claims a broker name this one needs.",
        "Rename this object (a new metadata.name or physicalName), or delete the other one.",
    )
    ADOPTION_REFUSED = (
        "AdoptionRefused",
        "The object exists on the broker already and the adoption policy does not allow taking it over.",
        (
            "Make the manifest match the existing object, choose another name, or set adoptionPolicy; "
            "for users, ask the Broker's owner to list the name in adoptableUsers."
        ),
    )
    REF_NOT_FOUND = (
        "RefNotFound",
        "The object the message names does not exist (yet).",
        "Create it, or correct the reference. The operator goes on as soon as it appears.",
    )
    REF_NOT_READY = (
        "RefNotReady",
        "The object the message names exists but is not ready.",
        "Look at the status of that object. The operator goes on as soon as it is ready.",
    )
    REF_NOT_PERMITTED = (
        "RefNotPermitted",
        "The owner of the referenced object does not admit this namespace.",
        "Ask the owner to admit your namespace: allowedNamespaces on a Broker, subscribers on a Topic.",
    )
    INVALID_SPEC = (
        "InvalidSpec",
        "The manifest contradicts itself or a value cannot be read.",
        "Correct the field the message names.",
    )
    BROKER_UNREACHABLE = (
        "BrokerUnreachable",
        "The broker does not answer and work is pending.",
        "Look at the status of the Broker. The operator tries again by itself.",
    )
    BROKER_REFUSED = (
        "BrokerRefused",
        "The broker answered a change with an error.",
        "Read the message; usually a limit or missing rights of the operator's own broker user.",
    )
    BROKER_REPLACED = (
        "BrokerReplaced",
        "Another broker answers at the address than before: it was wiped, replaced or restored.",
        "Check that this was intended. Missing objects are created again; nothing is withdrawn.",
    )
    CREDENTIALS_INVALID = (
        "CredentialsInvalid",
        "The broker rejects the credentials, or the Secret with them is missing or incomplete.",
        "Correct the Secret the message names; it is read again within a minute.",
    )
    SECRET_CONFLICT = (
        "SecretConflict",
        "A Secret with the name of the binding exists and belongs to something else.",
        "Delete that Secret, or choose another name in spec.secret.name.",
    )
    TOO_MANY_POLICIES = (
        "TooManyPolicies",
        (
            "This virtual host has as many policies of this operator as its limit allows; "
            "each further one would slow the whole broker down."
        ),
        "State the setting when the queue is created (rabbitmq.settings Arguments), or raise --max-policies.",
    )
    POLICY_SHADOWED = (
        "PolicyShadowed",
        "A policy that is not the operator's overrides the one this queue needs, or would be displaced by it.",
        "Remove the other policy, or change spec.rabbitmq.policyPriority of the Broker.",
    )
    DEAD_LETTER_CYCLE = (
        "DeadLetterCycle",
        "Following the dead-letter references leads back to this object.",
        "Break the circle the message shows.",
    )
    TOPIC_DELETION_DISABLED = (
        "TopicDeletionDisabled",
        "The Kafka cluster does not let anyone delete topics.",
        "Set delete.topic.enable on the cluster, or deletionPolicy Retain on the object.",
    )
    BRAKE_ENGAGED = (
        "BrakeEngaged",
        "More deletions or revocations were due at once than the Broker's brake allows; they wait.",
        (
            "Check that they are intended, then annotate the Broker with "
            "channel-operator.dev/release-brake: <status.brake.token>."
        ),
    )
    DELETING = (
        "Deleting",
        "The object is being deleted; the message says what it waits for.",
        (
            "Wait, or remove what the message names. "
            'Last resort: annotate with channel-operator.dev/force-release: "true".'
        ),
    )
    RETAINED = (
        "Retained",
        "The manifest is gone and the object was kept on the broker with its messages.",
        "Nothing to do, or delete it at the broker; a new manifest of the same name takes it over again.",
    )
    ORPHANED = (
        "Orphaned",
        "The manifest was released although the broker could not be asked; its object may still exist there.",
        "Once the broker is back, look at status.orphans of the Broker and delete what is not needed.",
    )
    DISABLED = (
        "Disabled",
        "The annotation channel-operator.dev/reconcile: Disabled keeps the operator's hands off.",
        "Remove the annotation to go on.",
    )


class EventReason(_Word):
    """Reasons of Events, the closed list; an Event tells of a transition, never of a steady state."""

    CREATED = "Created", "The object was created on the broker."
    ADOPTED = "Adopted", "An object that existed on the broker was taken over."
    UPDATED = "Updated", "The object was changed on the broker to match its manifest."
    BROKER_REPLACED = "BrokerReplaced", "Another broker answers at the address than before."
    DRIFT_DETECTED = "DriftDetected", "The broker was changed by somebody else and is left so."
    DRIFT_CORRECTED = "DriftCorrected", "The broker was changed by somebody else and was put right."
    RETAINED = "Retained", "The manifest was deleted and the object kept on the broker."
    DELETED = "Deleted", "The object was deleted on the broker."
    BRAKE_ENGAGED = "BrakeEngaged", "Too many deletions or revocations at once; they wait for a release."
    BRAKE_RELEASED = "BrakeReleased", "The brake was released; waiting deletions and revocations go on."
    ORPHANED = "Orphaned", "The manifest was released while the broker could not be asked."
    NAME_CONFLICT = "NameConflict", "Another object claims the same name on the broker."
    GRANT_MISSING = "GrantMissing", "A producer or consumer in the list does not exist; the others are granted."
    GRANT_REFUSED = "GrantRefused", "A producer or consumer in the list cannot be granted; the others are."
    BROKER_UNREACHABLE = "BrokerUnreachable", "The broker stopped answering."
    BROKER_RECOVERED = "BrokerRecovered", "The broker answers again."
    CREDENTIALS_ROTATED = "CredentialsRotated", "New credentials were made and written to the binding Secret."
    TLS_DISABLED = "TlsDisabled", "The connection to the broker is not encrypted (tls.mode Disabled)."
    POLICY_SHADOWED = "PolicyShadowed", "A policy that is not the operator's overrides its own."
    RELEASED_BY_FORCE = "ReleasedByForce", "The finalizer was dropped at a user's word; broker objects stay."
    RECREATED = "Recreated", "The empty queue was replaced by one with the manifest's properties."
