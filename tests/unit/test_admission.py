"""Clients without credentials may start a limited number of requests per second, and keys have a rate limit."""

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from tests.support.builders import Clock
from triagem.gateway.admission import AdmissionMiddleware, Pace
from triagem.gateway.authentication import MovingWindow
from triagem.gateway.console.app import too_many_requests
from triagem.gateway.services import GatewaySettings


def test_requests_over_the_pace_of_a_client_wait_their_turn() -> None:
    pace = Pace()
    delays = [pace.delay("a", now=1000.0) for _ in range(250)]

    assert delays[:50] == [0.0] * 50
    assert round(delays[-1], 3) == 1.0  # 200 in a second
    assert pace.delay("b", now=1000.0) == 0.0
    assert pace.delay("a", now=1002.0) == 0.0


def test_requests_with_credentials_do_not_count() -> None:
    pace = Pace()
    for _ in range(250):
        assert pace.delay("a", now=1000.0) == 0.0
        pace.refund("a")


def test_clients_that_have_gone_are_not_kept() -> None:
    pace = Pace()
    for number in range(30_000):
        pace.delay(str(number), now=1000.0 + number)

    assert len(pace._free_at) <= 10_000


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/console/overview", "Requisições demais. Tente de novo em um minuto."),
        ("/v1/tickets", '"detail":"too many open requests of this client"'),
    ],
)
def test_one_request_too_many_is_refused_with_a_page_or_a_problem(path: str, shown: str) -> None:
    async def repeat(scope: Scope, receive: Receive, send: Send) -> None:
        await admission(scope, receive, send)  # a second open request

    admission = AdmissionMiddleware(repeat, GatewaySettings(max_connections_per_client=1), too_many_requests)

    response = TestClient(admission).get(path, headers={"Accept-Language": "pt-BR"})

    assert response.status_code == 429
    assert response.headers["Retry-After"] == "5"
    assert shown in response.text


class TestMovingWindow:
    def test_no_time_span_of_the_limit_has_more_events(self) -> None:
        clock, hits = Clock(), list[float]()
        window = MovingWindow("3/second", clock)
        for _ in range(50):
            if window.hit("a"):
                hits.append(clock.now)
            clock.now += 0.125  # exact in binary

        assert hits[:4] == [1000.0, 1000.125, 1000.25, 1001.125]
        assert all(later - earlier > 1 for earlier, later in zip(hits, hits[3:], strict=False))

    def test_each_name_counts_alone_and_a_test_does_not_count(self) -> None:
        window = MovingWindow("1/minute", Clock())

        assert all(window.test("a") for _ in range(3))
        assert (window.hit("a"), window.hit("b"), window.hit("a"), window.test("b")) == (True, True, False, False)

    def test_names_without_recent_events_are_not_kept(self) -> None:
        clock = Clock()
        window = MovingWindow("2/second", clock)
        for number in range(30_000):
            window.hit(str(number))
            clock.now += 1

        assert len(window._times) <= 10_000


@pytest.mark.parametrize("limit", ["fast", "0/second", "10/day", "10 per second"])
def test_a_limit_that_cannot_be_read_is_refused_at_start(limit: str) -> None:
    with pytest.raises(ValidationError, match="rate_limit"):
        GatewaySettings(rate_limit=limit)
