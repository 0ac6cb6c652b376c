"""The operator is ended by SIGKILL at each of its writes in turn, and started again: the end is always the same."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.teams import DEAD, RECEIVER, SENDER
from tests.harness.amqp import Client
from tests.harness.cluster import is_ready
from tests.harness.counting_proxy import CountingProxy
from tests.harness.definitions import broker_state, renamed
from tests.harness.kubeapi import Object
from tests.harness.observed import Guillotine, Moment, management_proxy, observed_replica
from tests.harness.process import Operator
from tests.harness.site import Site
from tests.harness.waiting import wait_until
from tests.harness.world import World

NEVER = 0
MOST_WRITES = 200
"""More than the scenario can need: a round beyond this would mean that the operator writes for ever."""
KINDS = ("Broker", "BrokerUser", "Queue")
States = list[Object]


@dataclass
class Stage:
    """What is used round after round."""

    world: World
    operator: Operator
    management: CountingProxy
    guillotine: Guillotine


@pytest.fixture(scope="module")
def stage(rough: World) -> Iterator[Stage]:
    """Run one operator between two proxies that know the guillotine."""
    with observed_replica(rough) as (operator, kubernetes), management_proxy(rough) as management:
        guillotine = Guillotine(operator)
        for proxy in (kubernetes, management):
            proxy.before, proxy.after = guillotine.before, guillotine.after
        operator.start()
        yield Stage(rough, operator, management, guillotine)


class Round:
    """The scenario: a Broker, two users and two queues come, one queue changes, all go."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.site = Site(stage.world.cluster, stage.world.rabbitmq, management_port=stage.management.port)
        self.states: States = []
        self.team = ""

    def play(self) -> States:
        """Play it to the end, starting the operator again whenever it has fallen."""
        site, cluster = self.site, self.site.cluster
        site.start(wait=False)
        self.team = site.namespace()
        cluster.apply(site.user(self.team, "sender"), site.user(self.team, "receiver"))
        cluster.apply(self._orders(deadLetter=DEAD, consumers=RECEIVER))
        cluster.apply(site.queue(self.team, "jobs", consumers=RECEIVER, deletionPolicy="Delete"))
        self._until(self._all_ready, "all are Ready")
        self._until(lambda: self._told("jobs", "orders"), "the receiver is told of both queues")
        self._send()
        self._note()

        cluster.apply(self._orders())
        self._until(self._all_ready, "the change is made")
        self._until(lambda: self._told("jobs"), "the receiver is told of the queue that is left to it")
        self._until(lambda: not self._ways_of_dead_letters(), "the way of the dead letters is gone")
        self._note()

        for kind, name in (
            ("Queue", "orders"),
            ("Queue", "jobs"),
            ("BrokerUser", "sender"),
            ("BrokerUser", "receiver"),
        ):
            cluster.delete(kind, self.team, name)
        cluster.delete("Broker", site.home, "main")
        self._until(lambda: not self._objects(), "all are gone")
        self._note()
        return self.states

    def _orders(self, **spec: Any) -> Object:
        return self.site.queue(self.team, "orders", producers=SENDER, deletionPolicy="Retain", **spec)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            if not self.stage.operator.running:
                self.stage.operator.launch()
            return condition()

        wait_until(look, what, describe=lambda: f"{self._state()}\n{self.site.cluster.evidence()}")

    def _objects(self) -> list[Object]:
        mine = {self.team, self.site.home}
        return [
            one for kind in KINDS for one in self.site.cluster.objects(kind) if one["metadata"]["namespace"] in mine
        ]

    def _all_ready(self) -> bool:
        found = self._objects()
        given = {grant.get("state") for one in found for grant in one.get("status", {}).get("grants") or [{}]}
        return all(is_ready(one) for one in found) and given <= {"Granted", None}

    def _told(self, *queues: str) -> bool:
        """Whether the receiver's own status, which follows those of the queues, tells of just these."""
        receiver = self.site.cluster.get("BrokerUser", self.team, "receiver") or {}
        return {grant["name"] for grant in receiver.get("status", {}).get("grants", [])} == set(queues)

    def _ways_of_dead_letters(self) -> list[str]:
        return [one["name"] for one in self._state()["broker"]["exchanges"] if one["name"].endswith("_dlx")]

    def _send(self) -> None:
        """Send with the issued credentials, so that there is something to lose."""
        with Client(self.site.binding(self.team, "sender")) as sender:
            sender.publish(f"{self.team}.orders_in", "precious")
        with Client(self.site.binding(self.team, "receiver")) as receiver:
            assert receiver.try_get(f"{self.team}.jobs") is None

    def _note(self) -> None:
        """Note the state once it has come to rest: a restarted operator may still be putting it right."""
        number = len(self.states)
        expected = EXPECTED[number] if number < len(EXPECTED) else None
        if expected is not None:
            self._until(lambda: self._state() == expected, f"the state of phase {number} is as without a crash")
        self.states.append(self._state())

    def _state(self) -> Object:
        names = {self.team: "team", self.site.home: "home", self.site.vhost: "vhost"}
        objects = {f"{one['kind']} {one['metadata']['name']}": _lasting(one) for one in self._objects()}
        return renamed({"broker": broker_state(self.site, {self.team: self.team}), "objects": objects}, names)


