"""An outage is waited out: the same call again, with growing pauses, alive all the while."""

from collections.abc import Callable, Iterable

import pytest

from tests.support.builders import Hurried
from triagem.contracts.errors import InboxAway, StatementRefused
from triagem.worker.outage import outwait


class Waiting:
    """Counts heartbeats, and notes what is waited for."""

    def __init__(self, stopping: Hurried | None = None) -> None:
        self.stopping = stopping or Hurried()
        self.beats = 0
        self.reasons: list[str | None] = []

    def beat(self) -> None:
        self.beats += 1

    def waiting(self, why: str | None) -> None:
        self.reasons.append(why)


def away(times: int) -> Callable[[], str]:
    """A call during an outage of so many attempts."""
    return failing(InboxAway(f"outage {number}") for number in range(times))


def failing(errors_in_turn: Iterable[Exception]) -> Callable[[], str]:
    """A call that raises each of these errors, then answers."""
    errors = list(errors_in_turn)

    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "answer"

    return call


def test_a_call_that_succeeds_is_made_once_without_a_pause() -> None:
    waiter = Waiting()

    assert outwait(away(0), waiter) == "answer"
    assert (waiter.stopping.waits, waiter.beats, waiter.reasons) == ([], 0, [])


def test_a_call_is_repeated_until_it_succeeds() -> None:
    stopping = Hurried()

    assert outwait(away(250), Waiting(stopping)) == "answer"
    assert len(stopping.waits) == 250


def test_every_attempt_is_a_heartbeat() -> None:
    waiter = Waiting()
    outwait(away(20), waiter)

    assert waiter.beats == 20


def test_who_waits_says_for_what_and_when_it_is_over() -> None:
    waiter = Waiting()
    outwait(away(2), waiter)

    assert waiter.reasons == ["outage 0", "outage 1", None]


def test_pauses_grow_and_never_exceed_two_seconds() -> None:
    stopping = Hurried()
    outwait(away(100), Waiting(stopping))

    assert all(pause <= min(2.0, 0.05 * 2**place) for place, pause in enumerate(stopping.waits))
    assert max(stopping.waits) > 1.0


def test_a_final_error_is_not_waited_out() -> None:
    stopping = Hurried()

    with pytest.raises(StatementRefused):
        outwait(failing([StatementRefused("a bad row")]), Waiting(stopping))
    assert stopping.waits == []


def test_the_stop_ends_the_wait_with_the_last_error() -> None:
    stopping = Hurried(instead=lambda: stopping.set() if len(stopping.waits) == 3 else None)

    with pytest.raises(InboxAway, match="outage 3"):
        outwait(away(10), Waiting(stopping))


def test_while_stopping_a_call_is_still_tried_once() -> None:
    stopping = Hurried()
    stopping.set()

    assert outwait(away(0), Waiting(stopping)) == "answer"
    with pytest.raises(InboxAway, match="outage 0"):
        outwait(away(1), Waiting(stopping))
