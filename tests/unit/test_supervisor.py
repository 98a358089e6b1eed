"""Threads of a worker (INV-19): if one of them ends unexpectedly, the worker stops, once."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.builders import Clock
from triagem.contracts.errors import InboxUnavailable
from triagem.worker.supervisor import Supervisor, ThreadExited

TIMEOUT_S = 10.0  # far more than any thread here needs
NEVER_S = 86_400.0  # the deadline's timer must not end the test run


class Harness:
    """A supervisor, its stop requests to the process, and an event that releases stuck threads."""

    def __init__(self, deadline_s: float = NEVER_S) -> None:
        self.clock = Clock()
        self.requested = threading.Semaphore(0)
        self.stop_requests = 0
        self.release = threading.Event()
        self.supervisor = Supervisor(self._request_stop, deadline_s=deadline_s, clock=self.clock)

    def _request_stop(self) -> None:
        self.stop_requests += 1
        self.requested.release()

    def stop_requested(self) -> bool:
        """Whether the process is asked to stop within the timeout."""
        return self.requested.acquire(timeout=TIMEOUT_S)

    def wait_for_stop(self) -> None:
        """Work that ends when the supervisor stops."""
        self.supervisor.stopping.wait()

    def hang(self) -> None:
        """Work that ignores the stop until the test ends."""
        self.release.wait(TIMEOUT_S)


@pytest.fixture
def harness() -> Iterator[Harness]:
    """A supervisor whose threads all end with the test."""
    harness = Harness()
    yield harness
    harness.supervisor.stopping.set()
    harness.release.set()


def raising(error: BaseException) -> Callable[[], None]:
    """Work that ends with an error."""

    def work() -> None:
        raise error

    return work


def join_all(harness: Harness) -> None:
    """Wait for all of its threads."""
    for thread in harness.supervisor._threads:
        thread.join(TIMEOUT_S)


@pytest.mark.parametrize(
    ("work", "failure"),
    [
        pytest.param(raising(ValueError("broken")), ValueError, id="exception"),
        pytest.param(raising(SystemExit(0)), SystemExit, id="SystemExit"),
        pytest.param(raising(InboxUnavailable("outage")), InboxUnavailable, id="an outage without a retry"),
        pytest.param(lambda: None, ThreadExited, id="silent return"),
    ],
)
def test_a_thread_that_ends_unexpectedly_stops_the_worker(
    harness: Harness, work: Callable[[], None], failure: type[BaseException]
) -> None:
    harness.supervisor.spawn("fetcher", work)

    assert harness.stop_requested()
    assert harness.supervisor.stopping.is_set()
    assert isinstance(harness.supervisor.failure, failure)


def test_the_first_failure_is_kept(harness: Harness) -> None:
    def fail_after_stop() -> None:
        harness.wait_for_stop()
        raise ValueError("the others are gone")

    harness.supervisor.spawn("committer", fail_after_stop)
    harness.supervisor.spawn("fetcher", raising(KeyError("the cause")))
    join_all(harness)

    assert isinstance(harness.supervisor.failure, KeyError)


def test_threads_that_fail_together_request_one_stop(harness: Harness) -> None:
    together = threading.Barrier(8)

    def work() -> None:
        together.wait(TIMEOUT_S)
        raise ValueError("broken")

    for number in range(8):
        harness.supervisor.spawn(f"thread {number}", work)
    join_all(harness)

    assert harness.stop_requests == 1


def test_threads_that_end_after_a_stop_request_are_not_a_failure(harness: Harness) -> None:
    harness.supervisor.spawn("fetcher", harness.wait_for_stop)
    harness.supervisor.spawn("committer", harness.wait_for_stop)

    harness.supervisor.stopping.set()

    assert harness.supervisor.join()
    assert harness.stop_requests == 0


def test_an_outage_that_outlasts_the_stop_is_not_a_failure(harness: Harness) -> None:
    def work() -> None:
        harness.wait_for_stop()
        raise InboxUnavailable("still unavailable")

    harness.supervisor.spawn("committer", work)
    harness.supervisor.stopping.set()

    assert harness.supervisor.join()


def test_an_error_while_stopping_is_a_failure(harness: Harness) -> None:
    def work() -> None:
        harness.wait_for_stop()
        raise ValueError("broken")

    harness.supervisor.spawn("committer", work)
    harness.supervisor.stopping.set()

    assert not harness.supervisor.join()


def test_after_a_failure_the_other_threads_are_not_awaited(harness: Harness) -> None:
    harness.supervisor.spawn("classifier", harness.hang)
    harness.supervisor.spawn("fetcher", raising(ValueError("broken")))
    assert harness.stop_requested()

    ended = harness.supervisor.join()

    assert not ended
    assert "classifier" in [thread.name for thread in threading.enumerate()]


def test_a_thread_that_does_not_end_in_time_makes_the_stop_fail() -> None:
    harness = Harness(deadline_s=0.05)
    harness.supervisor.spawn("classifier", harness.hang)
    harness.supervisor.stopping.set()

    ended = harness.supervisor.join()

    harness.release.set()
    assert not ended


def test_a_stop_does_not_wait_for_a_thread_that_loads_a_model() -> None:
    harness, loading = Harness(deadline_s=0.05), threading.Event()

    def load() -> None:
        with harness.supervisor.heartbeat_suspended():
            loading.set()
            harness.hang()

    harness.supervisor.spawn("models", load)
    assert loading.wait(TIMEOUT_S)
    harness.supervisor.stopping.set()

    ended = harness.supervisor.join()

    harness.release.set()
    assert ended


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


def test_the_heartbeat_age_is_the_time_since_the_last_heartbeat(harness: Harness) -> None:
    harness.supervisor.spawn("classifier", harness.hang)

    harness.clock.advance(7)

    assert harness.supervisor.heartbeat_age_s() == 7


def test_a_heartbeat_resets_the_heartbeat_age(harness: Harness) -> None:
    proceed, beat_done = threading.Event(), threading.Event()

    def work() -> None:
        proceed.wait(TIMEOUT_S)
        harness.supervisor.beat()
        beat_done.set()
        harness.wait_for_stop()

    harness.supervisor.spawn("classifier", work)
    harness.clock.advance(7)
    proceed.set()
    assert beat_done.wait(TIMEOUT_S)

    assert harness.supervisor.heartbeat_age_s() == 0


def test_the_thread_with_the_oldest_heartbeat_decides(harness: Harness) -> None:
    harness.supervisor.spawn("classifier", harness.hang)
    harness.clock.advance(5)
    harness.supervisor.spawn("committer", harness.hang)
    harness.clock.advance(1)

    assert harness.supervisor.heartbeat_age_s() == 6


def test_without_threads_the_heartbeat_age_is_0(harness: Harness) -> None:
    assert harness.supervisor.heartbeat_age_s() == 0


def test_a_thread_that_loads_a_model_needs_no_heartbeat_until_it_is_done(harness: Harness) -> None:
    """INV-22: loading a large model from a cold disk takes longer than a thread may be silent."""
    loading, proceed, loaded = (threading.Event() for _ in range(3))

    def load() -> None:
        with harness.supervisor.heartbeat_suspended():
            loading.set()
            proceed.wait(TIMEOUT_S)
        loaded.set()
        harness.hang()

    harness.supervisor.spawn("models", load)
    assert loading.wait(TIMEOUT_S)
    harness.clock.advance(1000)
    assert harness.supervisor.heartbeat_age_s() == 0
    proceed.set()
    assert loaded.wait(TIMEOUT_S)
    harness.clock.advance(7)
    assert harness.supervisor.heartbeat_age_s() == 7


def test_a_thread_that_loads_does_not_hide_other_threads(harness: Harness) -> None:
    harness.supervisor.spawn("classifier", harness.hang)
    with harness.supervisor.heartbeat_suspended():
        harness.clock.advance(9)
        assert harness.supervisor.heartbeat_age_s() == 9
