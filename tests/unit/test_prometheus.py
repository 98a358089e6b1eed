"""deploy/prometheus and deploy/grafana: what Prometheus' own tool says, and what each alert owes to who is woken."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.support.manifests import ROOT, documents
from tests.support.promql import RULES, asked, panels, rules, selected

CASES = documents(RULES.with_name("alerts.test.yml"))[0]["tests"]
ALERTS = [rule["alert"] for rule in rules()]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if (found := shutil.which("promtool")) is None:
        pytest.skip("promtool is not on the PATH: it comes with Prometheus (Debian: apt install prometheus)")
    return subprocess.run([found, *arguments], cwd=RULES.parent, capture_output=True, text=True, check=False)


def test_promtool_reads_the_rules_and_the_configuration() -> None:
    for arguments in (("check", "rules", RULES.name), ("check", "config", "prometheus.yml")):
        done = promtool(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    done = promtool("test", "rules", "alerts.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_is_tried_firing_and_not_firing(alert: str) -> None:
    tried = [one for case in CASES for one in case["alert_rule_test"] if one["alertname"] == alert]
    assert {bool(one["exp_alerts"]) for one in tried} == {True, False}


@pytest.mark.parametrize("rule", rules(), ids=ALERTS)
def test_each_alert_leads_to_its_section_of_the_runbook(rule: dict[str, Any]) -> None:
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert anchor in {heading.lower() for heading in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_the_runbook_has_no_section_of_an_alert_that_is_none() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (Triagem\w+)$", runbook, re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)


def test_what_an_expression_selects_is_found() -> None:
    expression = (
        'a / on () group_left (x) sum by (le) (rate(b_total{c="d",job="e"}[5m] offset 1h)) and absent(f) > 3e2'
    )
    assert selected(expression) == [("a", {}), ("b_total", {"c": "d"}), ("f", {})]


def test_no_two_panels_have_one_title() -> None:
    titles = [one["title"] for one in panels()]
    assert len(titles) == len(set(titles)) > 15
    assert all(map(asked, panels()))
