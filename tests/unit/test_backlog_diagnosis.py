"""The one-line diagnosis of `triagem backlog`."""

import pytest

from triagem.cli.commands.backlog import describe, diagnose
from triagem.contracts.ticket import Lane
from triagem.inbox import Depth, InboxSettings

EMPTY = Depth(waiting=0, in_flight=0, oldest_s=None)
BUSY = Depth(waiting=7, in_flight=3, oldest_s=1.0)
SILENT_WORKER = "no sign of life: last seen 12 s ago"
RUNNING = {"a": "at work", "b": "at work"}


def diagnosis(
    live: Depth = BUSY,
    states: dict[str, str] = RUNNING,
    *,
    paused: bool = False,
    quarantined: int = 0,
    memory_used: float = 0.1,
) -> str:
    depths = {Lane.LIVE: live, Lane.BULK: EMPTY}
    settings = InboxSettings(live_high_water=100, memory_share=0.8)
    return diagnose(depths, states, settings, paused=paused, quarantined=quarantined, memory_used=memory_used)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (diagnosis(), "draining"),
        (diagnosis(states={"a": "warming up"}), "tickets wait until a worker has loaded the model"),
        (diagnosis(states={"a": "warming up", "b": "at work"}), "draining"),
        (diagnosis(EMPTY), "no tickets in the inbox"),
        (diagnosis(EMPTY, {}), "no tickets in the inbox"),
        (diagnosis(states={}), "no worker is running: start `triagem up` or `triagem worker`"),
        (diagnosis(EMPTY, {"a": SILENT_WORKER}), "no worker gives a sign of life"),
        (diagnosis(states={"a": SILENT_WORKER, "b": "at work"}), "draining"),
        (diagnosis(paused=True), "triagem resume"),
        (
            diagnosis(states={"a": "at work", "b": "waiting: Postgres is busy (57P03)"}),
            "waiting: Postgres is busy (57P03)",
        ),
        (diagnosis(EMPTY, {"a": "at work: models has not answered"}), "keep their model: models has not answered"),
        (
            diagnosis(Depth(waiting=90, in_flight=10, oldest_s=1.0)),
            "the live lane is full (100 entries, TRIAGEM_LIVE_HIGH_WATER): producers must wait",
        ),
        (
            diagnosis(Depth(waiting=100, in_flight=0, oldest_s=1.0), paused=True),
            "paused, and the live lane is full (100 entries, TRIAGEM_LIVE_HIGH_WATER), so producers must wait: run",
        ),
        (diagnosis(memory_used=0.81), "Redis uses 81% of its memory"),
        (diagnosis(quarantined=2), "a worker crashed: 2 entries are quarantined"),
    ],
)
def test_the_line_names_the_most_important_problem(line: str, expected: str) -> None:
    assert expected in line


def test_a_pause_is_named_before_its_consequences() -> None:
    assert diagnosis(states={}, paused=True).startswith("paused")


def test_paused_workers_are_not_at_work_and_drain_nothing() -> None:
    state = {
        "lanes": {}, "states": {"a": "at work", "b": "warming up"}, "paused": True, "drain_s": 0.4, "rate": 30.0,
        "rate_measured": True, "desired": 2, "reason": "paused", "diagnosis": "paused",
    }  # fmt: skip

    workers, rate, _ = describe(state)

    assert workers == "2 workers: 1 paused, 1 warming up"
    assert "drained" not in rate
