"""deploy/prometheus and deploy/grafana: checked by promtool, and each alert has a severity and a runbook section."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.manifests import ROOT, documents
from tests.support.promql import RULES, expressions, panels, rules, selected_series
from triagem.db.outbox.alerts import ALERT_KINDS

CASES = documents(RULES.with_name("alerts.test.yml"))[0]["tests"]
ALERTS = [rule["alert"] for rule in rules()]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool is not on the PATH: it comes with Prometheus (Debian: apt install prometheus)")
    return subprocess.run([program, *arguments], cwd=RULES.parent, capture_output=True, text=True, check=False)


def test_promtool_reads_the_rules_and_the_configuration() -> None:
    for arguments in (("check", "rules", RULES.name), ("check", "config", "prometheus.yml")):
        process = promtool(*arguments)
        assert process.returncode == 0, process.stdout + process.stderr


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    process = promtool("test", "rules", "alerts.test.yml")
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tested_firing_and_not_firing(alert: str) -> None:
    tests = [test for case in CASES for test in case["alert_rule_test"] if test["alertname"] == alert]
    assert {bool(test["exp_alerts"]) for test in tests} == {True, False}


@pytest.mark.parametrize("rule", rules(), ids=ALERTS)
def test_each_alert_leads_to_its_section_of_the_runbook(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert anchor in {heading.lower() for heading in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_runbook_has_sections_for_existing_alerts_only() -> None:
    runbook = (ROOT / "docs" / "how-to" / "runbook.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (Triagem\w+)$", runbook, re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)


def test_the_runbook_has_a_row_for_each_built_in_alert() -> None:
    runbook = (ROOT / "docs" / "how-to" / "runbook.md").read_text(encoding="utf-8")
    _, table = runbook.split("**By built-in alert.**")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", table.split("**All sections**")[0], re.MULTILINE)) == ALERT_KINDS


def test_the_series_that_an_expression_selects_are_found() -> None:
    expression = (
        'a / on () group_left (x) sum by (le) (rate(b_total{c="d",job="e"}[5m] offset 1h)) and absent(f) > 3e2'
    )
    assert selected_series(expression) == [("a", {}), ("b_total", {"c": "d"}), ("f", {})]


def test_no_two_panels_have_the_same_title() -> None:
    titles = [panel["title"] for panel in panels()]
    assert len(titles) == len(set(titles)) > 15
    assert all(map(expressions, panels()))
