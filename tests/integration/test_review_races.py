"""What is forgotten while a person draws or judges it leaves nothing behind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.support.reviewing import draw, unsure
from tests.support.waiting import until
from tests.support.windows import rows
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forgetting import _WRITE_TOMBSTONE
from triagem.db.reviews import ReviewRejected, record_review
from triagem.db.window import write_window

WHOSE = Identity("zendesk", "1")


def waits(database: Database) -> bool:
    """Somebody waits for a lock."""
    with database.autocommit() as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(connection.execute(text(query)).scalar_one())


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lambda database: record_review(database, WHOSE, "venda", "ana"), ReviewRejected.GONE),
        (lambda database: draw(database, 1), []),
        (lambda database: draw(database, 1, random_share=1), []),
    ],
    ids=["judged", "drawn for doubt", "drawn by lot"],
)
def test_a_ticket_that_is_being_forgotten_is_not_written_about(
    database: Database, act: Callable[[Database], object], outcome: object
) -> None:
    write_window(database, [unsure("1")])
    with ThreadPoolExecutor(1) as pool:
        with database.engine.begin() as forgetting:
            forgetting.execute(_WRITE_TOMBSTONE, WHOSE._asdict())
            acting = pool.submit(act, database)
            until(lambda: acting.done() or waits(database))

        assert acting.result() == outcome

    assert rows(database, "reviews") == rows(database, "review_draws") == []
