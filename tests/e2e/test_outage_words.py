"""How little is said in an outage, whatever it looks like: few status writes, and none that takes back a Ready.

Every way of being away is played at the same time, each on a Broker of its own behind a proxy of its own.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from tests.e2e.rough import status_writes
from tests.e2e.teams import DEAD, make_team, queue
from tests.harness.cluster import Recording, condition
from tests.harness.counting_proxy import CountingProxy
from tests.harness.kubeapi import Object
from tests.harness.process import Metrics
from tests.harness.site import Site, platform_objects
from tests.harness.waiting import wait_until
from tests.harness.world import World
from tests.lab.proxy import FaultProxy
from tests.lab.tls import Certificate, CertificateAuthority

PER_OBJECT, PER_BROKER = 2, 5
FAILED = 9
"""Requests to a broker that must have failed before its outage may end: many tries, not one."""


@dataclass
class Outage:
    """One Broker, what depends on it, and the way in which it is away."""

    site: Site
    proxy: FaultProxy
    begin: Callable[[], None]
    end: Callable[[], None]
    turn: Callable[[], None] = lambda: None
    """Called whenever more requests have failed."""
    failed: float = 0.0
    """Requests that had failed at the last look."""
    team: str = ""
    before: dict[tuple[str, str], Object] = field(default_factory=dict)

    def note(self) -> None:
        """Note every object as it is before the outage."""
        for kind, name in (("Queue", "still"), ("Queue", "edited"), ("BrokerUser", "sender"), ("BrokerUser", "other")):
            self.before[kind, name] = self._found(kind, self.team, name)
        self.before["Broker", "main"] = self._found("Broker", self.site.home, "main")

    def _found(self, kind: str, namespace: str, name: str) -> Object:
        return {"kind": kind, **self.site.cluster.wait_for(kind, namespace, name, bool, "is there")}

    def ask(self) -> None:
        """Change a queue, and make a queue and a user, while the broker is away."""
        cluster, site, team = self.site.cluster, self.site, self.team
        cluster.apply(queue(site, team, "edited", deadLetter=DEAD))
        made = cluster.apply(queue(site, team, "new"), site.user(team, "newcomer"))
        self.before["Queue", "new"], self.before["BrokerUser", "newcomer"] = made

    def lasts(self, metrics: Metrics) -> bool:
        """Whether enough was tried in vain."""
        name, broker = "channel_operator_broker_request_total", f"{self.site.home}/main"
        failed = sum(metrics.total(name, broker=broker, outcome=outcome) for outcome in ("unreachable", "refused"))
        if failed > self.failed:
            self.failed = failed
            self.turn()
        return failed >= FAILED

    def check_told(self) -> None:
        """Check that the Broker tells of it, and that the new queue waits without an alarm."""
        broker = self.site.cluster.get("Broker", self.site.home, "main")
        assert (condition(broker, "Ready") or {}).get("status") == "False", broker
        new = self.site.cluster.get("Queue", self.team, "new")
        assert (condition(new, "Ready") or {}).get("status") == "Unknown", new
        assert condition(new, "Stalled") is None

    def wait_over(self) -> None:
        """Wait until everything that was asked for is done."""
        cluster = self.site.cluster
        cluster.wait_ready("Broker", self.site.home, "main", timeout=120)
        for kind, name in self.before:
            if kind != "Broker":
                cluster.wait_ready(kind, self.team, name)


def _pointed_at(proxy: FaultProxy, port: int) -> Callable[[], None]:
    """Return what leads all connections elsewhere from now on."""

    def act() -> None:
        proxy.target = ("127.0.0.1", port)
        proxy.cut()

    return act


class Faults:
    """The ways of being away; each makes an outage that has not begun."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world = world
        self.stack = stack

    def all(self) -> dict[str, Outage]:
        """Return each by its name."""
        made = {
            "unknown authority": self._elsewhere(CertificateAuthority.create("unknown-ca").issue("rabbitmq")),
            "http for https": self._elsewhere(None),
            "cut within answers": self._proxied(lambda proxy: proxy.cut_after(900)),
            "cut within requests": self._proxied(lambda proxy: proxy.cut_after(700, direction="request")),
            "cut within the handshake": self._proxied(lambda proxy: proxy.cut_after(150)),
            "slow": self._proxied(lambda proxy: proxy.delay(1.2)),
            "silent": self._proxied(FaultProxy.black_hole),
            "refusing": self._proxied(FaultProxy.refuse),
            "wrong credentials": self._locked_out(),
            "now this, now that": self._changing(),
        }
        for one in made.values():
            one.team = make_team(one.site, {"still": {}, "edited": {}})
            one.site.cluster.apply(one.site.user(one.team, "other"))
            one.site.cluster.wait_ready("BrokerUser", one.team, "other")
        return made

    def _site(self) -> tuple[Site, FaultProxy]:
        proxy = self.world.proxy(self.world.rabbitmq.management_port)
        return self.world.site(management_port=proxy.port, spec={"resyncInterval": "1s"}), proxy

    def _proxied(self, fault: Callable[[FaultProxy], None]) -> Outage:
        site, proxy = self._site()

        def begin() -> None:
            fault(proxy)
            proxy.cut()

        def end() -> None:
            proxy.forward()
            proxy.cut()

        return Outage(site, proxy, begin, end)

    def _elsewhere(self, certificate: Certificate | None) -> Outage:
        site, proxy = self._site()
        rabbitmq = self.world.rabbitmq
        other = CountingProxy(rabbitmq.management_url, trust=rabbitmq.ca_pem, certificate=certificate)
        self.stack.enter_context(other)
        return Outage(site, proxy, _pointed_at(proxy, other.port), _pointed_at(proxy, rabbitmq.management_port))

    def _locked_out(self) -> Outage:
        """Give a Broker an administrator of its own, whose password changes."""
        site, proxy = self._site()
        rabbit = self.world.rabbitmq.api

        def password(value: str) -> None:
            rabbit("PUT", "/api/users/locked-out", {"password": value, "tags": "administrator"})

        password("first")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        rabbit("PUT", f"/api/permissions/{site.path}/locked-out", everything)
        secret = platform_objects(self.world.rabbitmq, site.home)[0]
        secret["stringData"] = {"username": "locked-out", "password": "first"}
        site.cluster.apply(secret)
        site.cluster.look_now(site.home, "main")
        return Outage(site, proxy, lambda: password("second"), lambda: password("first"))

    def _changing(self) -> Outage:
        """Fail each try in another way: see `turn`."""
        site, proxy = self._site()
        rabbitmq = self.world.rabbitmq
        plain = CountingProxy(rabbitmq.management_url, trust=rabbitmq.ca_pem, certificate=None)
        self.stack.enter_context(plain)
        ways: Iterator[Callable[[], None]] = itertools.cycle(
            (lambda: proxy.cut_after(0), proxy.black_hole, _pointed_at(proxy, plain.port), lambda: proxy.cut_after(900))
        )

        def turn() -> None:
            proxy.target = (rabbitmq.host, rabbitmq.management_port)
            proxy.forward()
            next(ways)()

        def end() -> None:
            proxy.forward()
            _pointed_at(proxy, rabbitmq.management_port)()

        return Outage(site, proxy, turn, end, turn=turn)


