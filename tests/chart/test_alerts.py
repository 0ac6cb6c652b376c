"""The alerts: each fires and clears, uses what there is, and has a page that says what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART
from tests.harness.install import ROOT
from tests.harness.metric_names import check_query
from tests.lab.errors import LabError
from tests.lab.promtool import promtool

FILE = CHART / "files" / "alerts.yaml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
}
CASES = Path(__file__).parent / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ["Meaning", "Impact", "Find out", "Mend"]


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", FILE)


def test_every_alert_has_a_case_and_a_page_and_there_are_no_others() -> None:
    assert {path.stem for path in CASES.glob("*.yaml")} == set(RULES)
    assert {path.stem for path in RUNBOOKS.glob("ChannelOperator*.md")} == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_fires_and_clears(alert: str) -> None:
    case = CASES / f"{alert}.yaml"
    [test] = yaml.safe_load(case.read_text())["tests"]
    looks = [(look["alertname"], bool(look["exp_alerts"])) for look in test["alert_rule_test"]]
    assert looks == [(alert, False), (alert, True), (alert, False)], "a case looks before, while it fires, and after"
    assert "SUCCESS" in promtool("test", "rules", case)


def test_a_case_that_does_not_hold_would_be_found(tmp_path: Path) -> None:
    text = (CASES / "ChannelOperatorBrakeEngaged.yaml").read_text()
    wrong = text.replace("../../../charts/channel-operator/files/alerts.yaml", str(FILE)).replace("1x15", "0x15")
    case = tmp_path / "case.yaml"
    case.write_text(wrong)
    with pytest.raises(LabError, match="ChannelOperatorBrakeEngaged"):
        promtool("test", "rules", case)


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_uses_metrics_and_labels_that_there_are(alert: str) -> None:
    rule = RULES[alert]
    labels = check_query(rule["expr"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert shown <= labels


def test_a_query_for_what_there_is_not_would_be_found() -> None:
    for query in (
        "channel_operator_brokers_up == 0",
        'channel_operator_broker_up{queue="x"}',
        "sum by (broker) (channel_operator_leader)",
        "channel_operator_broker_up_bucket",
        "up == 0",
    ):
        with pytest.raises(AssertionError):
            check_query(query)


@pytest.mark.parametrize("alert", RULES)
def test_the_page_of_an_alert_says_what_it_means_and_what_to_do(alert: str) -> None:
    assert RULES[alert]["annotations"]["runbook_url"] == f"docs/runbooks/{alert}.md"
    page = (RUNBOOKS / f"{alert}.md").read_text()
    assert page.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert f"({alert}.md)" in (RUNBOOKS / "README.md").read_text()
    for name in set(re.findall(r"channel_operator_\w+", page)):
        check_query(name)
