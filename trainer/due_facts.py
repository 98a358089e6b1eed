"""What `due` judges by: the registry's word on the current version, people's reviews, and the newest drift report."""

from collections import Counter
from datetime import datetime, timedelta
from math import sqrt
from typing import Final

from pydantic import ValidationError
from sqlalchemy import text

from contracts.errors import ModelCorrupt
from contracts.model import ROWS_FILE, Rows
from db import Database
from registry import Registry
from trainer.due import Facts, Measured

# The latest verdict on each text of a ticket. One can train on it as long as the text stands there.
_REVIEWED: Final = text("""
SELECT encode(r.digest, 'hex') AS digest, r.label, t.digest = r.digest AND t.text IS NOT NULL AS usable
FROM (SELECT DISTINCT ON (ticket_id, digest) * FROM reviews ORDER BY ticket_id, digest, id DESC) r
JOIN tickets t ON t.id = r.ticket_id
WHERE r.label IS NOT NULL
""")
_DRIFT: Final = text("""
SELECT drifted, made_at FROM drift_reports WHERE model_version = :version ORDER BY id DESC LIMIT 1
""")
# Only verdicts on what was drawn tell of all tickets; each stands for 1 / inclusion of them.
_JUDGED: Final = text("""
SELECT label = model_label AS "right", 1 / inclusion AS weight
FROM (SELECT DISTINCT ON (ticket_id, digest) * FROM reviews ORDER BY ticket_id, digest, id DESC) r
WHERE model_version = :version AND inclusion > 0 AND label IS NOT NULL AND model_label IS NOT NULL
  AND (CAST(:since AS timestamptz) IS NULL OR reviewed_at >= :since)
""")
_Z: Final = 1.96  # 95 %


def facts(database: Database, registry: Registry, now: datetime) -> Facts:
    """All that is known of the current version. Raises NoModel if there is none."""
    version = registry.current().version
    manifest = registry.manifest(version)
    with database.autocommit() as connection:
        reviewed = connection.execute(_REVIEWED).all()
        report = connection.execute(_DRIFT, {"version": version}).one_or_none()
    seen = _seen(registry, version)
    usable = {row.digest for row in reviewed if row.usable}
    return Facts(
        version=version,
        age_days=(now - manifest.created_at) / timedelta(days=1),
        labels=manifest.labels,
        training_rows=manifest.data.rows,
        test_accuracy=manifest.metrics.get("accuracy"),
        reviewed=accuracy(database, version),
        reviewed_labels=Counter(row.label for row in reviewed),
        new_rows=None if seen is None else len(usable - seen),
        drifted_at=report.made_at if report and report.drifted else None,
    )


def accuracy(database: Database, version: str, since: datetime | None = None) -> Measured | None:
    """A version's accuracy on all tickets, estimated from the drawn ones that people judged; None without any.

    The interval is Wilson's, with as many rows as the weights leave (Kish: the square of their sum over the sum of
    their squares).
    """
    with database.autocommit() as connection:
        judged = connection.execute(_JUDGED, {"version": version, "since": since}).all()
    if not judged:
        return None
    total = sum(row.weight for row in judged)
    share = sum(row.weight for row in judged if row.right) / total
    rows = total**2 / sum(row.weight**2 for row in judged)
    middle = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    reach = _Z / (1 + _Z**2 / rows) * sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    return Measured(share, max(0.0, middle - reach), min(1.0, middle + reach), len(judged))


def _seen(registry: Registry, version: str) -> set[str] | None:
    """Digests of all texts that a version learned from, was calibrated or is tested on."""
    try:
        rows = Rows.model_validate_json((registry.folder(version) / ROWS_FILE).read_bytes())
    except FileNotFoundError:  # of a version from before there were such files
        return None
    except (OSError, ValidationError) as error:
        raise ModelCorrupt(
            f"{ROWS_FILE} of {version} cannot be read ({type(error).__name__}): train again"
        ) from error
    return {*rows.train, *rows.dev, *rows.calibration, *rows.test}
