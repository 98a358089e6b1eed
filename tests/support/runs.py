"""Stored tickets, and runs over them to their end in this process."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.waiting import until
from tests.support.windows import result
from triagem.db import Database, runs
from triagem.db.runs import Run
from triagem.db.window import write
from triagem.inbox import Inbox
from triagem.producer.reclassify.sweep import sweep
from triagem.registry import Registry


def store(database: Database, number: int, *, first: int = 0, model: str = "v0.9.0", epoch: int = 0) -> None:
    """Tickets that another version has classified as `other`, and was not sure."""
    said: dict[str, Any] = {"model": model, "epoch": epoch, "label": "other", "confidence": 0.6}
    for start in range(first, first + number, 1000):
        names = map(str, range(start, min(start + 1000, first + number)))
        write(database, [result(text_of(name), external_id=name, **said) for name in names])


def text_of(name: str) -> str:
    """The text of the ticket of that name: the instant engine says `venda` of odd ones."""
    return f"minha internet {'não ' * (int(name) % 2)}caiu {name}"


def turn(database: Database, inbox: Inbox, models: Path) -> Run:
    """One turn of the active run, as beat has the ops worker do it."""
    sweep(database, inbox, Registry(models), datetime.now(UTC))
    found = runs.find(database)
    assert found
    return found


def finish(database: Database, inbox: Inbox, models: Path) -> Run:
    """Turns until the run has ended."""
    until(lambda: not turn(database, inbox, models).active)
    found = runs.find(database)
    assert found
    return found


def scalar(database: Database, query: str, **values: Any) -> Any:
    """One value."""
    with database.autocommit() as connection:
        return connection.execute(text(query), values).scalar_one()
