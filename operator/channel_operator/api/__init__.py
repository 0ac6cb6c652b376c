"""The Kubernetes API of the operator as typed values.

Decides what a manifest may say and how it is read. Never asks a server and knows no broker's native objects.
"""

from channel_operator.api.broker import BrokerSpec
from channel_operator.api.brokeruser import BrokerUserSpec
from channel_operator.api.manifest import SPECS, Spec, parse
from channel_operator.api.queue import QueueSpec
from channel_operator.api.subscription import SubscriptionSpec
from channel_operator.api.topic import TopicSpec

__all__ = [
    "SPECS",
    "BrokerSpec",
    "BrokerUserSpec",
    "QueueSpec",
    "Spec",
    "SubscriptionSpec",
    "TopicSpec",
    "parse",
]
