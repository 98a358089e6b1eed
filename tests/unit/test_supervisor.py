"""Threads under one roof (INV-19): whatever ends one of them unasked stops the worker, once."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.builders import Clock
from triagem.contracts.errors import InboxUnavailable
from triagem.worker.supervisor import Supervisor, ThreadExited

PATIENCE_S = 10.0  # far more than any thread here needs
NEVER_S = 86_400.0  # the deadline's timer must not end the test run


class Watched:
    """A supervisor, how often it asked the process to stop, and an event that releases stuck threads."""

    def __init__(self, deadline_s: float = NEVER_S) -> None:
        self.clock = Clock()
        self.asked = threading.Semaphore(0)
        self.times_asked = 0
        self.release = threading.Event()
        self.supervisor = Supervisor(self._ask, deadline_s=deadline_s, clock=self.clock)

    def _ask(self) -> None:
        self.times_asked += 1
        self.asked.release()

    def was_asked(self) -> bool:
        """Whether the process was asked to stop, now or soon."""
        return self.asked.acquire(timeout=PATIENCE_S)

    def until_stopping(self) -> None:
        """Work that ends when it is asked to."""
        self.supervisor.stopping.wait()

    def stuck(self) -> None:
        """Work that hears nobody until the test ends, or is broken."""
        self.release.wait(PATIENCE_S)


@pytest.fixture
def watched() -> Iterator[Watched]:
    """A supervisor whose threads all end with the test."""
    made = Watched()
    yield made
    made.supervisor.stopping.set()
    made.release.set()


def raising(error: BaseException) -> Callable[[], None]:
    """Work that ends with an error."""

    def work() -> None:
        raise error

    return work


def end_all(watched: Watched) -> None:
    """Wait for all of its threads."""
    for thread in watched.supervisor._threads:
        thread.join(PATIENCE_S)


@pytest.mark.parametrize(
    ("work", "failure"),
    [
        pytest.param(raising(ValueError("broken")), ValueError, id="exception"),
        pytest.param(raising(SystemExit(0)), SystemExit, id="SystemExit"),
        pytest.param(raising(InboxUnavailable("outage")), InboxUnavailable, id="an outage nobody waited out"),
        pytest.param(lambda: None, ThreadExited, id="silent return"),
    ],
)
def test_a_thread_that_ends_unasked_stops_the_worker(
    watched: Watched, work: Callable[[], None], failure: type[BaseException]
) -> None:
    watched.supervisor.spawn("fetcher", work)

    assert watched.was_asked()
    assert watched.supervisor.stopping.is_set()
    assert isinstance(watched.supervisor.failure, failure)


def test_the_failure_that_came_first_is_the_one_that_is_kept(watched: Watched) -> None:
    def fails_because_of_it() -> None:
        watched.until_stopping()
        raise ValueError("the others are gone")

    watched.supervisor.spawn("committer", fails_because_of_it)
    watched.supervisor.spawn("fetcher", raising(KeyError("the cause")))
    end_all(watched)

    assert isinstance(watched.supervisor.failure, KeyError)


def test_threads_that_fail_together_ask_the_process_once(watched: Watched) -> None:
    together = threading.Barrier(8)

    def work() -> None:
        together.wait(PATIENCE_S)
        raise ValueError("broken")

    for number in range(8):
        watched.supervisor.spawn(f"thread {number}", work)
    end_all(watched)

    assert watched.times_asked == 1


def test_threads_that_end_when_asked_are_no_failure(watched: Watched) -> None:
    watched.supervisor.spawn("fetcher", watched.until_stopping)
    watched.supervisor.spawn("committer", watched.until_stopping)

    watched.supervisor.stopping.set()

    assert watched.supervisor.join()
    assert watched.times_asked == 0


def test_an_outage_that_outlasts_the_stop_is_no_failure(watched: Watched) -> None:
    def work() -> None:
        watched.until_stopping()
        raise InboxUnavailable("still away")

    watched.supervisor.spawn("committer", work)
    watched.supervisor.stopping.set()

    assert watched.supervisor.join()


def test_an_error_while_stopping_is_a_failure(watched: Watched) -> None:
    def work() -> None:
        watched.until_stopping()
        raise ValueError("broken")

    watched.supervisor.spawn("committer", work)
    watched.supervisor.stopping.set()

    assert not watched.supervisor.join()


def test_after_a_failure_nobody_waits_for_the_others(watched: Watched) -> None:
    watched.supervisor.spawn("classifier", watched.stuck)
    watched.supervisor.spawn("fetcher", raising(ValueError("broken")))
    assert watched.was_asked()

    ended = watched.supervisor.join()

    assert not ended
    assert "classifier" in [thread.name for thread in threading.enumerate()]


def test_a_thread_that_does_not_end_in_time_makes_the_stop_fail() -> None:
    watched = Watched(deadline_s=0.05)
    watched.supervisor.spawn("classifier", watched.stuck)
    watched.supervisor.stopping.set()

    ended = watched.supervisor.join()

    watched.release.set()
    assert not ended


def test_a_process_that_cannot_stop_after_a_failure_ends_itself() -> None:
    script = (
        "import threading; from triagem.worker.supervisor import Supervisor, ThreadExited\n"
        "supervisor = Supervisor(lambda: None, deadline_s=0.1)\n"
        "supervisor.spawn('fetcher', lambda: None)\n"
        "threading.Event().wait()"
    )

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert b"the thread fetcher exited unexpectedly" in ended.stdout + ended.stderr


def test_silence_is_the_time_since_the_last_heartbeat(watched: Watched) -> None:
    watched.supervisor.spawn("classifier", watched.stuck)

    watched.clock.advance(7)

    assert watched.supervisor.heartbeat_age_s() == 7


def test_a_heartbeat_ends_the_silence(watched: Watched) -> None:
    go_on, beaten = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(PATIENCE_S)
        watched.supervisor.beat()
        beaten.set()
        watched.until_stopping()

    watched.supervisor.spawn("classifier", work)
    watched.clock.advance(7)
    go_on.set()
    assert beaten.wait(PATIENCE_S)

    assert watched.supervisor.heartbeat_age_s() == 0


def test_the_quietest_thread_decides(watched: Watched) -> None:
    watched.supervisor.spawn("classifier", watched.stuck)
    watched.clock.advance(5)
    watched.supervisor.spawn("committer", watched.stuck)
    watched.clock.advance(1)

    assert watched.supervisor.heartbeat_age_s() == 6


def test_without_threads_there_is_no_silence(watched: Watched) -> None:
    assert watched.supervisor.heartbeat_age_s() == 0


def test_a_thread_that_loads_a_model_is_excused_until_it_is_done(watched: Watched) -> None:
    """INV-22: on a cold disk a large model loads for longer than a silent thread may live."""
    loading, go_on, loaded = (threading.Event() for _ in range(3))

    def load() -> None:
        with watched.supervisor.heartbeat_suspended():
            loading.set()
            go_on.wait(PATIENCE_S)
        loaded.set()
        watched.stuck()

    watched.supervisor.spawn("models", load)
    assert loading.wait(PATIENCE_S)
    watched.clock.advance(1000)
    assert watched.supervisor.heartbeat_age_s() == 0
    go_on.set()
    assert loaded.wait(PATIENCE_S)
    watched.clock.advance(7)
    assert watched.supervisor.heartbeat_age_s() == 7


def test_a_thread_that_loads_hides_no_other_thread(watched: Watched) -> None:
    watched.supervisor.spawn("classifier", watched.stuck)
    with watched.supervisor.heartbeat_suspended():
        watched.clock.advance(9)
        assert watched.supervisor.heartbeat_age_s() == 9
