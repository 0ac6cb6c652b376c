"""What was measured, as a table for people and as JSON; and what of it fails the run. Never measures anything."""

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.handover import Handover
from tests.bench.latency import Latency
from tests.bench.rounds import Comparison
from tests.bench.settled import Quiet, Restart

__all__ = ["LIMIT", "Results"]

LIMIT = 1.6
"""Times the raw limit at which the run fails."""
DISTURBED = 0.15
"""Share of the CPU that anything else may take before the table warns that its times mean little."""
_TARGETED = 1000
"""Channels in place up to which a restart has a target."""


class Row(NamedTuple):
    """One line of the table."""

    case: str
    operator: str
    raw: str = ""
    ratio: str = ""
    target: str = ""


class Change(NamedTuple):
    """One-change latency under one condition; `raw` None where there is no equivalent."""

    condition: str
    operator: Latency
    raw: Latency | None
    target: str


@dataclass(slots=True)
class Results:
    """Collects the cases of a run in any order."""

    versions: dict[str, str] = field(default_factory=dict)
    creations: list[Comparison] = field(default_factory=list)
    turnovers: list[Comparison] = field(default_factory=list)
    """Changes and deletions of everything."""
    changes: list[Change] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    restarts: list[Restart] = field(default_factory=list)
    quiet: Quiet | None = None

    def failures(self) -> list[str]:
        """Return what fails the run, one sentence each."""
        found = [
            f"{one.what} took {one.ratio:.2f} times the raw limit; {LIMIT} is allowed"
            for one in self.creations
            if one.ratio > LIMIT
        ]
        found += [
            f"a restart wrote {one.broker_writes} times to the broker and {one.kube_writes} to the API server"
            for one in self.restarts
            if one.broker_writes or one.kube_writes
        ]
        if self.quiet is not None and (self.quiet.broker_writes or self.quiet.kube_writes):
            found.append(
                f"the steady state wrote {self.quiet.broker_writes} times to the broker and "
                f"{self.quiet.kube_writes} to the API server: {self.quiet.requests}"
            )
        return found

    def warnings(self) -> list[str]:
        """Return what makes times of this run worthless. It excuses nothing: the limits hold all the same."""
        return [
            f"{one.what}: up to {one.disturbance:.0%} of the CPU in use went to something else; neither "
            "the times nor their ratio can be trusted, for better or worse. Run it on a quiet machine."
            for one in (*self.creations, *self.turnovers)
            if one.disturbance > DISTURBED
        ]

    # -- for people ----------------------------------------------------------------------------------------------

    def table(self) -> str:
        """Return the table, with what it was measured on above and what fails below."""
        rows = [Row("case", "operator", "raw limit", "ratio", "target"), *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        head = ", ".join(f"{name} {version}" for name, version in {**self.versions, **machine()}.items())
        remarks = [
            *(f"DISTURBED: {text}" for text in self.warnings()),
            *(f"FAILED: {text}" for text in self.failures()),
        ]
        return "\n".join([head, "", *lines, *remarks])

    def _rows(self) -> Iterable[Row]:
        for one in self.creations:
            yield from _creation_rows(one)
        for one in self.turnovers:
            yield from _turnover_rows(one)
        for change in self.changes:
            ratio = "" if change.raw is None else f"{change.operator.p50 / change.raw.p50:.2f}"
            raw = "" if change.raw is None else _both(change.raw)
            yield Row(f"one change, {change.condition}: p50 / p99", _both(change.operator), raw, ratio, change.target)
        if self.handovers:
            yield from self._handover_rows()
        for objects in sorted({one.objects for one in self.restarts}):
            yield from _restart_rows([one for one in self.restarts if one.objects == objects])
        if self.quiet is not None:
            yield from self._quiet_rows(self.quiet)

    def _handover_rows(self) -> Iterable[Row]:
        for how, ended, target in (("SIGTERM", "leader ends in order", "3 s"), ("SIGKILL", "leader is killed", "")):
            mine = [one for one in self.handovers if one.how == how]
            leads, served = _longest([one.leads for one in mine]), _longest([one.served for one in mine])
            yield Row(f"{ended}: the standby leads, median / longest", leads, target=target)
            yield Row("  a Queue posted at that moment is Ready", served)

    def _quiet_rows(self, quiet: Quiet) -> Iterable[Row]:
        name = f"steady state, {quiet.objects} Queues, {quiet.resyncs} resyncs"
        yield Row(
            f"{name}: writes to broker and API server",
            f"{quiet.broker_writes} and {quiet.kube_writes}",
            target="0 and 0",
        )
        yield Row(
            "  per resync: requests to the broker", f"{quiet.broker_requests:.1f} ({quiet.broker_kilobytes:.0f} kB)"
        )
        yield Row("  per resync: lists at the API server", f"{quiet.kube_requests:.1f}")
        yield Row("  per resync: CPU", f"{quiet.cpu:.2f} s")
        yield Row("  memory now / highest", f"{quiet.memory:.0f} / {quiet.memory_peak:.0f} MB", target="150 MB")

    # -- for programs --------------------------------------------------------------------------------------------

    def write(self, path: Path, arguments: Sequence[str]) -> None:
        """Write everything as JSON."""
        found: dict[str, Any] = {
            "arguments": list(arguments),
            "machine": machine(),
            "versions": self.versions,
            "creations": [_as_dict(one) for one in self.creations],
            "turnovers": [_as_dict(one) for one in self.turnovers],
            "changes": [
                {
                    "condition": c.condition,
                    "operator_ms": _summary(c.operator),
                    "raw_ms": _summary(c.raw) if c.raw is not None else None,
                }
                for c in self.changes
            ],
            "handovers": [asdict(h) for h in self.handovers],
            "restarts": [asdict(r) for r in self.restarts],
            "steady": asdict(self.quiet) if self.quiet is not None else None,
            "warnings": self.warnings(),
            "failures": self.failures(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")


def _creation_rows(one: Comparison) -> Iterable[Row]:
    for what, moment, ratio, target in (
        ("all Ready", "ready", one.ready_ratio, ""),
        ("everything written", "settled", one.ratio, "1.20"),
    ):
        operator = statistics.median(getattr(r, moment) for r in one.operator)
        raw = statistics.median(getattr(r, moment) for r in one.raw)
        yield Row(f"{one.what}: {what}", f"{operator:.2f} s", f"{raw:.2f} s", f"{ratio:.2f}", target)
    for name in one.operator[0].cpu:
        spent = statistics.median(r.cpu[name] for r in one.operator)
        least = statistics.median(r.cpu.get(name, 0.0) for r in one.raw)
        yield Row(f"  CPU of the {name}", f"{spent:.1f} s", f"{least:.1f} s" if least else "")
    rest = [
        " / ".join(f"{statistics.median(getattr(r, what) for r in rounds):.1f} s" for what in ("others", "idle"))
        for rounds in (one.operator, one.raw)
    ]
    yield _cpu_row(one)
    yield Row("  CPU of anything else on the machine / unused", *rest)
    yield from _writes_rows(one)


def _turnover_rows(one: Comparison) -> Iterable[Row]:
    operator, raw = (statistics.median(r.settled for r in rounds) for rounds in (one.operator, one.raw))
    yield Row(f"{one.what}: everything written", f"{operator:.2f} s", f"{raw:.2f} s", f"{one.ratio:.2f}")
    yield _cpu_row(one)
    yield from _writes_rows(one)


def _cpu_row(one: Comparison) -> Row:
    whole = [f"{statistics.median(sum(r.cpu.values()) for r in rounds):.1f} s" for rounds in (one.operator, one.raw)]
    return Row("  CPU of all these", whole[0], whole[1], f"{one.cpu_ratio:.2f}")


def _writes_rows(one: Comparison) -> Iterable[Row]:
    yield Row("  writes to the API server, for each channel", f"{one.kube_writes:.2f}")
    if one.broker_requests:
        whole = sum(one.broker_requests.values())
        yield Row("  writes to the broker / all requests", f"{one.broker_writes:.2f} / {whole:.2f}")


def _restart_rows(restarts: Sequence[Restart]) -> Iterable[Row]:
    name = f"restart with {restarts[0].objects} channels"
    middle = statistics.median(one.quiet for one in restarts)
    target = "1 s" if restarts[0].objects <= _TARGETED else ""
    yield Row(f"{name}: quiet after the lists", f"{middle:.2f} s", target=target)
    whole = statistics.median(one.start for one in restarts)
    yield Row("  quiet after the process began", f"{whole:.2f} s")
    writes = [(one.broker_writes, one.kube_writes) for one in restarts]
    worst = f"{max(b for b, _ in writes)} and {max(k for _, k in writes)}"
    yield Row("  writes to broker and API server", worst, target="0 and 0")
    yield Row("  memory then", f"{statistics.median(one.memory for one in restarts):.0f} MB")


def _as_dict(one: Comparison) -> dict[str, Any]:
    ratios = {"ratio": one.ratio, "ready_ratio": one.ready_ratio, "cpu_ratio": one.cpu_ratio}
    return {**asdict(one), **ratios, "kube_writes": one.kube_writes, "broker_writes": one.broker_writes}


def _longest(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} / {max(seconds):.2f} s"


def _both(latency: Latency) -> str:
    return f"{latency.p50:.0f} / {latency.p99:.0f} ms"


def _summary(latency: Latency) -> dict[str, Any]:
    return {"p50": latency.p50, "p99": latency.p99, "samples": latency.samples}


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    load = os.getloadavg()[0]
    return {
        "cores": f"{len(os.sched_getaffinity(0))} ({model})",
        "memory": f"{memory:.0f} GB",
        "Python": platform.python_version(),
        "load": f"{load:.1f}",
    }
