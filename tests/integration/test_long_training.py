"""Trainings of several models with a very small BERT: interruption, resumption, and training from a parent."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.support.builders import NOW
from tests.support.training import Steps, a_few_steps, tiny_base, write_made_up
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import MANIFEST_FILE, Manifest, file_digest
from triagem.engine.classify import LoadedModel, classify, load
from triagem.registry import Registry
from triagem.trainer import TrainingReport, TrainSettings, train
from triagem.trainer.bases.catalogue import WEIGHTS
from triagem.trainer.data.rows import Row
from triagem.trainer.data.rows import load as load_rows
from triagem.trainer.data.split import split
from triagem.trainer.fit.cross_validation import CalibrationPlan
from triagem.trainer.fit.finetune import FinetuneResult, finetune
from triagem.trainer.fit.schedule import fit_schedule
from triagem.trainer.fit.training_run import TrainingRun

# Steps of each fold's model (two folds) and of the final one; a checkpoint every three steps.
FOLD_STEPS, FINAL_STEPS = 24, 18
TRAIN_AND_KILL: Final = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from triagem.registry import Registry
from triagem.trainer import TrainingProgress, TrainSettings, train
from triagem.trainer.data import split

split.MIN_TEXTS = 4

class Killer(TrainingProgress):
    def on_step(self, done, total, loss):
        if done == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

train(Path(sys.argv[1]), Registry(sys.argv[2]), TrainSettings.model_validate_json(sys.argv[4]), Killer())
"""


