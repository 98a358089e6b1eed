"""A training of several models, with a very small BERT: cut off by kills, going on, from an earlier version."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tests.support.builders import NOW
from tests.support.training import Steps, a_few_steps, tiny_base, write_made_up
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.engine.classify import LoadedModel, classify, load
from triagem.registry import Registry
from triagem.registry.store import file_digest
from triagem.trainer import TrainingReport, TrainSettings, train
from triagem.trainer.cross_validation import CalibrationPlan
from triagem.trainer.data import Row
from triagem.trainer.data import load as load_rows
from triagem.trainer.finetune import FinetuneResult, finetune
from triagem.trainer.schedule import fit_schedule
from triagem.trainer.split import split
from triagem.trainer.training_run import TrainingRun
from triagem.trainer.weight_averaging import WEIGHTS

FOLD, LAST = 24, 18  # steps of each of two folds' models, and of the version's own; a checkpoint at every third
KILLED: Final = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from triagem.registry import Registry
from triagem.trainer import TrainSettings, train

class Killer:
    def on_step(self, done, total, loss):
        if done == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

train(Path(sys.argv[1]), Registry(sys.argv[2]), TrainSettings.model_validate_json(sys.argv[4]), Killer())
"""


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
def whole(data: Path, registry: Registry, settings: TrainSettings, steps: Steps) -> TrainingReport:
    """A training that nothing cut off."""
    return train(data, registry, settings, steps, clock=lambda: NOW)


def same(one: Manifest, other: Manifest) -> bool:
    """Whether two trainings gave the same version, weights and figures."""
    return one == other.model_copy(update={"created_at": one.created_at})


def places(registry: Registry) -> list[Path]:
    """The folders of trainings that are not done."""
    return list(registry.root.glob(".training-*"))


def test_each_folds_model_answers_for_the_others(whole: TrainingReport, steps: Steps) -> None:
    assert (whole.calibration.source, whole.calibration.rows) == ("out-of-fold", 54)
    assert steps.seen == [(done, 2 * FOLD + LAST) for done in range(1, 2 * FOLD + LAST + 1)]
    assert any("2 additional trainings" in note for note in whole.notes)


def test_the_version_carries_its_temperature_its_thresholds_and_the_error_of_its_confidence(
    whole: TrainingReport, registry: Registry
) -> None:
    manifest = registry.manifest(whole.manifest.version)

    assert manifest.temperature == whole.calibration.temperature
    assert manifest.thresholds.review == whole.threshold.review
    assert manifest.ece == whole.assessment.overall.metrics["ece"].value


def test_the_course_of_the_training_is_kept(whole: TrainingReport) -> None:
    assert [point.step for point in whole.assessment.curves if point.loss is not None][:4] == [2, 3, 4, 6]
    assert [point.step for point in whole.assessment.curves if point.dev_accuracy is not None][:2] == [3, 6]
    assert all(point.learning_rate for point in whole.assessment.curves[:4])


