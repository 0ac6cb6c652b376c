"""What Argo CD and kube-state-metrics show of objects, by the chart's files, over statuses that the engine wrote."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa.lua51 import LuaRuntime

from channel_operator.api.crd import crd
from channel_operator.api.meta import GROUP, VERSION, Kind
from channel_operator.core.model import Key
from tests.engine.world import MAIN, World, world

FILES = Path(__file__).resolve().parents[2] / "charts" / "channel-operator" / "files"
LUA = (FILES / "argocd-health.lua").read_text()
CONFIG = yaml.safe_load((FILES / "kube-state-metrics.yaml").read_text())
STATE_METRICS: list[dict[str, Any]] = CONFIG["spec"]["resources"]


def health(body: dict[str, Any]) -> tuple[str, str]:
    """Run the check as Argo CD does: Lua 5.1, the object as the global `obj`."""
    lua = LuaRuntime(register_eval=False, unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(body, recursive=True)
    found = lua.execute(LUA)
    return found["status"], found["message"]


def shown(w: World, key: Key) -> str:
    status, message = health(copy.deepcopy(w.kube.objects[key]))
    assert message
    return status


async def test_argo_cd_shows_what_the_engine_says_in_every_state() -> None:
    async with world() as w:
        fresh = w.make_queue("invoices", consumers=[{"name": "worker"}])
        assert shown(w, fresh) == "Progressing", "no status yet"
        broker, user, bad = w.make_broker(), w.make_user("worker"), w.make_queue("bad", messageTTL="soon")
        topic, subscription = w.make_topic("orders", subscribers={"from": "All"}), w.make_subscription("orders")
        waiting = w.make_queue("waiting", brokerRef={"name": "none", "namespace": "messaging"})
        await w.start()
        await w.advance(10)
        for key in (broker, user, fresh, topic, subscription):
            assert shown(w, key) == "Healthy"
        assert health(w.kube.objects[bad]) == ("Degraded", w.kube.message(bad))
        assert shown(w, waiting) == "Progressing"

        w.broker.unreachable = True
        await w.advance(400)
        assert (shown(w, broker), shown(w, fresh)) == ("Progressing", "Healthy")
        late = w.make_queue("late")
        await w.advance(10)
        assert shown(w, late) == "Progressing"
        w.kube.delete(fresh)
        await w.advance(10)
        assert fresh in w.kube.objects
        assert shown(w, fresh) == "Progressing"
        w.broker.unreachable = False
        await w.advance(60)
        assert (shown(w, broker), shown(w, late)) == ("Healthy", "Healthy")

        edited = copy.deepcopy(w.kube.objects[late])
        edited["metadata"]["generation"] += 1
        assert health(edited)[0] == "Progressing", "the operator has not looked at it"
        w.kube.annotate(late, reconcile="Disabled")
        await w.advance(10)
        assert shown(w, late) == "Suspended"


# -- kube-state-metrics ------------------------------------------------------------------------------------------------


def values(body: Any, gauge: dict[str, Any]) -> Iterator[tuple[dict[str, str], Any]]:
    """Yield labels and value of each sample, by the rules of kube-state-metrics for a path and `valueFrom`."""
    for part in gauge["path"]:
        body = body.get(part) if body is not None else None
    elements: Sequence[Any] = body if isinstance(body, list) else [body] if body is not None else []
    for element in elements:
        value = element.get(*gauge["valueFrom"])
        if value is not None:
            labels = {name: element[path[0]] for name, path in gauge.get("labelsFromPath", {}).items()}
            yield labels, value


def samples(body: dict[str, Any]) -> dict[str, list[tuple[dict[str, str], Any]]]:
    [resource] = [one for one in STATE_METRICS if one["groupVersionKind"]["kind"] == body["kind"]]
    return {one["name"]: list(values(body, one["each"]["gauge"])) for one in resource["metrics"]}


def test_kube_state_metrics_is_told_of_all_five_kinds() -> None:
    told = [one["groupVersionKind"] for one in STATE_METRICS]
    assert {one["kind"] for one in told} == set(Kind)
    assert len(told) == len(Kind)
    assert {(one["group"], one["version"]) for one in told} == {(GROUP, VERSION)}
    assert {one["metricNamePrefix"] for one in STATE_METRICS} == {"kube_channel"}


def _within(schema: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for part in path:
        schema = schema.get("items", schema)["properties"][part]
    found: dict[str, Any] = schema.get("items", schema)
    return found


@pytest.mark.parametrize("resource", STATE_METRICS, ids=lambda one: str(one["groupVersionKind"]["kind"]))
def test_every_path_is_one_of_the_schema(resource: dict[str, Any]) -> None:
    schema = crd(Kind(resource["groupVersionKind"]["kind"]))["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {
        "properties": {
            name: {} for name in ("name", "namespace", "generation", "creationTimestamp", "deletionTimestamp")
        }
    }
    for path in resource["labelsFromPath"].values():
        _within(schema, path)
    for metric in resource["metrics"]:
        gauge = metric["each"]["gauge"]
        element = _within(schema, gauge["path"])
        for path in (gauge["valueFrom"], *gauge.get("labelsFromPath", {}).values()):
            _within(element, path)


async def test_kube_state_metrics_shows_conditions_and_deletions_of_single_objects() -> None:
    async with world() as w:
        queue = w.make_queue("invoices", deletionPolicy="Delete")
        assert samples(w.kube.objects[queue])["status_condition"] == []
        w.make_broker()
        await w.start()
        await w.advance(10)
        told = samples(w.kube.objects[queue])
        assert ({"type": "Ready", "status": "True", "reason": "Programmed"}, "True") in told["status_condition"]
        assert told["status_observed_generation"] == told["metadata_generation"] == [({}, 1)]
        assert told["deletion_timestamp"] == []
        w.broker.unreachable = True
        await w.advance(400)
        w.kube.delete(queue)
        await w.advance(10)
        assert samples(w.kube.objects[queue])["deletion_timestamp"] != []
        assert ({"type": "Reachable", "status": "False", "reason": "BrokerUnreachable"}, "False") in samples(
            w.kube.objects[MAIN]
        )["status_condition"]
