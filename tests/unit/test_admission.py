"""Clients without credentials may start a limited number of requests per second."""

from triagem.gateway.admission import Pace


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
