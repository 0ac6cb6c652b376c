"""Cases: a change of every channel that is in place, and the deletion of all.

A change ends when all are Ready at their new generation; a deletion when the manifests are gone and every user's Secret
tells of nothing any more.
"""

from collections.abc import Sequence
from typing import Any

from channel_operator.api.meta import Kind
from tests.bench.counting import Books
from tests.bench.measured import MeasuredOperator
from tests.bench.raw_after import RawAfter
from tests.bench.rounds import Round, goals, measure
from tests.bench.sample import TTL, Sample
from tests.bench.servers import MERGE_PATCH, custom_path
from tests.bench.stage import Stage, each
from tests.bench.watching import gone, grants, ready_at
from tests.bench.work import Workload, kind_of

__all__ = ["Turnover"]

_DELETION = {"deletionPolicy": "Delete"}


class Turnover:
    """Changes and deletes one workload; with `operator` None by the raw limit."""

    def __init__(
        self,
        stage: Stage,
        sample: Sample,
        work: Workload,
        operator: MeasuredOperator | None = None,
        books: Books | None = None,
    ) -> None:
        self._stage = stage
        self._work = work
        self._operator = operator
        self._books = books
        self._raw = RawAfter(stage, sample, work)

    async def deletion_policy(self) -> Round:
        """Have all Queues go with their messages: a change that concerns no native object."""
        return await self._change(self._work.names, _DELETION)

    async def time_to_live(self, count: int) -> Round:
        """Give so many Queues a time to live, each by a policy of its own."""
        names = self._work.names[:count]
        found = await self._change(names, {"messageTTL": TTL}, policy="PUT")
        policies = await self._stage.broker.call("GET", "policies", self._work.name)
        if len(policies) != count:
            raise AssertionError(f"{len(policies)} policies are at the broker, not {count}")
        return found

    async def no_time_to_live(self, count: int) -> Round:
        """Take the same back."""
        return await self._change(self._work.names[:count], {"messageTTL": None}, policy="DELETE")

    async def deletion(self) -> Round:
        """Delete every channel, what hangs on another one first."""
        stage, work = self._stage, self._work

        async def delete(name: str) -> None:
            await stage.kube.call("DELETE", custom_path(kind_of(name), work.name, name))

        async def run() -> None:
            await (self._raw.delete_all() if self._operator is None else each(work.names[::-1], delete))

        await self._raw.prepare()
        ends = goals(work.names, gone), goals(work.users, grants(0))
        found = await measure(stage, work, run, *ends, operator=self._operator, books=self._books)
        await stage.verify_nothing(work)
        return found

    async def _change(self, names: Sequence[str], spec: dict[str, Any], *, policy: str = "") -> Round:
        stage, work = self._stage, self._work
        found = await stage.kube.list(custom_path(Kind.QUEUE, work.name))
        generation = 1 + max(body["metadata"]["generation"] for body in found if body["metadata"]["name"] in names)

        async def patch(name: str) -> None:
            url_path = custom_path(kind_of(name), work.name, name)
            await stage.kube.call("PATCH", url_path, {"spec": spec}, content_type=MERGE_PATCH)

        async def run() -> None:
            await (self._raw.change(names, spec, policy=policy) if self._operator is None else each(names, patch))

        ends = goals(names, ready_at(generation))
        return await measure(stage, work, run, ends, operator=self._operator, books=self._books)
