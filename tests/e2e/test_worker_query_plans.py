"""The cost of a worker's queries depends neither on the number of stored tickets nor on Postgres' estimates of it."""

from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox


def test_a_worker_that_started_on_few_tickets_scans_no_table_when_many_come(
    database: Database, inbox: Inbox, start_worker: StartWorker, instant_models: Path
) -> None:
    with database.autocommit() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE tickets")  # now Postgres' statistics say that the table is empty
    before = sequential_scans(database)
    worker = start_worker(instant_models, "bench.noop_engines:noop")
    pass_through(inbox, range(8))
    pass_through(inbox, range(8, 2_000))
    worker.stop()  # a session reports its statistics when it disconnects

    assert sequential_scans(database) == before


def pass_through(inbox: Inbox, tickets: range) -> None:
    Publisher(inbox).publish_many(
        [{"source": "crm", "external_id": str(number), "text": f"word {number}"} for number in tickets]
    )
    until(lambda: inbox.depth(Lane.LIVE).waiting + inbox.in_flight(Lane.LIVE) == 0, seconds=60)


def sequential_scans(database: Database) -> int:
    """The number of sequential scans of `tickets`."""
    with database.autocommit() as connection:
        reads = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'tickets'"
        return int(connection.exec_driver_sql(reads).scalar_one())
