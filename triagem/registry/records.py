"""Read a version's rows and report, and its record for the gate: its test predictions and training rows.

Missing information becomes a gap in the record, not an error: a damaged version can still be replaced by
force.
"""

from collections.abc import Iterator
from math import isfinite

from pydantic import ValidationError

from triagem.contracts.assessment import Assessment
from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import (
    CURRENT_PREDICTIONS_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ROWS_FILE,
    Manifest,
    ScoredRow,
    SplitDigests,
)
from triagem.registry.decision import VersionRecord
from triagem.registry.store import Registry


def read_rows(registry: Registry, version: str) -> SplitDigests | None:
    """The digests of a version's rows; None if it has no such file. Raises ModelCorrupt."""
    content = registry.read(version, ROWS_FILE)
    try:
        return None if content is None else SplitDigests.model_validate_json(content)
    except ValidationError as error:
        raise ModelCorrupt(f"{ROWS_FILE} of {version} cannot be read: train again") from error


def read_report(registry: Registry, version: str) -> Assessment | None:
    """A version's evaluation report; None if it has none. Raises ModelCorrupt."""
    content = registry.read(version, REPORT_FILE)
    try:
        return None if content is None else Assessment.model_validate_json(content)
    except ValidationError as error:
        raise ModelCorrupt(f"{version}: {REPORT_FILE} cannot be read: another release may have written it") from error


def read_record(registry: Registry, version: str, scored_by: str | None = None) -> VersionRecord:
    """A version's record, with a gap for each piece that cannot be read.

    Args:
        scored_by: a later version, whose training has stored this version's predictions on more test rows.
    """
    gaps: list[str] = []
    predictions: list[ScoredRow] = []
    manifest: Manifest | None = None
    try:
        manifest = registry.manifest(version)
        predictions = _read_predictions(registry, manifest, scored_by)
    except (NoModel, ModelCorrupt) as error:
        gaps.append(str(error))
    trained_on = _read_trained_on(registry, manifest, gaps)
    return VersionRecord(
        version=version,
        labels=manifest.labels if manifest else (),
        predictions={row.digest: row for row in predictions},
        trained_on=trained_on,
        metrics=manifest.metrics if manifest else {},
        leaked=manifest.data.leaked if manifest else 0,
        gaps=tuple(gaps),
    )


def read_trained_texts(registry: Registry, version: str) -> set[str] | None:
    """Digests of the texts that a version and its ancestors were trained or tuned on; None if they are not known.

    A head is fitted on its test rows too: only their predictions in the report are of a head that was not.
    """
    gaps: list[str] = []
    try:
        manifest = registry.manifest(version)
        tested = read_rows(registry, version) if manifest.pooling == "mean" else None
    except (NoModel, ModelCorrupt):
        return None
    texts = _read_trained_on(registry, manifest, gaps).union(tested.test if tested else ())
    return None if gaps else texts


def _read_trained_on(registry: Registry, manifest: Manifest | None, gaps: list[str]) -> set[str]:
    trained_on = set[str]()
    for ancestor in _lineage(registry, manifest, gaps):
        try:
            trained_on.update(_read_seen_rows(registry, ancestor))
        except ModelCorrupt as error:
            gaps.append(str(error))
    return trained_on


def _read_predictions(registry: Registry, manifest: Manifest, scored_by: str | None) -> list[ScoredRow]:
    """The later version's rows, then the version's own, which count if a row is in both."""
    content = registry.read(manifest.version, PREDICTIONS_FILE)
    if not content:
        raise ModelCorrupt(f"{manifest.version} has no {PREDICTIONS_FILE}, which the gate reads: train it again")
    more = registry.read(scored_by, CURRENT_PREDICTIONS_FILE.format(manifest.version)) if scored_by else None
    try:
        rows = [ScoredRow.model_validate_json(line) for line in ((more or b"") + content).splitlines()]
    except ValidationError as error:
        raise ModelCorrupt(f"{manifest.version}: {PREDICTIONS_FILE} cannot be read: train again") from error
    for row in rows:
        if len(row.probabilities) != len(manifest.labels) or not all(map(isfinite, row.probabilities)):
            raise ModelCorrupt(
                f"{manifest.version}: {PREDICTIONS_FILE} has a row without a probability for each label: train again"
            )
    return rows


def _lineage(registry: Registry, manifest: Manifest | None, gaps: list[str]) -> Iterator[Manifest]:
    """A version and its ancestors, each once."""
    visited: set[str] = set()
    while manifest is not None and manifest.version not in visited:
        visited.add(manifest.version)
        yield manifest
        parent, manifest = manifest.parent, None
        if parent is not None:
            try:
                manifest = registry.manifest(parent)
            except (NoModel, ModelCorrupt) as error:
                gaps.append(f"the training rows of its ancestor {parent} are unknown: {error}")


def _read_seen_rows(registry: Registry, manifest: Manifest) -> tuple[str, ...]:
    """Digests of all rows used before the test: for training, checkpoint selection and calibration."""
    rows = read_rows(registry, manifest.version)
    if rows is None:
        raise ModelCorrupt(f"{manifest.version} has no {ROWS_FILE}, which lists its training rows: train it again")
    return rows.train + rows.dev + rows.calibration
