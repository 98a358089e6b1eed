"""What a worker asks of Postgres costs the same however many tickets are stored, whatever Postgres takes them for."""

from pathlib import Path

from tests.e2e.conftest import StartWorker
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox


def test_a_worker_that_began_on_a_few_tickets_reads_no_table_whole_when_many_come(
    database: Database, inbox: Inbox, start_worker: StartWorker, instant_models: Path
) -> None:
    with database.autocommit() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE tickets")  # it is empty, and Postgres knows it now
    before = whole_reads(database)
    worker = start_worker(instant_models, "triagem.cli.bench.noop_engines:noop")
    pass_through(inbox, range(8))
    pass_through(inbox, range(8, 2_000))
    worker.stop()  # it tells what it read when it leaves

    assert whole_reads(database) == before


def pass_through(inbox: Inbox, tickets: range) -> None:
    Publisher(inbox).publish_many(
        [{"source": "crm", "external_id": str(one), "text": f"word {one}"} for one in tickets]
    )
    until(lambda: inbox.depth(Lane.LIVE).waiting + inbox.in_flight(Lane.LIVE) == 0, seconds=60)


def whole_reads(database: Database) -> int:
    """How often `tickets` was read from end to end."""
    with database.autocommit() as connection:
        reads = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'tickets'"
        return int(connection.exec_driver_sql(reads).scalar_one())
