"""System alert limits: four of the original specification, oldest ticket, no worker; and the minimum of tickets."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from triagem.db.outbox.monitoring import LiveStats
from triagem.notify.monitor import MonitorSettings, SystemSnapshot, measure

HEALTHY = SystemSnapshot(LiveStats(1000, 200, 10, 1000, 0.5), workers=1, memory=0.8, oldest_s=300.0, paused=False)
ALL_KINDS = {"unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker", "registry"}


def bad_by_kind(snapshot: SystemSnapshot) -> dict[str, bool]:
    return {measurement.kind: measurement.bad for measurement in measure(snapshot, MonitorSettings())}


def test_values_at_their_limits_are_healthy() -> None:
    assert bad_by_kind(HEALTHY) == dict.fromkeys(ALL_KINDS, False)


@pytest.mark.parametrize(
    ("kind", "snapshot"),
    [
        ("unsure-share", replace(HEALTHY, live=replace(HEALTHY.live, unsure=201))),
        ("error-rate", replace(HEALTHY, live=replace(HEALTHY.live, dead_letters=11))),
        ("latency", replace(HEALTHY, live=replace(HEALTHY.live, p95_s=0.51))),
        ("memory", replace(HEALTHY, memory=0.81)),
        ("oldest-ticket", replace(HEALTHY, oldest_s=301.0)),
        ("no-worker", replace(HEALTHY, workers=0)),
        ("registry", replace(HEALTHY, without_registry=1)),
    ],
)
def test_each_exceeded_limit_is_bad_alone(kind: str, snapshot: SystemSnapshot) -> None:
    assert {name for name, bad in bad_by_kind(snapshot).items() if bad} == {kind}


def test_too_few_tickets_give_no_measurement() -> None:
    measured = bad_by_kind(replace(HEALTHY, live=LiveStats(19, 19, 0, 19, 60.0))).keys()
    assert measured == ALL_KINDS - {"unsure-share", "latency"}


@pytest.mark.parametrize(
    ("tickets", "dead_letters", "bad"),
    [(0, 0, False), (0, 2, False), (0, 3, True), (16, 3, True), (17, 2, False), (18, 2, True)],
)
def test_among_few_tickets_three_dead_letters_are_an_error_rate(tickets: int, dead_letters: int, bad: bool) -> None:
    live = LiveStats(tickets, 0, dead_letters)
    assert bad_by_kind(replace(HEALTHY, live=live))["error-rate"] is bad


def test_dead_letters_without_results_are_an_error_rate() -> None:
    assert bad_by_kind(replace(HEALTHY, live=LiveStats(0, 0, 20)))["error-rate"]


def test_memory_that_no_worker_reports_is_not_measured() -> None:
    assert "memory" not in bad_by_kind(replace(HEALTHY, memory=None))


def test_an_empty_inbox_is_healthy_and_a_paused_one_is_not_checked() -> None:
    assert bad_by_kind(replace(HEALTHY, oldest_s=None))["oldest-ticket"] is False
    assert "oldest-ticket" not in bad_by_kind(replace(HEALTHY, oldest_s=9000.0, paused=True))


def test_kinds_are_disabled_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_MONITOR_DISABLED_KINDS", "no-worker, memory")
    assert MonitorSettings().disabled_kinds == {"no-worker", "memory"}
    monkeypatch.setenv("TRIAGEM_MONITOR_DISABLED_KINDS", "workers")
    with pytest.raises(ValidationError, match="'workers' is not one of unsure-share"):
        MonitorSettings()