@pytest.fixture(scope="module", autouse=True)
def small_dev_part() -> Iterator[None]:
    """A dev part is split off although it has fewer different texts than a real training would accept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triagem.trainer.data.split.MIN_TEXTS", 4)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_made_up(tmp_path_factory.mktemp("data"), "suporte", "venda")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrainSettings:
    base = tiny_base(tmp_path_factory.mktemp("tiny"))
    return a_few_steps(
        base=base,
        min_steps=16,
        num_train_epochs=6,
        eval_steps=3,
        logging_steps=2,
        folds=2,
        learning_rate=1e-2,
        max_tokens=64,
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("long") / "models")


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.fixture(scope="module")
def uninterrupted(data: Path, registry: Registry, settings: TrainSettings, steps: Steps) -> TrainingReport:
    """An uninterrupted training."""
    return train(data, registry, settings, steps, clock=lambda: NOW)


def same_version(first: Manifest, second: Manifest) -> bool:
    """Whether two trainings gave the same version, weights and metrics."""
    return first == second.model_copy(update={"created_at": first.created_at})


def unfinished_folders(registry: Registry) -> list[Path]:
    """The folders of unfinished trainings."""
    return list(registry.root.glob(".training-*"))


def test_calibration_uses_out_of_fold_predictions(uninterrupted: TrainingReport, steps: Steps) -> None:
    assert (uninterrupted.calibration.source, uninterrupted.calibration.texts) == ("out-of-fold", 54)
    assert steps.seen == [(done, 2 * FOLD_STEPS + FINAL_STEPS) for done in range(1, 2 * FOLD_STEPS + FINAL_STEPS + 1)]
    assert any("2 additional trainings" in note for note in uninterrupted.notes)


def test_notes_come_before_the_first_step_and_a_score_at_each_evaluation(
    uninterrupted: TrainingReport, steps: Steps
) -> None:
    assert tuple(steps.notes) == uninterrupted.notes
    assert steps.scores[0] == (3, "accuracy")
    assert max(steps.scores)[0] > 2 * FOLD_STEPS  # like steps, counted over all trainings


def test_the_manifest_has_temperature_thresholds_and_calibration_error(
    uninterrupted: TrainingReport, registry: Registry
) -> None:
    manifest = registry.manifest(uninterrupted.manifest.version)

    assert manifest.temperature == uninterrupted.calibration.temperature
    assert manifest.thresholds.review == uninterrupted.threshold.review
    assert manifest.ece == uninterrupted.assessment.overall.metrics["ece"].value


def test_the_training_curves_are_stored(uninterrupted: TrainingReport) -> None:
    assert [point.step for point in uninterrupted.assessment.curves if point.loss is not None][:4] == [2, 3, 4, 6]
    assert [point.step for point in uninterrupted.assessment.curves if point.dev_accuracy is not None][:2] == [3, 6]
    assert all(point.learning_rate for point in uninterrupted.assessment.curves[:4])


def test_a_killed_training_resumes_and_gives_the_same_version(
    uninterrupted: TrainingReport, data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    registry, steps = Registry(tmp_path / "models"), Steps()
    kill_step = FOLD_STEPS + 5  # the second fold's fifth step, in the middle of an epoch
    killed = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_KILL, data, registry.root, str(kill_step), settings.model_dump_json()],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    report = train(data, registry, settings, steps, clock=lambda: NOW)

    assert steps.seen[:2] == [
        (FOLD_STEPS + 3, 2 * FOLD_STEPS + FINAL_STEPS),
        (FOLD_STEPS + 4, 2 * FOLD_STEPS + FINAL_STEPS),
    ]
    assert same_version(report.manifest, uninterrupted.manifest)
    assert (report.assessment.curves, report.calibration) == (
        uninterrupted.assessment.curves,
        uninterrupted.calibration,
    )
    assert steps.notes[-1] == "resumes an interrupted training"
    assert any(
        "resumed an interrupted training; this version's own training from step 0" in note
        for note in report.outcome_notes
    )
    assert unfinished_folders(registry) == []


def test_an_incomplete_checkpoint_is_skipped(
    uninterrupted: TrainingReport, data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    registry, steps = Registry(tmp_path / "models"), Steps()
    with pytest.raises(KeyboardInterrupt):
        train(data, registry, settings, Steps(2 * FOLD_STEPS + 14), clock=lambda: NOW)
    (unfinished,) = unfinished_folders(registry)
    assert [path.parent.name for path in unfinished.glob("*/optimizer.pt")] == ["checkpoint-12"]
    (unfinished / "checkpoint-15").mkdir()
    (unfinished / "checkpoint-15" / "trainer_state.json").write_text('{"global_step": 15, "log_hi', encoding="utf-8")
    report = train(data, registry, settings, steps, clock=lambda: NOW)

    assert steps.seen[0] == (2 * FOLD_STEPS + 12, 2 * FOLD_STEPS + FINAL_STEPS)
    assert same_version(report.manifest, uninterrupted.manifest)
    assert any("from step 12" in note for note in report.outcome_notes)


def run_finetune(data: Path, settings: TrainSettings, folder: Path, steps: Steps) -> FinetuneResult:
    """One fine-tuning, with its checkpoints next to `folder`."""
    parts = split(load_rows(data), seed=42)
    return finetune(
        parts.train,
        parts.dev,
        ["suporte", "venda"],
        settings=settings,
        schedule=fit_schedule(len(parts.train), settings, cores=1),
        folder=folder,
        checkpoints=folder.parent,
        progress=steps,
    )


@pytest.mark.parametrize("better", [False, True])
def test_the_last_checkpoint_is_kept_unless_an_earlier_one_beats_it(
    data: Path, tmp_path: Path, settings: TrainSettings, monkeypatch: pytest.MonkeyPatch, *, better: bool
) -> None:
    monkeypatch.setattr("triagem.trainer.fit.finetune.clearly_better", lambda best, last, rows: better)
    run_finetune(data, settings, tmp_path / "kept", Steps())
    # Checkpoints hold the embeddings of the used tokens only: compare the classifier's weights.
    files = tmp_path.glob("*/model.safetensors")
    weights = {path.parent.name: load_file(path)["classifier.weight"].tolist() for path in files}
    best = Path(
        json.loads((tmp_path / f"checkpoint-{FINAL_STEPS}/trainer_state.json").read_text())["best_model_checkpoint"]
    )

    assert best.name != f"checkpoint-{FINAL_STEPS}"
    assert weights["kept"] == weights[best.name if better else f"checkpoint-{FINAL_STEPS}"]


def test_a_training_interrupted_after_its_last_step_trains_no_further(
    data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    runs = [Steps(), Steps()]
    first, second = (run_finetune(data, settings, tmp_path / str(index), steps) for index, steps in enumerate(runs))
    first_digest, second_digest = (file_digest(tmp_path / str(index) / "model.safetensors") for index in range(2))

    assert runs[1].seen == [(FINAL_STEPS, FINAL_STEPS)]
    assert first_digest == second_digest
    assert (second.curves, second.resumed_at) == (first.curves, FINAL_STEPS)


def test_other_settings_start_another_training(data: Path, tmp_path: Path, settings: TrainSettings) -> None:
    registry, other = Registry(tmp_path / "models"), Steps(1)
    for rate, steps in ((1e-3, Steps(4)), (1e-4, other)):
        with pytest.raises(KeyboardInterrupt):
            train(data, registry, settings.model_copy(update={"folds": 0, "learning_rate": rate}), steps)

    assert len(unfinished_folders(registry)) == 1  # the completed training left nothing to resume
    assert other.seen == [(1, FINAL_STEPS)]


@pytest.fixture(scope="module")
def child(
    uninterrupted: TrainingReport,
    registry: Registry,
    settings: TrainSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> TrainingReport:
    """A version trained from the first one on rows with a third label."""
    data = write_made_up(tmp_path_factory.mktemp("more"), "cobranca", "suporte", "venda")
    short = settings.model_copy(update={"num_train_epochs": 1, "min_steps": 2, "max_tokens": 600})
    return train(data, registry, short, Steps(), parent="v1.0.0", clock=lambda: NOW)


def test_a_child_version_names_its_parent_and_inherits_its_base(
    child: TrainingReport, uninterrupted: TrainingReport, settings: TrainSettings
) -> None:
    assert (child.manifest.parent, child.manifest.base) == ("v1.0.0", settings.base)
    assert child.manifest.max_tokens == uninterrupted.manifest.max_tokens == 64


def test_a_new_label_comes_after_the_labels_of_the_parent(child: TrainingReport, registry: Registry) -> None:
    model = load(registry.folder(child.manifest.version))

    assert model.manifest.labels == ("suporte", "venda", "cobranca")
    assert len(classify(model, ["a fatura veio errada"])[0]) == 3
    config = json.loads((registry.folder(child.manifest.version) / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "suporte", "1": "venda", "2": "cobranca"}


def test_a_parent_label_without_training_rows_is_refused(
    child: TrainingReport, registry: Registry, data: Path, settings: TrainSettings
) -> None:
    with pytest.raises(InvalidInput, match=r"no training row has the label cobranca, which v1\.1\.0 knows"):
        train(data, registry, settings, Steps(), parent=child.manifest.version)


def test_base_and_parent_together_are_refused(data: Path, registry: Registry, settings: TrainSettings) -> None:
    with pytest.raises(InvalidInput, match="--base or --from"):
        train(data, registry, settings, Steps(), base=settings.base, parent="v1.0.0")


class TestWeightAveraging:
    """The version has the mean of all trainings' weights, unless the mean is worse on the dev rows."""

    @pytest.fixture
    def training_run(self, uninterrupted: TrainingReport, registry: Registry, settings: TrainSettings) -> TrainingRun:
        """A run whose dev rows the version predicts correctly."""
        manifest = uninterrupted.manifest
        predictions = classify(load(registry.folder(manifest.version)), texts := [f"texto {n}" for n in range(20)])
        dev = [Row(text, manifest.labels[row.index(max(row))]) for text, row in zip(texts, predictions, strict=True)]
        plan = CalibrationPlan(tuple(dev), tuple(dev), tuple(n % 2 for n in range(20)), "out-of-fold")
        return TrainingRun(manifest, plan, dev, settings, None, Steps(), cores=1)

    def unregistered_copy(self, registry: Registry, version: str, folder: Path) -> tuple[LoadedModel, Path]:
        model = load(shutil.copytree(registry.folder(version), folder))
        (folder / MANIFEST_FILE).unlink()
        return model, folder

    def test_models_that_agree_are_averaged(
        self, training_run: TrainingRun, registry: Registry, tmp_path: Path
    ) -> None:
        trained, folder = self.unregistered_copy(registry, training_run.draft.version, tmp_path / "own")
        for fold in (0, 1):
            shift(shutil.copytree(folder, tmp_path / f"model-{fold}"), by=0.003 * fold)

        model, (note,) = training_run.average_with_folds(trained, folder, tmp_path)

        assert note == "the weights are the mean of 3 trainings: the folds' and one on all rows"
        assert head(folder) == pytest.approx(head(registry.folder(training_run.draft.version)) + 0.001, abs=1e-6)
        assert model is not trained

    def test_models_that_worsen_the_mean_are_not_averaged(
        self, training_run: TrainingRun, registry: Registry, tmp_path: Path
    ) -> None:
        trained, folder = self.unregistered_copy(registry, training_run.draft.version, tmp_path / "own")
        for fold in (0, 1):
            shift(shutil.copytree(folder, tmp_path / f"model-{fold}"), times=-5.0)

        model, (note,) = training_run.average_with_folds(trained, folder, tmp_path)

        assert note.startswith("the weights are those of the training on all rows")
        assert head(folder) == pytest.approx(head(registry.folder(training_run.draft.version)))
        assert model is trained


HEAD: Final = "classifier.weight"


def shift(folder: Path, *, times: float = 1.0, by: float = 0.0) -> None:
    weights = load_file(folder / WEIGHTS)
    weights[HEAD] = weights[HEAD] * times + by
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def head(folder: Path) -> "np.ndarray[Any, Any]":
    return load_file(folder / WEIGHTS)[HEAD].numpy()
