"""One training after another with the same recipe: the folds' models, then the version's own.

Not here: which rows each learns from (`triagem.trainer.folds`), and how (`triagem.trainer.finetune`).
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.engine.classify import LoadedModel, classify
from triagem.engine.classify import load as load_model
from triagem.registry.store import digests
from triagem.trainer.calibrate import Floats
from triagem.trainer.checkpoints import beats_last
from triagem.trainer.data import Row
from triagem.trainer.finetune import Tuned, finetune
from triagem.trainer.folds import ALWAYS, Plan, out_of_fold
from triagem.trainer.inherit import Parent
from triagem.trainer.report import Progress
from triagem.trainer.schedule import Schedule, fit_schedule
from triagem.trainer.settings import TrainSettings
from triagem.trainer.soup import blend
from triagem.trainer.trust import answers, truth

MEAN: Final = "the weights are the mean of {} trainings': the folds' and one on all rows"
OWN: Final = "the weights are of the training on all rows: their mean with the folds' is right less often on dev"


@dataclass(frozen=True, slots=True)
class Lesson:
    """What all models of one training share. `draft` is the manifest so far."""

    draft: Manifest
    plan: Plan
    dev: Sequence[Row]
    settings: TrainSettings
    parent: Parent | None
    progress: Progress
    cores: int

    def learn(self, folder: Path, checkpoints: Path, without: int | None = None) -> tuple[LoadedModel, Tuned]:
        """Fine-tune into `folder`, on all rows but those of a fold, and load the model, at a temperature of 1."""
        before = [fold for fold in self._folds if without is None or fold < without]
        tuned = finetune(
            self._rows(without),
            self.dev,
            self.draft.labels,
            settings=self.settings,
            schedule=self.schedule(without),
            folder=folder,
            checkpoints=checkpoints,
            progress=_Onward(self.progress, sum(self.schedule(fold).steps for fold in before), self.steps),
            parent=self.parent,
        )
        return self._load(folder, tuned.max_tokens), tuned

    def blended(self, own: LoadedModel, folder: Path, work: Path) -> tuple[LoadedModel, tuple[str, ...]]:
        """The model in `folder`, its weights blended with the folds'; itself if it `beats_last` the blend on dev.

        With it, what a person should know of that.
        """
        if not self._folds:
            return own, ()
        mean = work / "mean"
        shutil.rmtree(mean, ignore_errors=True)
        shutil.copytree(folder, mean)
        blend(mean, [work / f"model-{fold}" for fold in self._folds])
        model = self._load(mean, own.manifest.max_tokens)
        if beats_last(self._right(own), self._right(model), len(self.dev)):
            return own, (OWN,)
        shutil.copytree(mean, folder, dirs_exist_ok=True)
        return model, (MEAN.format(1 + len(self._folds)),)

    def answer_out_of_fold(self, work: Path) -> Floats:
        """`[asked][labels]`: see `triagem.trainer.folds.out_of_fold`."""

        def answer(fold: int, folder: Path) -> list[list[float]]:
            staged = work / f"model-{fold}"  # kept: see `blended`
            staged.mkdir(exist_ok=True)
            model, _ = self.learn(staged, folder, without=fold)
            mine = [row for row, number in zip(self.plan.train, self.plan.folds, strict=True) if number == fold]
            return classify(model, [row.text for row in mine])

        return out_of_fold(self.plan.folds, answer, work)

    def schedule(self, without: int | None = None) -> Schedule:
        """What the training on all rows, or on all but those of a fold, will do."""
        return fit_schedule(len(self._rows(without)), self.settings, cores=self.cores)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the version's training differs from the settings, and what the folds cost."""
        told = list(self.schedule().notes)
        if self._folds:
            told.append(f"trained {len(self._folds)} times more for out-of-fold answers, {self.steps} steps in all")
        return tuple(told)

    @property
    def steps(self) -> int:
        """Of all trainings together."""
        return sum(self.schedule(without).steps for without in (*self._folds, None))

    def _load(self, folder: Path, max_tokens: int) -> LoadedModel:
        manifest = self.draft.model_copy(update={"max_tokens": max_tokens, "files": digests(folder)})
        provisional = folder / MANIFEST_FILE  # the engine runs nothing without one
        provisional.write_text(manifest.model_dump_json(), encoding="utf-8")
        model = load_model(folder)
        provisional.unlink()
        return model

    def _right(self, model: LoadedModel) -> float:
        """The share of the dev rows that it answers right."""
        return float((answers(model, self.dev).argmax(axis=1) == truth(model, self.dev)).mean())

    @property
    def _folds(self) -> list[int]:
        return sorted(set(self.plan.folds) - {ALWAYS})

    def _rows(self, without: int | None) -> list[Row]:
        if without is None:
            return list(self.plan.train)
        return [row for row, fold in zip(self.plan.train, self.plan.folds, strict=True) if fold != without]


@dataclass(frozen=True, slots=True)
class _Onward:
    """One training of several, to a caller who waits for all."""

    progress: Progress
    before: int
    total: int

    def on_step(self, done: int, total: int, loss: float | None) -> None:  # noqa: ARG002 - of this training alone
        self.progress.on_step(self.before + done, self.total, loss)
