"""A data folder made ready to learn from: read, looked at, split. Nothing is written."""

from dataclasses import dataclass
from pathlib import Path

from triagem.registry import Registry
from triagem.trainer.audit import Audit, audit, refuse_leaks
from triagem.trainer.data import load
from triagem.trainer.history import history
from triagem.trainer.settings import TrainSettings
from triagem.trainer.split import CALIBRATION_ROWS, CALIBRATION_ROWS_OR_FOLDS, Parts, split


@dataclass(frozen=True, slots=True)
class Prepared:
    """The labels in the order of the model's outputs, what is wrong with the rows, and the four parts."""

    labels: tuple[str, ...]
    audit: Audit
    parts: Parts

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before training, a line each."""
        return (*self.audit.lines(), *self.parts.notes)


def prepare(
    data_dir: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None = None,
    allow_leakage: bool = False,
) -> Prepared:
    """Read `data_dir` and split it, heeding what the registry's versions saw.

    Args:
        parent: the version that the next one starts from.
        allow_leakage: go on although test rows are, or nearly are, training rows.

    Raises:
        InvalidInput: the rows cannot be used, or the test would measure memory.
    """
    corpus = load(data_dir, settings.labels)
    found = audit(corpus)
    if not allow_leakage:
        refuse_leaks(found)
    seen = history(registry, parent)
    parts = split(
        corpus,
        seed=settings.seed,
        least_calibration=CALIBRATION_ROWS if settings.folds < 2 else CALIBRATION_ROWS_OR_FOLDS,
        tested=seen.tested,
        trained=seen.trained,
        learned=seen.learned,
    )
    return Prepared(corpus.labels, found, parts)
