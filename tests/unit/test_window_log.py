"""Window log: counts, times and ids in a few lines per second, and never a text."""

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from tests.support.builders import Clock
from tests.support.windows import result
from triagem.contracts.ticket import Lane
from triagem.inbox import Entry
from triagem.worker.batch import StageTimings
from triagem.worker.window_log import WindowLog

TEXT = "paralelepipedo"


@pytest.fixture(autouse=True)
def info_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "triagem.worker.window_log"):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def window_log(clock: Clock) -> WindowLog:
    return WindowLog(clock)


def log_window(window_log: WindowLog, number: int = 1, request: str | None = None) -> list[dict[str, object]]:
    rows = [
        (Entry(b"%d-0" % (1000 + index), Lane.LIVE, TEXT.encode(), request_id=request), result(TEXT))
        for index in range(number)
    ]
    with capture_logs() as lines:
        window_log.log_window(rows, StageTimings(0.1, 0.02, 0.3), commit_s=0.004, dropped=0, dead=2)
    return [dict(line) for line in lines]


def test_a_window_is_logged_with_its_content_and_the_duration_of_each_stage(window_log: WindowLog) -> None:
    (line,) = log_window(window_log, 2, request="abc")
    assert line.pop("window")
    assert line == {
        "event": "window", "log_level": "info", "tickets": 2, "live": 2, "dead": 2, "model": "v1.0.0",
        "queue_ms": 100.0, "tokenize_ms": 20.0, "model_ms": 300.0, "commit_ms": 4.0,
        "entries": ["1000-0", "1001-0"], "requests": ["abc"],
    }  # fmt: skip


def test_a_large_window_names_a_few_entries_and_counts_the_others(window_log: WindowLog) -> None:
    (line,) = log_window(window_log, 1024)
    assert line["entries"] == [f"{number}-0" for number in range(1000, 1003)]
    assert line["more_entries"] == 1021
    assert "requests" not in line


def test_at_most_ten_windows_per_second_are_logged(window_log: WindowLog, clock: Clock) -> None:
    assert [len(log_window(window_log)) for _ in range(12)] == [1] * 10 + [0, 0]
    clock.advance(1.0)
    assert len(log_window(window_log)) == 1


def test_every_ten_seconds_a_summary_also_counts_windows_without_a_line(window_log: WindowLog, clock: Clock) -> None:
    for _ in range(15):
        log_window(window_log, 2)
    clock.advance(10.0)
    assert log_window(window_log, 2)[-1] == {
        "event": "classified", "log_level": "info", "tickets": 32, "windows": 16, "per_s": 3.2, "total": 32,
    }  # fmt: skip


def test_verbose_logs_have_every_window_and_the_specified_line_per_prediction(
    window_log: WindowLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "triagem.worker.window_log")
    lines = [line for _ in range(11) for line in log_window(window_log)]
    assert [line["event"] for line in lines] == ["window", "prediction"] * 11
    specified = {name: lines[-1][name] for name in ("input_length", "predicted_class", "confidence")}
    assert specified == {"input_length": len(TEXT), "predicted_class": "venda", "confidence": 0.9}
    assert lines[-1]["window"] == lines[-2]["window"]
    assert isinstance(lines[-1]["latency_ms"], float)


def test_on_request_each_prediction_is_logged_at_info_level_also_beyond_ten_windows_per_second(clock: Clock) -> None:
    window_log = WindowLog(clock, log_predictions=True)
    lines = [line for _ in range(11) for line in log_window(window_log, 2) if line["event"] == "prediction"]
    assert len(lines) == 22
    assert {line["log_level"] for line in lines} == {"info"}


def test_no_line_holds_a_text(window_log: WindowLog, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    assert TEXT not in str(log_window(WindowLog(clock, log_predictions=True), 3))
    caplog.set_level(logging.DEBUG, "triagem.worker.window_log")
    assert TEXT not in str(log_window(window_log, 3))
