"""Ten thousand real tickets, where the folder that holds them is beside the project."""

from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.producer.load import load_records
from triagem.producer.mapping import field_map
from triagem.producer.rows import open_text, read_rows

TICKETS = ROOT.parent / "shared" / "bench" / "tickets_10k.jsonl"


@pytest.mark.slow
@pytest.mark.skipif(not TICKETS.exists(), reason=f"the real tickets are not here: {TICKETS}")
def test_ten_thousand_real_tickets_have_one_row_each_when_the_backlog_is_empty(
    inbox: Inbox, database: Database, start_worker: StartWorker, bert_models: Path
) -> None:
    with open_text(str(TICKETS)) as lines:
        columns, records = read_rows(lines, format=None, name=TICKETS.name)
        mapping = field_map(columns, "external_id=id")
        summary = load_records(records, mapping, Publisher(inbox), lane=Lane.BULK, source="desk", strict=True)
    assert summary.accepted == 10_000
    start_worker(bert_models, "triagem.engine.classify:load")
    until(lambda: inbox.redis.xlen("triagem:{0}:bulk") == 0, seconds=900)
    with database.autocommit() as connection:
        rows_, ids, dead = connection.execute(
            text("SELECT count(*), count(DISTINCT external_id), (SELECT count(*) FROM dead_letters) FROM tickets")
        ).one()
    assert (rows_, ids, dead) == (10_000, 10_000, 0)
