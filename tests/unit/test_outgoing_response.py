"""Interpretation of a response's status, and the pause before the next attempt."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.notify.request import Delivered, Retry, Undeliverable, backoff, interpret_response

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_status_is_delivered(status: int) -> None:
    assert interpret_response(status, {}, NOW, b"{}") == Delivered(b"{}")


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_a_transient_status_is_retried(status: int) -> None:
    assert interpret_response(status, {}, NOW, b"a stack trace") == Retry(f"answered {status}")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_a_permanent_status_is_final_and_the_body_is_not_repeated(status: int) -> None:
    assert interpret_response(status, {}, NOW, b"nobody here but a customer's name") == Undeliverable(
        f"answered {status}"
    )


def test_a_redirect_status_is_final() -> None:
    outcome = interpret_response(302, {"location": "http://169.254.169.254/"}, NOW)
    assert outcome == Undeliverable("answered 302, redirects are not followed")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("Mon, 02 Nov 2026 12:01:30 GMT", 90.0),
        ("Mon, 02 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("\u0661", 0.0),
        ("", 0.0),
    ],
)
def test_the_retry_after_header_is_respected(value: str, seconds: float) -> None:
    assert interpret_response(429, {"retry-after": value}, NOW) == Retry("answered 429", seconds)


@given(st.text())
def test_any_retry_after_header_gives_a_retry(value: str) -> None:
    assert isinstance(interpret_response(503, {"retry-after": value}, NOW), Retry)


def test_pauses_double_up_to_an_hour() -> None:
    assert [backoff(attempts, 0, 0) for attempts in (1, 2, 3, 10, 11, 30)] == [5, 10, 20, 2560, 3600, 3600]


@given(st.integers(1, 1000), st.floats(0, 1e9), st.floats(0, 1))
def test_a_pause_is_bounded_and_never_shorter_than_requested(
    attempts: int, retry_after_s: float, jitter: float
) -> None:
    assert max(2.5, min(retry_after_s, 3600)) <= backoff(attempts, retry_after_s, jitter) <= 3600
