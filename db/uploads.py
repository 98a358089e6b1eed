"""Files that a person uploaded for one job, and the job's result. Both exist for a short time.

The file is deleted when its job ends, the result an hour after the upload.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pydantic_core import to_json

from triagem.db.connect import Database

KEPT: Final = timedelta(hours=1)

_SWEEP: Final = """
WITH unused AS (
  SELECT id FROM uploads u WHERE NOT EXISTS (
    SELECT FROM training_jobs j WHERE j.state IN ('queued', 'running') AND j.parameters->>'upload' = u.id::text
  ) AND (content IS NOT NULL AND uploaded_at < now() - interval '1 minute' OR uploaded_at < now() - :kept)
)
DELETE FROM uploads WHERE id IN (SELECT id FROM unused)
"""


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """A file's name and content, until the job has ended, and the result after that."""

    name: str
    content: bytes | None
    result: Mapping[str, Any] | None


def store_upload(database: Database, name: str, content: bytes) -> int:
    """Store a file; returns its id."""
    return int(
        database.scalar_one(
            "INSERT INTO uploads (name, content) VALUES (:name, :content) RETURNING id", name=name, content=content
        )
    )


def find_upload(database: Database, upload_id: int) -> StoredUpload | None:
    """The upload, if it was not deleted."""
    return database.first(StoredUpload, "SELECT name, content, result FROM uploads WHERE id = :id", id=upload_id)


def finish_upload(database: Database, upload_id: int, result: Mapping[str, Any]) -> None:
    """Store the result in place of the file."""
    database.execute(
        "UPDATE uploads SET content = NULL, result = CAST(:result AS jsonb) WHERE id = :id",
        id=upload_id,
        result=to_json(dict(result)).decode(),
    )


def delete_upload(database: Database, upload_id: int) -> None:
    """Delete the file and the result."""
    database.execute("DELETE FROM uploads WHERE id = :id", id=upload_id)


def sweep_uploads(database: Database) -> None:
    """Delete files whose job has ended without a result, and results after `KEPT`."""
    database.execute(_SWEEP, kept=KEPT)
