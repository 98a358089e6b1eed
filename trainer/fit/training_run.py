"""Runs all trainings of one version: the fold models, then the version's own model; averages and calibrates them.

`triagem.trainer.fit.cross_validation` chooses the rows of each, `triagem.trainer.fit.finetune` trains.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from triagem.contracts.abstain import tokens_per_char_limit
from triagem.contracts.conversation import combine_all
from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.language import other_language_limit, training_languages
from triagem.contracts.model import CURRENT_PREDICTIONS_FILE, MANIFEST_FILE, Manifest, folder_digests
from triagem.contracts.prediction import Thresholds
from triagem.contracts.text import digest
from triagem.engine.classify import LoadedModel, classify
from triagem.engine.classify import load as load_model
from triagem.engine.language import language_probabilities
from triagem.registry import Registry
from triagem.registry.records import read_record
from triagem.trainer.bases.catalogue import WEIGHTS, describe_base
from triagem.trainer.data.near_duplicates import MIN_TEXTS, distinct_rows
from triagem.trainer.data.prepare import Parent
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.assess import score_rows, write_predictions
from triagem.trainer.evaluate.calibration import (
    apply_temperature,
    calibrate,
    review_budget,
    review_threshold,
)
from triagem.trainer.evaluate.metrics import Floats, LabelIndices
from triagem.trainer.evaluate.report import CalibrationResult, ReviewThreshold, TrainingProgress
from triagem.trainer.fit.checkpoints import clearly_better
from triagem.trainer.fit.cross_validation import (
    NEVER_HELD_OUT,
    CalibrationPlan,
    fold_notes,
    out_of_fold_probabilities,
)
from triagem.trainer.fit.finetune import FinetuneResult, finetune
from triagem.trainer.fit.schedule import Schedule, fit_schedule
from triagem.trainer.settings import TrainSettings

MEAN: Final = "the weights are the mean of {} trainings: the folds' and one on all rows"
_LANGUAGE_TEXTS: Final = 10_000
# With too few texts to fit one. Trained on 20 rows, two bases had 2.6 and 2.8 (docs/measurements/few_rows.py).
UNFITTED_TEMPERATURE: Final = 2.0
OWN: Final = "the weights are those of the training on all rows: the mean with the folds' is less accurate on dev"
UNJUDGED: Final = "the weights are those of the training on all rows: without dev rows their mean cannot be judged"


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """The settings and data that all models of one version share. `draft` is the manifest so far.

    `dev` has one row of each different text. If it is empty, neither checkpoints nor averaged weights are compared.
    """

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
            progress=self.progress,
            steps_before=sum(self.schedule(fold).steps for fold in finished),
            steps_of_all=self.steps,
            parent=self.parent,
        )
        return self._load(folder, tuned.max_tokens), tuned

    def average_with_folds(self, own: LoadedModel, folder: Path, work: Path) -> tuple[LoadedModel, tuple[str, ...]]:
        """Average the weights in `folder` with the fold models' weights, unless `own` is `clearly_better` on dev.

        Without dev rows, `own` is kept: there are few texts, and each fold model lacks a third of them. Returns the
        model in `folder`, and notes for the report.
        """
        if not self._folds:
            return own, ()
        if not self.dev:
            return own, (UNJUDGED,)
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
        """`[rows][labels]`: see `triagem.trainer.fit.cross_validation.out_of_fold_probabilities`."""

        def predict_fold(fold: int, folder: Path) -> Any:
            staged = work / f"model-{fold}"  # kept for `average_with_folds`
            staged.mkdir(exist_ok=True)
            model, _ = self.train_model(staged, folder, without=fold)
            held_out = [row for row, number in zip(self.plan.train, self.plan.folds, strict=True) if number == fold]
            return probabilities_of(model, held_out).tolist()

        return out_of_fold_probabilities(self.plan.folds, predict_fold, work)

    def calibrate(
        self, model: LoadedModel, out_of_fold: Floats | None
    ) -> tuple[LoadedModel, CalibrationResult, ReviewThreshold]:
        """Return the calibrated model and the evidence, from one calibration row per different text.

        With too few texts, the temperature is the parent's or `UNFITTED_TEMPERATURE`, and the dev rows, if any, set
        the review budget.

        Args:
            model: its temperature is 1.
            out_of_fold: the calibration rows' probabilities by the fold models; without them the model predicts.
        """
        kept = distinct_rows(self.plan.calibration_rows)
        rows = [self.plan.calibration_rows[index] for index in kept]
        probabilities = probabilities_of(model, rows) if out_of_fold is None else out_of_fold[kept]
        labels = label_indices(model, rows)
        fallback = self.parent.manifest.temperature if self.parent else UNFITTED_TEMPERATURE
        calibration = calibrate(probabilities, labels, self.plan.source, fallback_temperature=fallback)
        probabilities = apply_temperature(probabilities, calibration.temperature)
        correct = probabilities.argmax(axis=1) == labels
        threshold = review_threshold(probabilities.max(axis=1), correct, self.settings.precision)
        budget = Thresholds().review_budget
        if len(rows) >= MIN_TEXTS or self.dev:
            accuracy = float(correct.mean()) if len(rows) >= MIN_TEXTS else self._dev_accuracy(model)
            budget = review_budget(1 - accuracy)
        texts = sorted({row.text for row in self.plan.train})
        # The detector was not trained on these texts, so all of them count as held out. Ten thousand texts take a
        # second.
        detected = [language_probabilities(text) for text in texts[:: 1 + len(texts) // _LANGUAGE_TEXTS]]
        learned = self.parent.manifest.thresholds.languages if self.parent else ()
        languages = tuple(sorted({*training_languages(detected), *learned}))
        fitted = {
            "temperature": calibration.temperature,
            "thresholds": Thresholds(
                review=threshold.review,
                review_budget=budget,
                tokens_per_char=tokens_per_char_limit(texts, model.tokenize(texts)),
                languages=languages,
                other_language=other_language_limit(detected, languages),
            ),
        }
        return replace(model, manifest=model.manifest.model_copy(update=fitted)), calibration, threshold

    def schedule(self, without: int | None = None) -> Schedule:
        """The schedule of the training on all rows, or on all but a fold's."""
        return fit_schedule(len(self._rows(without)), self.settings, cores=self.cores)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the base, on where the training differs from the settings, and on the folds' trainings."""
        base = self.draft.base
        notes = [f"fine-tuned from {self.draft.parent}, base model {base}" if self.parent else describe_base(base)]
        notes += self.schedule().notes
        notes += fold_notes(self.plan, self.settings.folds)
        if self._folds:
            notes.append(
                f"{len(self._folds)} additional trainings for out-of-fold predictions, {self.steps:,} steps in total"
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


def average_weights(folder: Path, others: Sequence[Path]) -> None:
    """Replace the weights in `folder` with the mean of `folder` and `others`; all have the same architecture.

    The averaged model is as fast as a single model, and varies less between seeds. Models fine-tuned from the same
    base and head lie in one basin of the loss. There, the mean of the weights predicts about the same as the mean of
    the probabilities (model soups, Wortsman et al. 2022, arXiv:2203.05482).
    """
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
    total = load_file(folder / WEIGHTS)
    for other in others:
        for name, weight in load_file(other / WEIGHTS).items():
            total[name] += weight
    save_file({name: weight.div_(1 + len(others)) for name, weight in total.items()}, folder / WEIGHTS, metadata)


def probabilities_of(model: LoadedModel, rows: Sequence[Row]) -> Floats:
    """Probabilities `[rows][labels]` by the serving engine. A conversation's parts are combined as in a worker."""
    parts = [row.parts for row in rows]
    combined = combine_all(parts, classify(model, [part for of_row in parts for part in of_row]))
    return np.asarray(combined, dtype=np.float64).reshape(len(rows), len(model.manifest.labels))


def write_current_predictions(folder: Path, registry: Registry, rows: Sequence[Row]) -> None:
    """Let the current version predict the test rows that it has no predictions of, and write these for the gate.

    Without them, the two versions could be compared only on the test rows that the current one happened to have.
    """
    current = registry.find_current()
    if current is None:
        return
    predicted = read_record(registry, current.version).predictions
    new = [row for row in rows if digest(row.text).hex() not in predicted]
    if not new:
        return
    with suppress(NoModel, ModelCorrupt):  # the gate reports a damaged version
        probabilities = probabilities_of(load_model(registry.folder(current.version)), new)
        write_predictions(folder / CURRENT_PREDICTIONS_FILE.format(current.version), score_rows(new, probabilities))


def label_indices(model: LoadedModel, rows: Sequence[Row]) -> LabelIndices:
    """`[rows]`: the index of each row's label among the model's labels."""
    return np.asarray([model.manifest.labels.index(row.label) for row in rows], dtype=np.intp)
