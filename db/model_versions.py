"""The copy of the registry's versions and promotions in Postgres, for queries over results."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from triagem.db.connect import Database

_RECORDED: Final = """
SELECT coalesce(array_agg(version), '{}'), coalesce((SELECT max(epoch) FROM model_promotions), 0) FROM model_versions
"""


def recorded(database: Database) -> tuple[set[str], int]:
    """The versions recorded so far, and the epoch of the last promotion recorded."""
    versions, epoch = database.one(_RECORDED)
    return set(versions), epoch


def had_model(database: Database) -> bool:
    """Whether a version was ever promoted."""
    return recorded(database)[1] > 0


def versions_of_results(database: Database, versions: Sequence[str]) -> list[str]:
    """Those of the versions that made the current result of a ticket whose text is still stored."""
    return database.scalars(
        "SELECT version FROM unnest(CAST(:versions AS text[])) AS v(version) "
        "WHERE EXISTS (SELECT FROM tickets t WHERE t.model_version = v.version AND t.text IS NOT NULL)",
        versions=list(versions),
    )


_ADD_VERSION: Final = """
WITH new_labels AS (
  INSERT INTO labels (label, name) SELECT label, label FROM unnest(CAST(:labels AS text[])) AS l(label)
  ON CONFLICT DO NOTHING
)
INSERT INTO model_versions (version, manifest_digest, created_at, labels)
VALUES (:version, :manifest_digest, :created_at, :labels) ON CONFLICT DO NOTHING
"""


def record_version(
    database: Database, version: str, *, manifest_digest: bytes, created_at: datetime, labels: Sequence[str]
) -> None:
    """Add a version with its labels. A version that is already recorded does not change."""
    database.execute(
        _ADD_VERSION, version=version, manifest_digest=manifest_digest, created_at=created_at, labels=list(labels)
    )


def record_promotion(database: Database, epoch: int, version: str, promoted_at: datetime) -> None:
    """Add a promotion: the version was current from then until the one of the next epoch."""
    database.execute(
        "INSERT INTO model_promotions (epoch, version, promoted_at) VALUES (:epoch, :version, :promoted_at) "
        "ON CONFLICT DO NOTHING",
        epoch=epoch,
        version=version,
        promoted_at=promoted_at,
    )
