"""Runs all trainings of one version: the fold models, then the version's own model, and averages their weights.

`triagem.trainer.cross_validation` chooses the rows of each, `triagem.trainer.finetune` trains.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.engine.classify import LoadedModel, classify
from triagem.engine.classify import load as load_model
from triagem.registry.store import folder_digests
from triagem.trainer.calibration import label_indices, probabilities_of
from triagem.trainer.checkpoints import clearly_better
from triagem.trainer.cross_validation import NEVER_HELD_OUT, CalibrationPlan, out_of_fold_probabilities
from triagem.trainer.data import Row
from triagem.trainer.finetune import FinetuneResult, finetune
from triagem.trainer.parent import Parent
from triagem.trainer.report import TrainingProgress
from triagem.trainer.schedule import Schedule, fit_schedule
from triagem.trainer.settings import TrainSettings
from triagem.trainer.temperature_scaling import Floats
from triagem.trainer.weight_averaging import average_weights

MEAN: Final = "the weights are the mean of {} trainings: the folds' and one on all rows"
OWN: Final = "the weights are those of the training on all rows: the mean with the folds' is less accurate on dev"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The settings and data that all models of one version share. `draft` is the manifest so far."""

    draft: Manifest
    plan: CalibrationPlan
    dev: Sequence[Row]
    settings: TrainSettings
    parent: Parent | None
    progress: TrainingProgress
    cores: int

    def train_model(
        self, folder: Path, checkpoints: Path, without: int | None = None
    ) -> tuple[LoadedModel, FinetuneResult]:
        """Fine-tune into `folder`, on all rows or on all but a fold's, and load the model at temperature 1."""
        finished = [fold for fold in self._folds if without is None or fold < without]
        tuned = finetune(
            self._rows(without),
            self.dev,
            self.draft.labels,
            settings=self.settings,
            schedule=self.schedule(without),
            folder=folder,
            checkpoints=checkpoints,
            progress=_OverallProgress(self.progress, sum(self.schedule(fold).steps for fold in finished), self.steps),
            parent=self.parent,
        )
        return self._load(folder, tuned.max_tokens), tuned

    def average_with_folds(self, own: LoadedModel, folder: Path, work: Path) -> tuple[LoadedModel, tuple[str, ...]]:
        """Average the weights in `folder` with the fold models', unless `own` is `clearly_better` on dev.

        Returns the model in `folder`, and notes for the report.
        """
        if not self._folds:
            return own, ()
        mean = work / "mean"
        shutil.rmtree(mean, ignore_errors=True)
        shutil.copytree(folder, mean)
        average_weights(mean, [work / f"model-{fold}" for fold in self._folds])
        model = self._load(mean, own.manifest.max_tokens)
        if clearly_better(self._dev_accuracy(own), self._dev_accuracy(model), len(self.dev)):
            return own, (OWN,)
        shutil.copytree(mean, folder, dirs_exist_ok=True)
        return model, (MEAN.format(1 + len(self._folds)),)

    def predict_out_of_fold(self, work: Path) -> Floats:
        """`[rows][labels]`: see `triagem.trainer.cross_validation.out_of_fold_probabilities`."""

        def predict_fold(fold: int, folder: Path) -> list[list[float]]:
            staged = work / f"model-{fold}"  # kept for `average_with_folds`
            staged.mkdir(exist_ok=True)
            model, _ = self.train_model(staged, folder, without=fold)
            held_out = [row for row, number in zip(self.plan.train, self.plan.folds, strict=True) if number == fold]
            return classify(model, [row.text for row in held_out])

        return out_of_fold_probabilities(self.plan.folds, predict_fold, work)

    def schedule(self, without: int | None = None) -> Schedule:
        """The schedule of the training on all rows, or on all but a fold's."""
        return fit_schedule(len(self._rows(without)), self.settings, cores=self.cores)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on where the training differs from the settings, and on the additional trainings of the folds."""
        notes = list(self.schedule().notes)
        if self._folds:
            notes.append(
                f"{len(self._folds)} additional trainings for out-of-fold predictions, {self.steps} steps in total"
            )
        return tuple(notes)

    @property
    def steps(self) -> int:
        """Optimizer steps of all trainings together."""
        return sum(self.schedule(without).steps for without in (*self._folds, None))

    def _load(self, folder: Path, max_tokens: int) -> LoadedModel:
        manifest = self.draft.model_copy(update={"max_tokens": max_tokens, "files": folder_digests(folder)})
        provisional = folder / MANIFEST_FILE  # the engine requires one
        provisional.write_text(manifest.model_dump_json(), encoding="utf-8")
        model = load_model(folder)
        provisional.unlink()
        return model

    def _dev_accuracy(self, model: LoadedModel) -> float:
        return float((probabilities_of(model, self.dev).argmax(axis=1) == label_indices(model, self.dev)).mean())

    @property
    def _folds(self) -> list[int]:
        return sorted(set(self.plan.folds) - {NEVER_HELD_OUT})

    def _rows(self, without: int | None) -> list[Row]:
        if without is None:
            return list(self.plan.train)
        return [row for row, fold in zip(self.plan.train, self.plan.folds, strict=True) if fold != without]


@dataclass(frozen=True, slots=True)
class _OverallProgress:
    """Adds the steps of earlier trainings to those of the current one."""

    progress: TrainingProgress
    before: int
    total: int

    def on_step(self, done: int, total: int, loss: float | None) -> None:  # noqa: ARG002 - of this training alone
        self.progress.on_step(self.before + done, self.total, loss)
