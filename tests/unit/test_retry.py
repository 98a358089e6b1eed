"""Retries during an outage: the same call again, with growing pauses and a heartbeat for each attempt."""

from collections.abc import Callable, Iterable

import pytest

from tests.support.builders import Hurried
from triagem.contracts.errors import InboxUnavailable, StatementRefused
from triagem.worker.retry import retry_until_available


class RecordingContext:
    """Counts heartbeats, and records the reasons for waiting."""

    def __init__(self, stopping: Hurried | None = None) -> None:
        self.stopping = stopping or Hurried()
        self.beats = 0
        self.reasons: list[str | None] = []

    def beat(self) -> None:
        self.beats += 1

    def waiting(self, reason: str | None) -> None:
        self.reasons.append(reason)


def unavailable(times: int) -> Callable[[], str]:
    """A call that fails this number of times."""
    return failing(InboxUnavailable(f"outage {number}") for number in range(times))


def failing(in_turn: Iterable[Exception]) -> Callable[[], str]:
    """A call that raises each of these errors in turn, then returns."""
    errors = list(in_turn)

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    return call


def test_a_call_that_succeeds_is_made_once_without_a_pause() -> None:
    context = RecordingContext()

    assert retry_until_available(unavailable(0), context) == "answer"
    assert (context.stopping.waits, context.beats, context.reasons) == ([], 0, [])


def test_a_call_is_repeated_until_it_succeeds() -> None:
    stopping = Hurried()

    assert retry_until_available(unavailable(250), RecordingContext(stopping)) == "answer"
    assert len(stopping.waits) == 250


def test_every_attempt_is_a_heartbeat() -> None:
    context = RecordingContext()
    retry_until_available(unavailable(20), context)

    assert context.beats == 20


def test_who_waits_says_for_what_and_when_it_is_over() -> None:
    context = RecordingContext()
    retry_until_available(unavailable(2), context)

    assert context.reasons == ["outage 0", "outage 1", None]


def test_pauses_grow_and_never_exceed_two_seconds() -> None:
    stopping = Hurried()
    retry_until_available(unavailable(100), RecordingContext(stopping))

    assert all(pause <= min(2.0, 0.05 * 2**attempt) for attempt, pause in enumerate(stopping.waits))
    assert max(stopping.waits) > 1.0


def test_a_final_error_is_not_waited_out() -> None:
    stopping = Hurried()

    with pytest.raises(StatementRefused):
        retry_until_available(failing([StatementRefused("a bad row")]), RecordingContext(stopping))
    assert stopping.waits == []


def test_the_stop_ends_the_wait_with_the_last_error() -> None:
    stopping = Hurried(instead=lambda: stopping.set() if len(stopping.waits) == 3 else None)

    with pytest.raises(InboxUnavailable, match="outage 3"):
        retry_until_available(unavailable(10), RecordingContext(stopping))


def test_while_stopping_a_call_is_still_tried_once() -> None:
    stopping = Hurried()
    stopping.set()

    assert retry_until_available(unavailable(0), RecordingContext(stopping)) == "answer"
    with pytest.raises(InboxUnavailable, match="outage 0"):
        retry_until_available(unavailable(1), RecordingContext(stopping))
