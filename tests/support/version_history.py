"""Builds a version's history: its age, its training and test rows, reviews and drift reports."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tests.support.builders import manifest
from tests.support.windows import digest, result
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.reviews import record_review
from triagem.db.tickets.window import write_window
from triagem.registry import Registry


def promoted(folder: Path, *, days_ago: float = 0, seen: SplitDigests | None = None, **changes: Any) -> Registry:
    """A registry whose current v1.0.0 was made `days_ago`."""
    registry = Registry(folder)
    made = {"created_at": datetime.now(UTC) - timedelta(days=days_ago), "metrics": {"accuracy": 0.95}, **changes}
    with registry.staging() as staged:
        if seen:
            (staged / ROWS_FILE).write_text(seen.model_dump_json(), encoding="utf-8")
        registry.promote(registry.register(staged, manifest(**made)).version)
    return registry


def seen(**texts_by_part: Sequence[str]) -> SplitDigests:
    """The digests of these texts by part, as in a version's rows.json."""
    parts = {part: texts_by_part.get(part, ()) for part in ("train", "dev", "calibration", "test")}
    return SplitDigests.model_validate(
        {part: [digest(content).hex() for content in texts] for part, texts in parts.items()}
    )


def reviewed(database: Database, content: str, label: str | None) -> None:
    """Store a ticket with this text and a review of it."""
    write_window(database, [result(content, external_id=content)])
    record_review(database, Identity("zendesk", content), label, "ana")


def drift_report(database: Database, *, drifted: bool, version: str = "v1.0.0") -> None:
    """Store a drift report, now."""
    with database.autocommit() as connection:
        connection.execute(
            text("""
            INSERT INTO drift_reports (model_version, drifted, rows, reference_rows, detail)
            VALUES (:version, :drifted, 500, 500, '{}')
            """),
            {"version": version, "drifted": drifted},
        )
