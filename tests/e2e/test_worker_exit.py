"""Exits of a worker process that `tests/faults` does not cover."""

import shutil
from pathlib import Path

from sqlalchemy import text

from tests.e2e.conftest import StartWorker
from tests.support.waiting import until
from triagem import Publisher, TicketFields
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.lease import COLLECTING, list_workers, worker_states


def enqueue(inbox: Inbox, number: int) -> None:
    rows: list[TicketFields] = [
        {"source": "crm", "external_id": str(index), "text": f"ticket {index} " + "palavra " * (index % 40)}
        for index in range(number)
    ]
    Publisher(inbox).publish_many(rows)


def stored(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(text("SELECT count(*) FROM tickets")).scalar_one())


def assert_each_exactly_once(database: Database, number: int) -> None:
    with database.autocommit() as connection:
        ids = connection.execute(text("SELECT external_id FROM results")).scalars().all()
        predictions = connection.execute(text("SELECT count(*) FROM predictions")).scalar_one()
    assert sorted(ids, key=int) == [str(index) for index in range(number)]
    assert predictions == number


def test_a_kill_while_the_real_bert_computes_loses_nothing(
    inbox: Inbox, database: Database, start_worker: StartWorker, bert_models: Path
) -> None:
    enqueue(inbox, 400)
    first = start_worker(bert_models, "triagem.engine.classify:load")
    until(lambda: stored(database) > 0, seconds=90)
    first.kill()
    assert 0 < stored(database) < 400
    start_worker(bert_models, "triagem.engine.classify:load")
    until(lambda: inbox.redis.xlen("triagem:{0}:live") == 0, seconds=90)
    assert_each_exactly_once(database, 400)


def test_a_worker_ends_with_the_process_that_started_it(
    inbox: Inbox, start_worker: StartWorker, instant_models: Path
) -> None:
    worker = start_worker(instant_models)
    until(lambda: len(list_workers(inbox.redis)) == 1, seconds=60)
    assert worker._process.stdin
    worker._process.stdin.close()  # closes the pipe, as the parent's death would
    until(lambda: worker.exit_status == 0, seconds=90)


def test_a_worker_without_a_model_stores_tickets_and_loads_the_first_one(
    inbox: Inbox, database: Database, start_worker: StartWorker, instant_models: Path, tmp_path: Path
) -> None:
    registry = tmp_path / "models"
    worker = start_worker(registry)
    until(lambda: COLLECTING in worker_states(inbox.redis).values(), seconds=60)
    enqueue(inbox, 3)
    until(lambda: stored(database) == 3, seconds=60)

    shutil.copytree(instant_models, tmp_path / "whole").rename(registry)
    until(lambda: "model_loaded" in worker.log.read_text(), seconds=60)

    assert worker.log.read_text().count("waiting_for_model") == 1
