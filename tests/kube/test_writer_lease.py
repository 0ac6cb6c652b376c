"""The Lease and the election on a real API server."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from channel_operator.engine.clock import SystemClock
from channel_operator.engine.election import Elector, LeaseTimes
from channel_operator.engine.ports import Conflict, LeaseRecord
from channel_operator.kube.client import KubeClient
from channel_operator.kube.leases import KubeLease
from tests.kube.conftest import Kube
from tests.kube.connected import connected, eventually

# A whole second, as a clock may well show: the API server wants the six digits all the same.
STAMP = datetime(2026, 1, 2, 3, 4, 5, 0, tzinfo=UTC)
TIMES = LeaseTimes(duration=3.0, renew_deadline=2.0, retry=0.2)


def lease(client: KubeClient, namespace: str) -> KubeLease:
    return KubeLease(client, namespace, "channel-operator-0")


async def test_a_lease_is_made_read_and_replaced(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        one = lease(client, namespace)
        assert await one.get() is None
        made = await one.create(LeaseRecord("", "a", 15.0, 0, STAMP, STAMP))
        assert await one.get() == made
        assert (made.holder, made.duration, made.transitions, made.acquired) == ("a", 15.0, 0, STAMP)
        written = await one.replace(replace(made, holder="b", transitions=1))
        assert (await one.get()) == written
        assert written.holder == "b"


async def test_of_two_writers_only_the_first_wins(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        one = lease(client, namespace)
        made = await one.create(LeaseRecord("", "a", 15.0, 0, STAMP, STAMP))
        with pytest.raises(Conflict):
            await one.create(LeaseRecord("", "b", 15.0, 0, STAMP, STAMP))
        await one.replace(replace(made, holder="b"))
        with pytest.raises(Conflict):
            await one.replace(replace(made, holder="c"))


async def test_a_released_lease_has_no_holder_and_is_taken_over(kube: Kube, namespace: str) -> None:
    async with connected(kube.kubeconfig) as client:
        first, second = (
            Elector(lease(client, namespace), SystemClock(), identity=name, times=TIMES) for name in ("first", "second")
        )
        leader = asyncio.create_task(first.run())
        await eventually(first.is_leader)
        follower = asyncio.create_task(second.run())
        leader.cancel()
        with suppress(asyncio.CancelledError):
            await leader
        await first.release()
        await eventually(second.is_leader)
        stored = kube.get("lease", "channel-operator-0", "-n", namespace)["spec"]
        assert (stored["holderIdentity"], stored["leaseTransitions"]) == ("second", 1)
        follower.cancel()
        with suppress(asyncio.CancelledError):
            await follower


async def test_a_lease_that_was_deleted_is_made_again_by_its_leader(kube: Kube, namespace: str) -> None:
    # The API server creates a Lease on update, so nobody can come between.
    async with connected(kube.kubeconfig) as client:
        one = lease(client, namespace)
        elector = Elector(one, SystemClock(), identity="first", times=TIMES)
        leader = asyncio.create_task(elector.run())
        await eventually(elector.is_leader)
        old = kube.get("lease", "channel-operator-0", "-n", namespace)["metadata"]["uid"]
        kube.kubectl("delete", "lease", "channel-operator-0", "-n", namespace)
        name = ("get", "lease", "channel-operator-0", "-n", namespace, "-o=jsonpath={.metadata.uid}")
        await eventually(lambda: kube.kubectl(*name).stdout not in {"", old})
        assert elector.is_leader()
        assert not elector.lost.is_set()
        leader.cancel()
        with suppress(asyncio.CancelledError):
            await leader