EXPECTED: States = []
"""The states of a round in which nothing fell."""


def _lasting(found: Object) -> Object:
    """Return what shall be the same whatever happened on the way."""
    metadata, status = found["metadata"], found["status"]
    return {
        "spec": found["spec"] if found["kind"] != "Broker" else None,
        "finalizers": metadata.get("finalizers"),
        "owned": metadata.get("annotations", {}).get("channel-operator.dev/owned", "").partition(":")[0],
        "conditions": sorted((one["type"], one["status"], one["reason"]) for one in status["conditions"]),
        "rest": {name: status.get(name) for name in ("origin", "address", "effective", "enforcement", "grants")},
    }


@pytest.fixture(scope="module")
def writes(stage: Stage) -> int:
    """Play undisturbed rounds; return how many writes one takes."""
    stage.guillotine.arm(NEVER, "after")
    EXPECTED[:] = Round(stage).play()
    return len(stage.guillotine.writes)


def _fall_at(stage: Stage, at: int, moment: Moment) -> bool:
    """Play a round with a fall; return whether it came to it."""
    stage.guillotine.arm(at, moment)
    states = Round(stage).play()
    assert len(states) == len(EXPECTED)
    return stage.guillotine.fallen is not None


def test_an_undisturbed_round_ends_as_the_manifests_say(stage: Stage, writes: int) -> None:
    assert writes > 20
    ready, changed, gone = EXPECTED
    assert {one["name"] for one in ready["broker"]["queues"]} == {"team.orders", "team.orders_dead", "team.jobs"}
    assert {one["owned"] for name, one in ready["objects"].items() if name != "Broker main"} == {"creating"}
    assert {one["rest"]["origin"] for name, one in ready["objects"].items() if name.startswith("Queue")} == {"Created"}
    assert changed["broker"] != ready["broker"]
    assert {one["name"] for one in gone["broker"]["queues"]} == {"team.orders", "team.orders_dead"}
    assert (gone["broker"]["users"], gone["broker"]["permissions"]) == ([], [])
    assert gone["objects"] == {}
    assert stage.guillotine.fallen is None


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", ["after", "before"])
def test_killed_at_any_write_it_ends_in_the_same_state(stage: Stage, writes: int, moment: Moment) -> None:
    """After: the write is done and nobody knows. Before: it is not, and what was under way beside it may be."""
    at = 1
    while _fall_at(stage, at, moment):
        at += 1
        assert at < MOST_WRITES
    assert at > writes // 2
