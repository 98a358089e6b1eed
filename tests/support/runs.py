"""Stores tickets, and advances reclassification runs in this process."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.waiting import until
from tests.support.windows import result
from triagem.db import Database, runs
from triagem.db.runs import ReclassifyRun
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.ops.reclassify import advance_run
from triagem.registry import Registry


def store_tickets(database: Database, number: int, *, first: int = 0, model: str = "v0.9.0", epoch: int = 0) -> None:
    """Store tickets that another version has classified as `other` with low confidence."""
    prediction: dict[str, Any] = {"model": model, "epoch": epoch, "label": "other", "confidence": 0.6}
    for start in range(first, first + number, 1000):
        names = map(str, range(start, min(start + 1000, first + number)))
        write_window(database, [result(text_of(name), external_id=name, **prediction) for name in names])


def text_of(name: str) -> str:
    """The text of that ticket: the no-op engine predicts `venda` for odd numbers."""
    return f"minha internet {'não ' * (int(name) % 2)}caiu {name}"


def advance_once(database: Database, inbox: Inbox, models: Path) -> ReclassifyRun:
    """Advance the active run once, as the ops worker does when beat schedules it."""
    advance_run(database, inbox, Registry(models), datetime.now(UTC))
    run = runs.find(database)
    assert run
    return run


def finish_run(database: Database, inbox: Inbox, models: Path) -> ReclassifyRun:
    """Advance the run until it has ended."""
    until(lambda: not advance_once(database, inbox, models).active)
    run = runs.find(database)
    assert run
    return run


def scalar(database: Database, query: str, **values: Any) -> Any:
    """One value."""
    with database.autocommit() as connection:
        return connection.execute(text(query), values).scalar_one()
