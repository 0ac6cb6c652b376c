"""Which metrics there are, by the page that people write alerts from. A unit test holds the page against the code."""

import re
from typing import NamedTuple

from tests.harness.install import ROOT

__all__ = ["Metric", "check_query", "documented"]

_TARGET = frozenset({"namespace", "job", "pod"})
"""Labels that Prometheus adds to what it scrapes."""


class Metric(NamedTuple):
    """A metric and its own labels."""

    type: str
    labels: frozenset[str]


def documented() -> dict[str, Metric]:
    """Return every metric that docs/operations.md names."""
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(channel_operator_\w+)` \| (\w+) \|(.*?)\| .+ \|$", page, re.MULTILINE)
    return {name: Metric(kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def check_query(query: str) -> set[str]:
    """Return the labels that a query's answer can have; AssertionError for a metric or a label that does not exist."""
    known = documented()
    used: set[str] = set()
    for name, matchers in re.findall(r"\b(channel_operator_\w+)(?:\{([^}]*)\})?", query):
        family = re.sub(r"_(?:bucket|count|sum)$", "", name) if name not in known else name
        assert family in known, f"there is no metric {name}: {query}"
        assert family == name or known[family].type == "histogram", f"{name} is no histogram: {query}"
        own = known[family].labels | ({"le"} if name.endswith("_bucket") else set())
        strange = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - own - _TARGET
        assert not strange, f"{name} has no labels {strange}: {query}"
        used |= own
    assert used or "channel_operator_" in query, f"no metric in: {query}"
    grouped = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", query)
    named = {label.strip() for group in grouped for label in group.split(",")}
    assert named <= used | _TARGET, f"no such labels {named - used - _TARGET}: {query}"
    return named or used | _TARGET
