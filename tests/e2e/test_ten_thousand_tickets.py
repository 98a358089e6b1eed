"""Ten thousand tickets, made from the sample CRM export, through a real worker with the small BERT."""

import csv
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.e2e.conftest import ROOT, StartWorker
from tests.support.waiting import until
from triagem import Publisher
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.producer.columns import field_map
from triagem.producer.load import ReadingRules, load_records
from triagem.records.rows import read_rows
from triagem.records.text_file import open_text

EXPORT = ROOT / "examples" / "crm_export.csv"
TICKETS = 10_000


@pytest.fixture
def large_export(tmp_path: Path) -> Path:
    """The export's rows, repeated with distinct ids. The id is also in the subject: no two texts are equal."""
    with EXPORT.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    path = tmp_path / "tickets.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for number in range(TICKETS):
            row = rows[number % len(rows)]
            writer.writerow(row | {"id": f"N-{number}", "subject": f"{row['subject']} N-{number}".strip()})
    return path


@pytest.mark.slow
def test_ten_thousand_tickets_have_one_row_each_when_the_backlog_is_empty(
    inbox: Inbox, database: Database, start_worker: StartWorker, bert_models: Path, large_export: Path
) -> None:
    with closing(open_text(str(large_export))) as export:
        rows = read_rows(export.lines(), format=None, name=large_export.name)
        rules = ReadingRules(field_map(rows.columns, "external_id=id"), "desk")
        summary = load_records(rows.records, rules, Publisher(inbox), lane=Lane.BULK, strict=True)
    assert summary.accepted == TICKETS
    start_worker(bert_models, "triagem.engine.classify:load")
    until(lambda: inbox.redis.xlen("triagem:{0}:bulk") == 0, seconds=900)
    with database.autocommit() as connection:
        rows, ids, dead = connection.execute(
            text("SELECT count(*), count(DISTINCT external_id), (SELECT count(*) FROM dead_letters) FROM tickets")
        ).one()
    assert (rows, ids, dead) == (TICKETS, TICKETS, 0)
