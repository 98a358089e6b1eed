"""The copy of the registry's versions and promotions in Postgres, for queries over results."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version."""

    version: str
    manifest_digest: bytes
    created_at: datetime
    labels: list[str]


@dataclass(frozen=True, slots=True)
class ModelPromotion:
    """The version was current from then until the promotion of the next epoch."""

    epoch: int
    version: str
    promoted_at: datetime


_RECORDED: Final = text("""
SELECT coalesce(array_agg(version), '{}'), coalesce((SELECT max(epoch) FROM model_promotions), 0) FROM model_versions
""")


def recorded(database: Database) -> tuple[set[str], int]:
    """The versions recorded so far, and the epoch of the last promotion recorded."""
    versions, epoch = database.one(_RECORDED)
    return set(versions), epoch


_ADD_VERSION: Final = text("""
WITH new_labels AS (
  INSERT INTO labels (label, name) SELECT label, label FROM unnest(CAST(:labels AS text[])) AS l(label)
  ON CONFLICT DO NOTHING
)
INSERT INTO model_versions (version, manifest_digest, created_at, labels)
VALUES (:version, :manifest_digest, :created_at, :labels) ON CONFLICT DO NOTHING
""")
_ADD_PROMOTION: Final = text("""
INSERT INTO model_promotions (epoch, version, promoted_at) VALUES (:epoch, :version, :promoted_at)
ON CONFLICT DO NOTHING
""")


def record(database: Database, versions: Sequence[ModelVersion], promotions: Sequence[ModelPromotion]) -> None:
    """Add versions with their labels, and promotions. What is recorded already does not change."""
    for version in versions:
        database.execute(_ADD_VERSION, asdict(version))
    for promotion in promotions:
        database.execute(_ADD_PROMOTION, asdict(promotion))
