"""What is too much: the seed's four limits, an old ticket, no worker; and what too few tickets prove."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from triagem.alerts.monitor import MonitorSettings, SystemSnapshot, measure
from triagem.db.monitoring import LiveStats

WELL = SystemSnapshot(LiveStats(1000, 200, 10, 1000, 0.5), workers=1, memory=0.8, oldest_s=300.0, paused=False)
EVERYTHING = {"unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker"}


def verdicts(seen: SystemSnapshot) -> dict[str, bool]:
    return {one.kind: one.bad for one in measure(seen, MonitorSettings())}


def test_values_at_their_limits_are_healthy() -> None:
    assert verdicts(WELL) == dict.fromkeys(EVERYTHING, False)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("unsure-share", replace(WELL, live=replace(WELL.live, unsure=201))),
        ("error-rate", replace(WELL, live=replace(WELL.live, dead_letters=11))),
        ("latency", replace(WELL, live=replace(WELL.live, p95_s=0.51))),
        ("memory", replace(WELL, memory=0.81)),
        ("oldest-ticket", replace(WELL, oldest_s=301.0)),
        ("no-worker", replace(WELL, workers=0)),
    ],
)
def test_each_exceeded_limit_is_bad_alone(kind: str, seen: SystemSnapshot) -> None:
    assert {name for name, bad in verdicts(seen).items() if bad} == {kind}


def test_too_few_tickets_give_no_measurement() -> None:
    assert verdicts(replace(WELL, live=LiveStats(19, 19, 0, 19, 60.0))).keys() == EVERYTHING - {
        "unsure-share", "error-rate", "latency",
    }  # fmt: skip


def test_dead_letters_without_results_are_an_error_rate() -> None:
    assert verdicts(replace(WELL, live=LiveStats(0, 0, 20)))["error-rate"]


def test_a_value_that_no_worker_reports_is_not_healthy() -> None:
    assert "memory" not in verdicts(replace(WELL, memory=None))


def test_an_empty_inbox_is_healthy_and_a_paused_one_is_not_checked() -> None:
    assert verdicts(replace(WELL, oldest_s=None))["oldest-ticket"] is False
    assert "oldest-ticket" not in verdicts(replace(WELL, oldest_s=9000.0, paused=True))


def test_kinds_are_disabled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_MONITOR_DISABLED_KINDS", "no-worker, memory")
    assert MonitorSettings().disabled_kinds == {"no-worker", "memory"}
    monkeypatch.setenv("TRIAGEM_MONITOR_DISABLED_KINDS", "workers")
    with pytest.raises(ValidationError, match="'workers' is not one of unsure-share"):
        MonitorSettings()
    with pytest.raises(ValidationError, match="must not exceed last_checks"):
        MonitorSettings(disabled_kinds=frozenset(), bad_checks=4)
