"""Reviews at the same time as other reviews, and as the ticket is forgotten."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.reviewing import draw, unsure
from tests.support.waiting import until
from tests.support.windows import rows
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import ReviewRejected, record_review
from triagem.db.tickets.forgetting import _WRITE_TOMBSTONE
from triagem.db.tickets.window import write_window

TICKET = Identity("zendesk", "1")


def waiting_sessions(database: Database) -> int:
    """The number of sessions that wait for a lock."""
    with database.autocommit() as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return int(connection.execute(text(query)).scalar_one())


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda database: record_review(database, TICKET, "venda", "ana"), ReviewRejected.GONE),
        (lambda database: draw(database, 1), []),
        (lambda database: draw(database, 1, random_share=1), []),
    ],
    ids=["reviewed", "drawn as unsure", "drawn at random"],
)
def test_nothing_is_written_for_a_ticket_that_is_being_forgotten(
    database: Database, act: Callable[[Database], object], outcome: object
) -> None:
    write_window(database, [unsure("1")])
    with ThreadPoolExecutor(1) as pool:
        with database.engine.begin() as forgetting:
            forgetting.execute(text(_WRITE_TOMBSTONE), TICKET._asdict())
            acting = pool.submit(act, database)
            until(lambda: acting.done() or waiting_sessions(database) > 0)

        assert acting.result() == outcome

    assert rows(database, "reviews") == rows(database, "review_draws") == []


def test_two_reviewers_of_one_ticket_do_not_deadlock(database: Database) -> None:
    """Each review updates the ticket's row: with shared locks, each would wait for the other's lock."""
    write_window(database, [unsure("1")])
    with ThreadPoolExecutor(2) as pool:
        with database.engine.begin() as locking:
            locking.execute(text("SELECT FROM tickets FOR NO KEY UPDATE"))
            reviewing = [
                pool.submit(record_review, database, TICKET, "venda", reviewer) for reviewer in ("ana", "bia")
            ]
            until(lambda: waiting_sessions(database) == 2)

        assert all(isinstance(outcome.result(), int) for outcome in reviewing)
