"""Retries during an outage: the same call again, with growing pauses and a heartbeat for each attempt."""

from collections.abc import Callable, Iterable

import pytest

from tests.support.builders import InstantEvent
from triagem.contracts.errors import InboxUnavailable, StatementRefused
from triagem.worker.failures import Retrier
from triagem.worker.supervisor import Supervisor


class RecordingContext(Supervisor):
    """Counts heartbeats, and records the reasons for waiting."""

    def __init__(self, stopping: InstantEvent | None = None) -> None:
        super().__init__(lambda: None, deadline_s=1)
        self.stopping: InstantEvent = stopping or InstantEvent()
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

    assert Retrier(context)(unavailable(0)) == "answer"
    assert (context.stopping.waits, context.beats, context.reasons) == ([], 0, [])


def test_a_call_is_repeated_until_it_succeeds() -> None:
    stopping = InstantEvent()

    assert Retrier(RecordingContext(stopping))(unavailable(250)) == "answer"
    assert len(stopping.waits) == 250


def test_every_attempt_is_a_heartbeat() -> None:
    context = RecordingContext()
    Retrier(context)(unavailable(20))

    assert context.beats == 20


def test_the_reason_is_reported_while_waiting_and_cleared_afterwards() -> None:
    context = RecordingContext()
    Retrier(context)(unavailable(2))

    assert context.reasons == ["outage 0", "outage 1", None]


def test_pauses_grow_and_never_exceed_two_seconds() -> None:
    stopping = InstantEvent()
    Retrier(RecordingContext(stopping))(unavailable(100))

    assert all(pause <= min(2.0, 0.05 * 2**attempt) for attempt, pause in enumerate(stopping.waits))
    assert max(stopping.waits) > 1.0


def test_a_final_error_is_not_retried() -> None:
    stopping = InstantEvent()

    with pytest.raises(StatementRefused):
        Retrier(RecordingContext(stopping))(failing([StatementRefused("a bad row")]))
    assert stopping.waits == []


def test_a_stop_ends_the_retries_with_the_last_error() -> None:
    stopping = InstantEvent(instead=lambda: stopping.set() if len(stopping.waits) == 3 else None)

    with pytest.raises(InboxUnavailable, match="outage 3"):
        Retrier(RecordingContext(stopping))(unavailable(10))


def test_while_stopping_a_call_is_still_tried_once() -> None:
    stopping = InstantEvent()
    stopping.set()

    assert Retrier(RecordingContext(stopping))(unavailable(0)) == "answer"
    with pytest.raises(InboxUnavailable, match="outage 0"):
        Retrier(RecordingContext(stopping))(unavailable(1))
