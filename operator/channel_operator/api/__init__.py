"""The Kubernetes API of the operator as typed values.

Decides what a manifest may say and how it is read. Never asks a server and knows no broker's native objects.
"""

from channel_operator.api.manifest import SPECS, Spec, parse

__all__ = ["SPECS", "Spec", "parse"]
