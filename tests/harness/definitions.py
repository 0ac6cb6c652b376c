"""What a broker has, in a form in which two places can be compared. Decides nothing about what is right."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.harness.kubeapi import Object
from tests.harness.site import Site

__all__ = ["broker_state", "renamed"]

_SHOWN = {
    "queues": ("name", "durable", "auto_delete", "arguments"),
    "exchanges": ("name", "type", "durable", "auto_delete", "internal", "arguments"),
    "bindings": ("source", "destination", "destination_type", "routing_key", "arguments"),
    "policies": ("name", "pattern", "definition", "priority"),
}


def broker_state(site: Site, names: Mapping[str, str]) -> Object:
    """Return everything in a site's vhost, and the users of its namespaces with their tags and rights.

    `names`: namespace → what stands for it, so that equal places give equal answers.
    """
    defined = site.rabbit("GET", "/api/definitions/{vhost}")
    state: Object = {kind: _shown(defined.get(kind) or [], fields) for kind, fields in _SHOWN.items()}
    state["users"] = _shown(
        [one for one in site.rabbit("GET", "/api/users") if one["name"].rpartition(".")[0] in names], ("name", "tags")
    )
    state["permissions"] = _shown(list(site.permissions().values()), ("user", "configure", "write", "read"))
    return renamed(state, names)


def renamed(state: Object, names: Mapping[str, str]) -> Object:
    """Return the same with other names, also where they stand in regular expressions."""
    text = json.dumps(state, sort_keys=True)
    for name, other in names.items():
        for written in {name, json.dumps(re.escape(name))[1:-1]}:
            text = text.replace(written, other)
    found: Object = json.loads(text)
    return found


def _shown(entries: list[dict[str, Any]], fields: tuple[str, ...]) -> list[dict[str, Any]]:
    shown = [{name: one[name] for name in fields if name in one} for one in entries]
    return sorted(shown, key=lambda one: json.dumps(one, sort_keys=True))
