"""What `due` judges by: the registry's word on the current version, people's reviews, and the newest drift report."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError
from sqlalchemy import text

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, Rows
from triagem.db import Database
from triagem.db.reviews import accuracy
from triagem.registry import Registry
from triagem.trainer.due import Facts

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


def _seen(registry: Registry, version: str) -> set[str] | None:
    """Digests of all texts that a version learned from, was calibrated or is tested on."""
    content = registry.read(version, ROWS_FILE)
    if content is None:  # of a version from before there were such files
        return None
    try:
        rows = Rows.model_validate_json(content)
    except ValidationError as error:
        raise ModelCorrupt(f"{ROWS_FILE} of {version} cannot be read: train again") from error
    return {*rows.train, *rows.dev, *rows.calibration, *rows.test}
