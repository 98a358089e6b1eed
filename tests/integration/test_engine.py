"""The engine on a real small BERT: packed and padded results agree, long texts are cut, files are verified."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from triagem import engine
from triagem.contracts.errors import InvalidInput, LabelsMismatch, ModelCorrupt, NoModel, OutOfMemory
from triagem.contracts.model import file_digest
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SAMPLE = EXAMPLES / "train.jsonl"


@pytest.fixture(scope="module", params=["bert_models", "unigram_models", "mean_models"])
def version(request: pytest.FixtureRequest) -> Path:
    """A version with WordPiece, one with SentencePiece's unigram model, and one that classifies the tokens' mean."""
    models: Path = request.getfixturevalue(request.param)
    return models / "v1.0.0"


@pytest.fixture(scope="module")
def packed(version: Path) -> LoadedModel:
    return load(version, EngineSettings(device="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def padded(version: Path) -> LoadedModel:
    return load(version, EngineSettings(device="cpu", precision="fp32"), packed=False)


def prompts(file: Path, number: int) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["prompt"] for line in lines[:: max(1, len(lines) // number)]][:number]


def texts_of_all_lengths() -> list[str]:
    """Sample tickets, tickets of the sample CRM export, a single letter, and a text that is cut."""
    with (EXAMPLES / "crm_export.csv").open(encoding="utf-8", newline="") as file:
        export = [f"{row['subject']}\n\n{row['body']}".strip() for row in csv.DictReader(file)]
    return [*prompts(SAMPLE, 30), *export[::10], "a", "palavra " * 700]


def test_packed_and_padded_agree_to_1e_5_on_texts_of_all_lengths(packed: LoadedModel, padded: LoadedModel) -> None:
    assert packed.runner.packed
    assert not padded.runner.packed
    texts = texts_of_all_lengths()
    assert len(texts) == 52
    difference = torch.tensor(classify(packed, texts)) - torch.tensor(classify(padded, texts))
    assert difference.abs().max() < 1e-5


def test_the_input_of_the_classifier_is_the_same_packed_and_padded(packed: LoadedModel, padded: LoadedModel) -> None:
    tokens = packed.tokenize([*prompts(SAMPLE, 6), "a", "palavra " * 700])

    seen, expected = torch.tensor(packed.embed(tokens)), torch.tensor(padded.embed(tokens))

    assert len(seen) == 8
    assert (seen - expected).abs().max() < 1e-5


def test_the_classifier_has_no_other_input(packed: LoadedModel, version: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(version / "model.safetensors")
    tokens = packed.tokenize(prompts(SAMPLE, 8))

    logits = torch.tensor(packed.embed(tokens)).float() @ weights["classifier.weight"].T + weights["classifier.bias"]

    assert (logits.softmax(dim=-1) - torch.tensor(packed.probabilities(tokens))).abs().max() < 1e-5


def test_another_architecture_returns_its_first_token(packed: LoadedModel) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from triagem.engine.precision import select_runner

    config = DistilBertConfig(dim=8, n_layers=1, n_heads=1, hidden_dim=8, vocab_size=9)
    network = DistilBertForSequenceClassification(config).train(False)

    def pad(rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor(rows)}

    runner = select_runner(network, pad, torch.device("cpu"), precision="fp32", packed=True, rows=[])
    with torch.inference_mode():
        read = network.pre_classifier(runner.pooled([[1, 2, 3], [4, 5, 6]])).relu()
        assert torch.equal(network.classifier(read), runner.logits([[1, 2, 3], [4, 5, 6]]))


def test_the_mean_of_the_tokens_is_packed_in_half_precision_too(mean_models: Path) -> None:
    half = load(mean_models / "v1.0.0", EngineSettings(device="cpu", precision="bf16"))
    full = load(mean_models / "v1.0.0", EngineSettings(device="cpu", precision="fp32"), packed=False)
    texts = prompts(SAMPLE, 10)

    means, expected = (torch.tensor(model.embed(model.tokenize(texts))) for model in (half, full))

    assert ((means - expected).norm(dim=1) / expected.norm(dim=1)).max() < 0.02


def test_only_a_bert_classifies_the_mean_of_the_tokens(tmp_path: Path, mean_models: Path) -> None:
    folder = copy(mean_models, tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"hidden_act": "relu"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    files = json.loads((folder / "manifest.json").read_text())["files"] | {
        "config.json": file_digest(folder / "config.json")
    }
    folder = rewrite(folder, files=files)
    with pytest.raises(ModelCorrupt, match="only a BERT"):
        load(folder)


def test_results_have_the_order_of_the_texts_whatever_their_lengths(packed: LoadedModel) -> None:
    texts = ["minha internet caiu " * 30, "oi", "quero um orçamento para vinte licenças", "x y z"] * 5
    together = torch.tensor(classify(packed, texts))
    alone = torch.tensor([classify(packed, [text])[0] for text in texts[:4]] * 5)
    assert (together - alone).abs().max() < 1e-5


def test_probabilities_sum_to_one(packed: LoadedModel) -> None:
    for row in classify(packed, prompts(SAMPLE, 8)):
        assert sum(row) == pytest.approx(1.0, abs=1e-6)


def test_a_text_beyond_512_tokens_is_cut_and_marked_as_truncated(packed: LoadedModel) -> None:
    long, short = packed.tokenize(["palavra " * 700, "palavra"])
    assert (len(long.ids), long.truncated) == (512, True)
    assert short.truncated is False


def test_the_temperature_softens_the_probabilities(bert_models: Path, tmp_path: Path) -> None:
    folder = copy(bert_models, tmp_path, temperature=1000.0)
    assert classify(load(folder), ["minha internet caiu"])[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_predict_and_predict_batch_return_the_fields_of_the_original_specification(bert_models: Path) -> None:
    folder = bert_models / "v1.0.0"
    answer = engine.predict("minha internet caiu", model=folder)
    assert answer["label"] in {"LABEL_0", "LABEL_1"}
    assert answer["class_name"] == ("suporte", "venda")[int(answer["label"][-1])]
    assert engine.predict_batch(["minha internet caiu", "oi"], model=folder)[0]["score"] == pytest.approx(
        answer["score"]
    )


def test_predict_takes_the_registrys_current_version(bert_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(bert_models))
    assert engine.predict("oi")["class_name"] in {"suporte", "venda"}


def test_a_changed_file_is_never_loaded(bert_models: Path, tmp_path: Path) -> None:
    folder = copy(bert_models, tmp_path)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelCorrupt, match=r"config\.json changed"):
        load(folder)


def test_labels_that_do_not_fit_the_classifier_are_refused(bert_models: Path, tmp_path: Path) -> None:
    folder = copy(bert_models, tmp_path, labels=["suporte", "venda", "outro"])
    with pytest.raises(LabelsMismatch, match="2 outputs"):
        load(folder)


def test_a_gpu_that_is_set_but_missing_is_named(bert_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")

    with pytest.raises(InvalidInput, match=r"torch finds no CUDA GPU \(CUDA_VISIBLE_DEVICES: 7\)"):
        load(bert_models / "v1.0.0", EngineSettings(device="cuda"))


def test_a_folder_without_a_manifest_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(NoModel):
        load(tmp_path)


def copy(models: Path, tmp_path: Path, **changes: object) -> Path:
    return rewrite(Path(shutil.copytree(models / "v1.0.0", tmp_path / "v1.0.0")), **changes)


def rewrite(folder: Path, **changes: object) -> Path:
    """Change fields of a version's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 12 bytes"),
    ],
    ids=["GPU", "CPU"],
)
def test_out_of_memory_is_distinguished_from_a_text_that_fails(packed: LoadedModel, error: Exception) -> None:
    def full(_: object) -> torch.Tensor:
        raise error

    limited = replace(packed, runner=replace(packed.runner, logits=full))
    with pytest.raises(OutOfMemory, match="2 texts"):
        limited.probabilities(limited.tokenize(["a", "b"]))


def test_the_cpu_allocator_fails_with_this_message() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        torch.empty(2**60, dtype=torch.int8)
