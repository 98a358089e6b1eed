"""What is too much: the seed's four limits, an old ticket, no worker; and what too few tickets prove."""

from dataclasses import replace

import pytest
from pydantic import ValidationError

from triagem.alerts.watch import Seen, WatchSettings, measures
from triagem.db.watch import Live

WELL = Seen(Live(1000, 200, 10, 1000, 0.5), workers=1, memory=0.8, oldest_s=300.0, paused=False)
EVERYTHING = {"unsure-share", "error-rate", "latency", "memory", "oldest-ticket", "no-worker"}


def verdicts(seen: Seen) -> dict[str, bool]:
    return {one.kind: one.bad for one in measures(seen, WatchSettings())}


def test_all_limits_met_and_none_passed_is_well() -> None:
    assert verdicts(WELL) == dict.fromkeys(EVERYTHING, False)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("unsure-share", replace(WELL, live=replace(WELL.live, unsure=201))),
        ("error-rate", replace(WELL, live=replace(WELL.live, dead=11))),
        ("latency", replace(WELL, live=replace(WELL.live, p95_s=0.51))),
        ("memory", replace(WELL, memory=0.81)),
        ("oldest-ticket", replace(WELL, oldest_s=301.0)),
        ("no-worker", replace(WELL, workers=0)),
    ],
)
def test_each_limit_that_is_passed_is_bad_alone(kind: str, seen: Seen) -> None:
    assert {name for name, bad in verdicts(seen).items() if bad} == {kind}


def test_few_tickets_prove_nothing() -> None:
    assert verdicts(replace(WELL, live=Live(19, 19, 0, 19, 60.0))).keys() == EVERYTHING - {
        "unsure-share", "error-rate", "latency",
    }  # fmt: skip


def test_tickets_that_all_died_are_an_error_rate() -> None:
    assert verdicts(replace(WELL, live=Live(0, 0, 20)))["error-rate"]


def test_what_no_worker_says_is_not_taken_for_well() -> None:
    assert "memory" not in verdicts(replace(WELL, memory=None))


def test_an_empty_inbox_is_well_and_a_paused_one_is_not_looked_at() -> None:
    assert verdicts(replace(WELL, oldest_s=None))["oldest-ticket"] is False
    assert "oldest-ticket" not in verdicts(replace(WELL, oldest_s=9000.0, paused=True))


def test_kinds_are_switched_off_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_WATCH_OFF", "no-worker, memory")
    assert WatchSettings().off == {"no-worker", "memory"}
    monkeypatch.setenv("TRIAGEM_WATCH_OFF", "workers")
    with pytest.raises(ValidationError, match="'workers' is none of unsure-share"):
        WatchSettings()
    with pytest.raises(ValidationError, match="there are only"):
        WatchSettings(off=frozenset(), bad=4)
