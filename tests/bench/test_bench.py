"""The benchmark works, on few Queues: every case gives figures, and what must cost nothing costs nothing.

No time is judged here: a test machine is busy with other things.
"""

import json
from pathlib import Path

import pytest

from tests.bench.__main__ import measure
from tests.bench.figures import Results
from tests.bench.rounds import Comparison, Round
from tests.bench.run import CASES, Plan
from tests.bench.settled import Restart
from tests.lab.setup import Lab

SIZE = 20
TOPICS = 5
POLICIES = 5
LARGE = 40


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("bench"), fsync=False, audit=True)


@pytest.mark.timeout(900)
async def test_every_case_is_measured_and_the_steady_state_writes_nothing(lab: Lab, tmp_path: Path) -> None:
    with lab:
        plan = Plan(
            sizes=(SIZE,),
            cases=CASES,
            topics=TOPICS,
            policies=POLICIES,
            large=LARGE,
            pairs=1,
            changes=5,
            restarts=1,
            handovers=1,
            resync="1s",
        )
        results = await measure(lab, plan)
    assert [one.objects for one in results.creations] == [SIZE, TOPICS * 4]
    assert [one.objects for one in results.turnovers] == [SIZE, POLICIES, SIZE, TOPICS * 4]
    assert_counts(results)
    assert len(results.changes) == 3
    assert [one.how for one in results.handovers] == ["SIGTERM", "SIGKILL"]
    assert [one.objects for one in results.restarts] == [SIZE, LARGE]
    assert all((one.broker_writes, one.kube_writes) == (0, 0) for one in results.restarts)
    assert results.quiet is not None
    assert (results.quiet.broker_writes, results.quiet.kube_writes) == (0, 0), results.quiet.requests
    # Zero writes must not mean that nothing was counted: every resync reads.
    assert results.quiet.broker_requests > 0
    assert results.quiet.kube_requests > 0
    results.write(tmp_path / "bench.json", [])
    assert json.loads((tmp_path / "bench.json").read_text())["steady"]["kube_writes"] == 0
    assert f"{SIZE} Queues: everything written" in results.table()


def assert_counts(results: Results) -> None:
    """Check that something was counted, and that the broker does not hear of what does not concern it."""
    deletion_policy, time_to_live, *deletions = results.turnovers
    assert deletion_policy.broker_writes < 1, deletion_policy.broker_requests
    assert time_to_live.broker_requests["PUT"] >= 1
    for one in (*results.creations, *deletions):
        assert one.broker_writes >= 1
    for one in (*results.creations, *results.turnovers):
        # The audit log may lag by some lines.
        assert one.kube_writes > 0


def _round(settled: float, others: float = 0.0) -> Round:
    return Round(posted=1.0, ready=settled, settled=settled, cpu={"operator": 1.0}, others=others, idle=0.0)


def _compared(one: Round) -> Comparison:
    return Comparison("200 Queues", (one,), (_round(1.0),), 200)


def test_a_run_above_the_limit_fails_and_says_by_how_much() -> None:
    results = Results(creations=[_compared(_round(1.7))])
    assert results.failures() == ["200 Queues took 1.70 times the raw limit; 1.6 is allowed"]
    results.creations = [_compared(_round(1.5))]
    assert results.failures() == []


def test_a_busy_machine_is_named_and_excuses_nothing() -> None:
    results = Results(creations=[_compared(_round(1.7, others=1.0))])
    assert "up to 50% of the CPU in use went to something else" in results.table()
    assert results.failures()


@pytest.mark.parametrize(("broker", "kube"), [(1, 0), (0, 1)])
def test_a_write_at_a_restart_fails_the_run(broker: int, kube: int) -> None:
    found = Restart(
        objects=20,
        quiet=0.1,
        start=1.0,
        broker_writes=broker,
        kube_writes=kube,
        broker_requests=5,
        cpu=0.1,
        memory=100,
    )
    assert len(Results(restarts=[found]).failures()) == 1