def test_a_training_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    whole: TrainingReport, data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    registry, again = Registry(tmp_path / "models"), Steps()
    at = FOLD + 5  # the second fold's fifth step, in the midst of an epoch
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, data, registry.root, str(at), settings.model_dump_json()],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    report = train(data, registry, settings, again, clock=lambda: NOW)

    assert again.seen[:2] == [(FOLD + 3, 2 * FOLD + LAST), (FOLD + 4, 2 * FOLD + LAST)]
    assert same(report.manifest, whole.manifest)
    assert (report.assessment.curves, report.calibration) == (whole.assessment.curves, whole.calibration)
    assert any(
        "resumed an interrupted training; this version's own training from step 0" in note for note in report.notes
    )
    assert places(registry) == []


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(
    whole: TrainingReport, data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    registry, again = Registry(tmp_path / "models"), Steps()
    with pytest.raises(KeyboardInterrupt):
        train(data, registry, settings, Steps(2 * FOLD + 14), clock=lambda: NOW)
    (work,) = places(registry)
    assert [path.parent.name for path in work.glob("*/optimizer.pt")] == ["checkpoint-12"]
    (work / "checkpoint-15").mkdir()
    (work / "checkpoint-15" / "trainer_state.json").write_text('{"global_step": 15, "log_hi', encoding="utf-8")
    report = train(data, registry, settings, again, clock=lambda: NOW)

    assert again.seen[0] == (2 * FOLD + 12, 2 * FOLD + LAST)
    assert same(report.manifest, whole.manifest)
    assert any("from step 12" in note for note in report.notes)


def tuned(data: Path, settings: TrainSettings, folder: Path, steps: Steps) -> FinetuneResult:
    """A training alone, with its checkpoints beside `folder`."""
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
    monkeypatch.setattr("triagem.trainer.finetune.clearly_better", lambda best, last, rows: better)
    tuned(data, settings, tmp_path / "kept", Steps())
    weights = {path.parent.name: file_digest(path) for path in tmp_path.glob("*/model.safetensors")}
    best = Path(json.loads((tmp_path / f"checkpoint-{LAST}/trainer_state.json").read_text())["best_model_checkpoint"])

    assert best.name != f"checkpoint-{LAST}"
    assert weights["kept"] == weights[best.name if better else f"checkpoint-{LAST}"]


def test_a_training_that_was_cut_off_at_its_very_end_trains_no_more(
    data: Path, tmp_path: Path, settings: TrainSettings
) -> None:
    seen = [Steps(), Steps()]
    first, again = (tuned(data, settings, tmp_path / str(which), steps) for which, steps in enumerate(seen))
    one, other = (file_digest(tmp_path / str(which) / "model.safetensors") for which in range(2))

    assert seen[1].seen == [(LAST, LAST)]
    assert one == other
    assert (again.curves, again.resumed_at) == (first.curves, LAST)


def test_other_settings_are_another_training(data: Path, tmp_path: Path, settings: TrainSettings) -> None:
    registry, other = Registry(tmp_path / "models"), Steps(1)
    for rate, steps in ((1e-3, Steps(4)), (1e-4, other)):
        with pytest.raises(KeyboardInterrupt):
            train(data, registry, settings.model_copy(update={"folds": 0, "learning_rate": rate}), steps)

    assert len(places(registry)) == 1  # the other left nothing to go on from
    assert other.seen == [(1, LAST)]


@pytest.fixture(scope="module")
def child(
    whole: TrainingReport, registry: Registry, settings: TrainSettings, tmp_path_factory: pytest.TempPathFactory
) -> TrainingReport:
    """A version from the first one, of rows with a third label."""
    more = write_made_up(tmp_path_factory.mktemp("more"), "cobranca", "suporte", "venda")
    few = settings.model_copy(update={"num_train_epochs": 1, "min_steps": 2, "max_tokens": 600})
    return train(more, registry, few, Steps(), parent="v1.0.0", clock=lambda: NOW)


def test_a_version_from_a_version_names_its_parent_and_its_ancestors_base(
    child: TrainingReport, whole: TrainingReport, settings: TrainSettings
) -> None:
    assert (child.manifest.parent, child.manifest.base) == ("v1.0.0", settings.base)
    assert child.manifest.max_tokens == whole.manifest.max_tokens == 64


def test_a_new_label_comes_after_the_parents_in_their_order(child: TrainingReport, registry: Registry) -> None:
    model = load(registry.folder(child.manifest.version))

    assert model.labels == ("suporte", "venda", "cobranca")
    assert len(classify(model, ["a fatura veio errada"])[0]) == 3
    config = json.loads((registry.folder(child.manifest.version) / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "suporte", "1": "venda", "2": "cobranca"}


def test_a_label_of_the_parent_that_no_row_has_is_refused(
    child: TrainingReport, registry: Registry, data: Path, settings: TrainSettings
) -> None:
    with pytest.raises(InvalidInput, match=r"no training row has the label cobranca, which v1\.1\.0 knows"):
        train(data, registry, settings, Steps(), parent=child.manifest.version)


def test_a_base_and_a_version_at_once_are_refused(data: Path, registry: Registry, settings: TrainSettings) -> None:
    with pytest.raises(InvalidInput, match="--base or --from"):
        train(data, registry, settings, Steps(), base=settings.base, parent="v1.0.0")


class TestBlended:
    """The version's weights are the mean of all trainings', unless dev speaks against it."""

    @pytest.fixture
    def lesson(self, whole: TrainingReport, registry: Registry, settings: TrainSettings) -> TrainingRun:
        """One whose dev rows the version answers right."""
        manifest = whole.manifest
        said = classify(load(registry.folder(manifest.version)), texts := [f"texto {n}" for n in range(20)])
        dev = [Row(text, manifest.labels[row.index(max(row))]) for text, row in zip(texts, said, strict=True)]
        plan = CalibrationPlan(tuple(dev), tuple(dev), tuple(n % 2 for n in range(20)), "out-of-fold")
        return TrainingRun(manifest, plan, dev, settings, None, Steps(), cores=1)

    def own(self, registry: Registry, version: str, folder: Path) -> tuple[LoadedModel, Path]:
        model = load(shutil.copytree(registry.folder(version), folder))
        (folder / MANIFEST_FILE).unlink()
        return model, folder

    def test_by_models_that_agree(self, lesson: TrainingRun, registry: Registry, tmp_path: Path) -> None:
        own, folder = self.own(registry, lesson.draft.version, tmp_path / "own")
        for fold in (0, 1):
            shift(shutil.copytree(folder, tmp_path / f"model-{fold}"), by=0.003 * fold)

        model, (note,) = lesson.average_with_folds(own, folder, tmp_path)

        assert note == "the weights are the mean of 3 trainings: the folds' and one on all rows"
        assert head(folder) == pytest.approx(head(registry.folder(lesson.draft.version)) + 0.001, abs=1e-6)
        assert model is not own

    def test_not_by_models_that_spoil_it(self, lesson: TrainingRun, registry: Registry, tmp_path: Path) -> None:
        own, folder = self.own(registry, lesson.draft.version, tmp_path / "own")
        for fold in (0, 1):
            shift(shutil.copytree(folder, tmp_path / f"model-{fold}"), times=-5.0)

        model, (note,) = lesson.average_with_folds(own, folder, tmp_path)

        assert note.startswith("the weights are those of the training on all rows")
        assert head(folder) == pytest.approx(head(registry.folder(lesson.draft.version)))
        assert model is own


HEAD: Final = "classifier.weight"


def shift(folder: Path, *, times: float = 1.0, by: float = 0.0) -> None:
    weights = load_file(folder / WEIGHTS)
    weights[HEAD] = weights[HEAD] * times + by
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def head(folder: Path) -> "np.ndarray[Any, Any]":
    return load_file(folder / WEIGHTS)[HEAD].numpy()