@pytest.fixture(scope="module")
def outages(rough: World) -> Iterator[tuple[dict[str, Outage], Recording]]:
    """Play every outage, from its beginning until everything asked for meanwhile is done."""
    rough.replica().start()
    with ExitStack() as stack:
        made = Faults(rough, stack).all()
        for one in made.values():
            one.note()
        recording = rough.cluster.record("Broker", "BrokerUser", "Queue")
        try:
            _play(rough, list(made.values()))
        finally:
            recording.stop()
        yield made, recording


def _play(world: World, outages: list[Outage]) -> None:
    for one in outages:
        one.begin()
        one.ask()

    def all_last() -> bool:
        metrics = world.operator.metrics()
        return sum(one.lasts(metrics) for one in outages) == len(outages)

    def counts() -> str:
        return f"failed: {[one.failed for one in outages]}\n{world.last_words()}"

    wait_until(all_last, "all were tried often enough", describe=counts, timeout=120)
    for one in outages:
        one.check_told()
        one.end()
    for one in outages:
        one.wait_over()


NAMES = (
    "unknown authority",
    "http for https",
    "cut within answers",
    "cut within requests",
    "cut within the handshake",
    "slow",
    "silent",
    "refusing",
    "wrong credentials",
    "now this, now that",
)


@pytest.mark.parametrize("name", NAMES)
def test_in_an_outage_few_statuses_are_written_and_none_takes_a_ready_back(
    outages: tuple[dict[str, Outage], Recording], name: str
) -> None:
    made, recording = outages
    outage = made[name]
    for (kind, which), before in outage.before.items():
        said = status_writes(recording, before)
        if kind == "Broker":
            assert 2 <= len(said) <= PER_BROKER, said
        elif which in {"still", "other"}:
            assert said == [], "nothing was asked of it"
        else:
            done = 1 if which in {"new", "newcomer"} else 0
            assert len(said) <= PER_OBJECT + done, (kind, which, said)
        if which == "sender":
            assert all(_ready(status) for status in said), "it was Ready and nothing was asked of it"


def _ready(status: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])


def test_every_way_was_played(outages: tuple[dict[str, Outage], Recording]) -> None:
    assert set(outages[0]) == set(NAMES)


def test_nothing_is_left_open_by_connections_that_came_to_nothing(
    rough: World, outages: tuple[dict[str, Outage], Recording]
) -> None:
    assert outages
    assert [line for line in rough.operator.log_lines() if "Unclosed" in str(line.get("msg"))] == []
