"""Reads back a status: what does not fit its schema says nothing, whoever wrote it.

A status is the operator's memory over a restart, and others may have the right to write it too. Decides only whether
what it says can be read; whether it is true is the reader's business. Never raises.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from channel_operator.api.meta import Kind
from channel_operator.api.status import Status
from channel_operator.api.status_access import STATUSES

__all__ = ["read_status"]

_GENERATION: Final = "observedGeneration"


def read_status(kind: Kind, raw: object) -> Mapping[str, Any]:
    """Return the fields of a status of this kind, each as the schema has it.

    One with anything wrong in it reads as an empty text: nothing to whoever reads it, and not what is to be written,
    not even where nothing is. The generation is left out.
    """
    if not isinstance(raw, Mapping):
        return {}
    try:
        _adapter(kind).validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        broken = {fault["loc"][:1] for fault in error.errors(include_url=False, include_input=False)}
        readable = {name: "" if (name,) in broken else value for name, value in raw.items()}
        if (_GENERATION,) in broken:
            del readable[_GENERATION]
        return readable
    except (TypeError, ValueError, RecursionError):
        return {}
    return raw


@cache
def _adapter(kind: Kind) -> TypeAdapter[Status]:
    return TypeAdapter(STATUSES[kind])
