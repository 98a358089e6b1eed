"""Prepares a data folder for training: reads, audits and splits it. Writes nothing."""

from dataclasses import dataclass
from pathlib import Path

from triagem.registry import Registry
from triagem.trainer.audit import Audit, audit, refuse_leaks
from triagem.trainer.data import load
from triagem.trainer.history import read_history
from triagem.trainer.settings import TrainSettings
from triagem.trainer.split import CALIBRATION_ROWS, CALIBRATION_ROWS_OR_FOLDS, DataSplit, split


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The labels in the order of the model's outputs, the audit, and the four parts."""

    labels: tuple[str, ...]
    audit: Audit
    parts: DataSplit

    @property
    def notes(self) -> tuple[str, ...]:
        """The audit's and the split's notes, one line each."""
        return (*self.audit.lines(), *self.parts.notes)


def prepare(
    data_dir: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None = None,
    allow_leakage: bool = False,
) -> PreparedData:
    """Read `data_dir`, audit it, and split it, taking into account which rows the registry's versions saw.

    Args:
        parent: the version to fine-tune from.
        allow_leakage: continue although test rows are training rows or near-duplicates of them.

    Raises:
        InvalidInput: the rows cannot be used, or test rows leak into the training rows.
    """
    corpus = load(data_dir, settings.labels)
    audited = audit(corpus)
    if not allow_leakage:
        refuse_leaks(audited)
    seen = read_history(registry, parent)
    parts = split(
        corpus,
        seed=settings.seed,
        min_calibration_rows=CALIBRATION_ROWS if settings.folds < 2 else CALIBRATION_ROWS_OR_FOLDS,
        tested=seen.tested,
        trained=seen.trained,
        learned=seen.learned,
    )
    return PreparedData(corpus.labels, audited, parts)
