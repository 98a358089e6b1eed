"""What the gate is to know of a version, read from its folder: its answers on test rows, and what it learned from.

What cannot be known is a gap in the record, not an error: what is damaged, or older than these files, can still be
replaced by force.
"""

from collections.abc import Iterator
from math import isfinite

from pydantic import ValidationError

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import PREDICTIONS_FILE, ROWS_FILE, Answer, Manifest, Rows
from triagem.registry.decision import Record
from triagem.registry.store import Registry


def record(registry: Registry, version: str) -> Record:
    """A version's record, with a gap for each thing that cannot be read."""
    gaps: list[str] = []
    answers: list[Answer] = []
    learned: set[str] = set()
    own: Manifest | None = None
    try:
        own = registry.manifest(version)
        answers = _answers(registry, own)
    except (NoModel, ModelCorrupt) as error:
        gaps.append(str(error))
    for one in _lineage(registry, own, gaps):
        try:
            learned.update(_rows(registry, one))
        except ModelCorrupt as error:
            gaps.append(str(error))
    return Record(
        version=version,
        labels=own.labels if own else (),
        answers={one.digest: one for one in answers},
        learned=learned,
        metrics=own.metrics if own else {},
        gaps=tuple(gaps),
    )


def _answers(registry: Registry, manifest: Manifest) -> list[Answer]:
    content = registry.read(manifest.version, PREDICTIONS_FILE)
    if not content:
        raise ModelCorrupt(f"{manifest.version} has no {PREDICTIONS_FILE}, which the gate reads: train it again")
    try:
        found = [Answer.model_validate_json(line) for line in content.splitlines()]
    except ValidationError as error:
        raise ModelCorrupt(f"{manifest.version}: {PREDICTIONS_FILE} cannot be read: train again") from error
    for one in found:
        if len(one.probabilities) != len(manifest.labels) or not all(map(isfinite, one.probabilities)):
            raise ModelCorrupt(
                f"{manifest.version}: {PREDICTIONS_FILE} has a row without a probability for each label: train again"
            )
    return found


def _lineage(registry: Registry, manifest: Manifest | None, gaps: list[str]) -> Iterator[Manifest]:
    """A version and its ancestors, each once."""
    passed: set[str] = set()
    while manifest is not None and manifest.version not in passed:
        passed.add(manifest.version)
        yield manifest
        parent, manifest = manifest.parent, None
        if parent is not None:
            try:
                manifest = registry.manifest(parent)
            except (NoModel, ModelCorrupt) as error:
                gaps.append(f"what its ancestor {parent} learned from is unknown: {error}")


def _rows(registry: Registry, manifest: Manifest) -> tuple[str, ...]:
    """Digests of all that a version saw before its test: to learn from, to choose a checkpoint, to be calibrated."""
    content = registry.read(manifest.version, ROWS_FILE)
    if content is None:
        raise ModelCorrupt(f"{manifest.version} has no {ROWS_FILE}, which says what it learned from: train it again")
    try:
        rows = Rows.model_validate_json(content)
    except ValidationError as error:
        raise ModelCorrupt(f"{manifest.version}: {ROWS_FILE} cannot be read: train again") from error
    return rows.train + rows.dev + rows.calibration
