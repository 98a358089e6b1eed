"""What the pipe says of a window: counts, times and ids, few lines a second, and nobody's words."""

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.support.windows import result
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry
from triagem.worker.batch import StageTimings
from triagem.worker.window_log import WindowLog

WORDS = "paralelepipedo"


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "triagem.worker.window_log"):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(clock: Clock) -> WindowLog:
    return WindowLog(clock)


def say(told: WindowLog, number: int = 1, request: str | None = None) -> list[dict[str, object]]:
    rows = [
        (Entry(b"%d-0" % (1000 + one), Lane.LIVE, WORDS.encode(), request_id=request), result(WORDS))
        for one in range(number)
    ]
    with capture_logs() as lines:
        told.log_window(rows, StageTimings(0.1, 0.02, 0.3), commit_s=0.004, dropped=0, dead=2)
    return [dict(one) for one in lines]


def test_a_window_says_what_was_in_it_and_what_took_how_long(told: WindowLog) -> None:
    (line,) = say(told, 2, request="abc")
    assert line.pop("window")
    assert line == {
        "event": "window", "log_level": "info", "tickets": 2, "live": 2, "dead": 2, "model": "v1.0.0",
        "queue_ms": 100.0, "tokenise_ms": 20.0, "model_ms": 300.0, "commit_ms": 4.0,
        "entries": ["1000-0", "1001-0"], "requests": ["abc"],
    }  # fmt: skip


def test_of_a_large_window_few_entries_are_named_and_the_others_counted(told: WindowLog) -> None:
    (line,) = say(told, 1024)
    assert line["entries"] == [f"{one}-0" for one in range(1000, 1032)]
    assert line["more_entries"] == 992
    assert "requests" not in line


def test_ten_windows_a_second_have_a_line_and_the_next_second_begins_anew(told: WindowLog, clock: Clock) -> None:
    assert [len(say(told)) for _ in range(12)] == [1] * 10 + [0, 0]
    clock.now = 1.0
    assert len(say(told)) == 1


def test_every_ten_seconds_a_sum_also_counts_windows_without_a_line(told: WindowLog, clock: Clock) -> None:
    for _ in range(15):
        say(told, 2)
    clock.now = 10.0
    assert say(told, 2)[-1] == {
        "event": "classified", "log_level": "info", "tickets": 32, "windows": 16, "per_s": 3.2, "total": 32,
    }  # fmt: skip


def test_verbose_logs_have_every_window_and_the_seeds_line_a_prediction(
    told: WindowLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "triagem.worker.window_log")
    lines = [line for _ in range(11) for line in say(told)]
    assert [one["event"] for one in lines] == ["window", "prediction"] * 11
    seeds = {name: lines[-1][name] for name in ("input_length", "predicted_class", "confidence")}
    assert seeds == {"input_length": len(WORDS), "predicted_class": "venda", "confidence": 0.9}
    assert lines[-1]["window"] == lines[-2]["window"]
    assert isinstance(lines[-1]["latency_ms"], float)


def test_no_line_holds_a_text(told: WindowLog, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "triagem.worker.window_log")
    assert WORDS not in str(say(told, 3))
