"""Collects the facts for `triagem.trainer.due`: the current manifest, the reviews, the newest drift report."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError
from sqlalchemy import text

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.db import Database
from triagem.db.reviews import model_accuracy
from triagem.registry import Registry
from triagem.trainer.due import RetrainingFacts

# The latest review of each text of a ticket. It is usable for training while the ticket still has that text.
_REVIEWED: Final = text("""
SELECT encode(r.digest, 'hex') AS digest, r.label, t.digest = r.digest AND t.text IS NOT NULL AS usable
FROM (SELECT DISTINCT ON (ticket_id, digest) * FROM reviews ORDER BY ticket_id, digest, id DESC) r
JOIN tickets t ON t.id = r.ticket_id
WHERE r.label IS NOT NULL
""")
_DRIFT: Final = text("""
SELECT drifted, made_at FROM drift_reports WHERE model_version = :version ORDER BY id DESC LIMIT 1
""")


def read_facts(database: Database, registry: Registry, now: datetime) -> RetrainingFacts:
    """The facts on the current version. Raises NoModel if there is none."""
    version = registry.current().version
    manifest = registry.manifest(version)
    with database.autocommit() as connection:
        reviewed = connection.execute(_REVIEWED).all()
        report = connection.execute(_DRIFT, {"version": version}).one_or_none()
    seen = _seen_digests(registry, version)
    usable = {row.digest for row in reviewed if row.usable}
    return RetrainingFacts(
        version=version,
        age_days=(now - manifest.created_at) / timedelta(days=1),
        labels=manifest.labels,
        training_rows=manifest.data.rows,
        test_accuracy=manifest.metrics.get("accuracy"),
        reviewed=model_accuracy(database, version),
        reviewed_labels=Counter(row.label for row in reviewed),
        new_rows=None if seen is None else len(usable - seen),
        drifted_at=report.made_at if report and report.drifted else None,
    )


def _seen_digests(registry: Registry, version: str) -> set[str] | None:
    """Digests of all texts that a version was trained, calibrated or tested on; None if it has no such file."""
    content = registry.read(version, ROWS_FILE)
    if content is None:  # a version from an earlier release
        return None
    try:
        rows = SplitDigests.model_validate_json(content)
    except ValidationError as error:
        raise ModelCorrupt(f"{ROWS_FILE} of {version} cannot be read: train again") from error
    return {*rows.train, *rows.dev, *rows.calibration, *rows.test}
