"""A run over stored tickets, from its first page to its end: each is classified once, and what is newer wins."""

from pathlib import Path

from cli.stack import Endpoints
from db import Database, runs
from inbox import Inbox
from tests.support.pipeline import running
from tests.support.runs import finish, scalar, store


def test_each_stored_ticket_gets_one_row_of_the_new_version(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store(database, 5000)
    runs.start(database, version="v1.0.0", epoch=1)
    with running(endpoints, instant_models):
        run = finish(database, inbox, instant_models)
    assert (run.state, run.put, run.done, run.settled) == ("done", 5000, 5000, 5000)
    assert scalar(database, "SELECT count(*) FROM predictions WHERE model_version = 'v1.0.0'") == 5000
    assert scalar(database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.0.0' AND epoch = 1") == 5000
    assert scalar(database, "SELECT count(*) FROM run_changes") == 5000
