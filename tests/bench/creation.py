"""Case: all channels of a workload, from the first POST until all are Ready and every user's Secret tells of them."""

from tests.bench.counting import Books
from tests.bench.measured import MeasuredOperator
from tests.bench.raw import Raw
from tests.bench.rounds import Goal, Round, goals, measure
from tests.bench.sample import Sample
from tests.bench.servers import custom_path
from tests.bench.stage import Stage, each
from tests.bench.watching import grants, ready
from tests.bench.work import GROUP, Workload, kind_of

__all__ = ["by_operator", "by_raw"]


async def by_operator(stage: Stage, work: Workload, operator: MeasuredOperator, *, books: Books | None = None) -> Round:
    """POST the channels and let the operator do the rest."""

    async def post(name: str) -> None:
        await stage.kube.call("POST", custom_path(kind_of(name), work.name), work.manifest(name))

    found = await measure(stage, work, lambda: each(work.names, post), *_goals(work), operator=operator, books=books)
    await stage.verify(work)
    return found


async def by_raw(stage: Stage, sample: Sample, work: Workload) -> Round:
    """Do everything here; no operator may run."""
    raw = Raw(stage, sample, work)
    await raw.prepare()
    found = await measure(stage, work, raw.create_all, *_goals(work))
    await stage.verify(work)
    return found


def _goals(work: Workload) -> tuple[list[Goal], list[Goal]]:
    return goals(work.names, ready), goals(work.users, grants(GROUP))
