"""A version's life, for tests: when it was made, what it learned from, and what people said of its answers since."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.builders import manifest
from tests.support.windows import digest, result
from triagem.contracts.model import ROWS_FILE, Rows
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import judge
from triagem.db.window import write
from triagem.registry import Registry


def promoted(folder: Path, *, days_ago: float = 0, seen: Rows | None = None, **changes: Any) -> Registry:
    """A registry whose current v1.0.0 was made so many days ago."""
    registry = Registry(folder)
    made = {"created_at": datetime.now(UTC) - timedelta(days=days_ago), "metrics": {"accuracy": 0.95}, **changes}
    with registry.staging() as staged:
        if seen:
            (staged / ROWS_FILE).write_text(seen.model_dump_json(), encoding="utf-8")
        registry.promote(registry.register(staged, manifest(**made)).version)
    return registry


def seen(**words: Sequence[str]) -> Rows:
    """What a version saw of these texts, by part."""
    parts = {part: words.get(part, ()) for part in ("train", "dev", "calibration", "test")}
    return Rows.model_validate({part: [digest(one).hex() for one in texts] for part, texts in parts.items()})


def reviewed(database: Database, words: str, label: str | None) -> None:
    """A ticket with this text, and what a person said of it."""
    write(database, [result(words, external_id=words)])
    judge(database, Identity("zendesk", words), label, "ana")


def drift_report(database: Database, *, drifted: bool, version: str = "v1.0.0") -> None:
    """A comparison was made, now."""
    with database.autocommit() as connection:
        connection.execute(
            text("""
            INSERT INTO drift_reports (model_version, drifted, rows, reference_rows, detail)
            VALUES (:version, :drifted, 500, 500, '{}')
            """),
            {"version": version, "drifted": drifted},
        )
