"""`triagem up` reports a server that stops answering, and one that answers again."""

from collections.abc import Sequence
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from triagem.cli.commands import up


def reports(monkeypatch: pytest.MonkeyPatch, hangs: list[bool], pids: Sequence[int | None] = (1,)) -> list[str]:
    """Watch a server until its answers run out, and return the reports.

    Args:
        hangs: whether it hangs, one value for each time that it is asked.
        pids: its process id at the start and after each answer; the last value stays.
    """
    ended, answers, reported = Event(), iter(hangs), list[str]()

    class Server(SimpleNamespace):
        requests = 0

        @property
        def hangs(self) -> bool:
            self.requests += 1
            if (answer := next(answers, None)) is None:
                ended.set()
            return bool(answer)

        @property
        def pid(self) -> int | None:
            return pids[min(self.requests, len(pids) - 1)]

    server: Any = Server(name="Redis", port=1)
    monkeypatch.setattr(up, "_WATCH_S", 0)
    monkeypatch.setattr("triagem.servers.local_step", lambda _: "see its log")
    up.watch_server(server, reported.append, ended)
    return reported


def test_an_outage_is_reported_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, [False, *[True] * 9, *[False] * 9]) == [
        "Redis does not answer: see its log",
        "Redis answers again",
    ]


def test_a_single_slow_answer_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, [True, False, True, False, False]) == []


def test_a_server_that_died_or_starts_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, [False, True, True, True, True, False], pids=[1, 1, 2]) == []
    assert reports(monkeypatch, [True, True, False, True, True, False], pids=[1, 1, 1, None, None, 2]) == [
        "Redis does not answer: see its log",
        "Redis answers again",
    ]


def test_nothing_is_reported_once_triagem_up_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reports(monkeypatch, [True, True]) == ["Redis does not answer: see its log"]
