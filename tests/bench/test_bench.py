"""The benchmark works, on few Queues: every case gives figures, and what must cost nothing costs nothing.

No time is judged here: a test machine is busy with other things.
"""

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import measure
from tests.bench.creation import Creation, Round
from tests.bench.figures import Results
from tests.bench.run import CASES, Plan
from tests.bench.settled import Restart
from tests.lab.setup import Lab

SIZE = 20


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("bench"), fsync=False, audit=True)


async def test_every_case_is_measured_and_the_steady_state_writes_nothing(lab: Lab, tmp_path: Path) -> None:
    with lab:
        plan = Plan(sizes=(SIZE,), cases=CASES, pairs=1, changes=5, restarts=1, handovers=1, resync="1s")
        results = await measure(lab, plan)
    assert [one.size for one in results.creations] == [SIZE]
    assert len(results.changes) == 3
    assert results.in_place == SIZE
    assert [one.how for one in results.handovers] == ["SIGTERM", "SIGKILL"]
    assert results.restarts
    assert all((one.broker_writes, one.kube_writes) == (0, 0) for one in results.restarts)
    assert results.quiet is not None
    assert (results.quiet.broker_writes, results.quiet.kube_writes) == (0, 0), results.quiet.requests
    # Zero writes must not mean that nothing was counted: every resync reads.
    assert results.quiet.broker_requests > 0
    assert results.quiet.kube_requests > 0
    results.write(tmp_path / "bench.json", [])
    assert json.loads((tmp_path / "bench.json").read_text())["steady"]["kube_writes"] == 0
    assert f"{SIZE} Queues: everything written" in results.table()


def _round(settled: float, others: float = 0.0) -> Round:
    return Round(posted=1.0, ready=settled, settled=settled, cpu={"operator": 1.0}, others=others, idle=0.0)


def test_a_run_above_the_limit_fails_and_says_by_how_much() -> None:
    results = Results(creations=[Creation(200, (_round(1.7),), (_round(1.0),))])
    assert results.failures() == ["200 Queues took 1.70 times the raw limit; 1.6 is allowed"]
    results.creations = [Creation(200, (_round(1.5),), (_round(1.0),))]
    assert results.failures() == []


def test_a_busy_machine_is_named_and_excuses_nothing() -> None:
    results = Results(creations=[Creation(200, (_round(1.7, others=1.0),), (_round(1.0),))])
    assert "up to 50% of the CPU in use went to something else" in results.table()
    assert results.failures()


@pytest.mark.parametrize(("broker", "kube"), [(1, 0), (0, 1)])
def test_a_write_at_a_restart_fails_the_run(broker: int, kube: int) -> None:
    found = Restart(
        quiet=0.1, start=1.0, broker_writes=broker, kube_writes=kube, broker_requests=5, cpu=0.1, memory=100
    )
    assert len(Results(restarts=[found]).failures()) == 1
