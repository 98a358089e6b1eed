"""Growing a parent's classifier head, and the settings of Hugging Face's Trainer, on a real small BERT."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import skip_first_batches
from datasets import Dataset
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.support.builders import manifest
from tests.support.rows import balanced_rows, rows
from tests.support.training import Steps, a_few_steps, tiny_base
from triagem.contracts.conversation import ConversationMessage, combine
from triagem.engine.classify import EngineSettings, classify, load
from triagem.registry import Registry
from triagem.trainer.data.prepare import read_parent
from triagem.trainer.data.rows import Row
from triagem.trainer.fit.cross_validation import CalibrationPlan
from triagem.trainer.fit.finetune import (
    disable_attention_dropout,
    finetune,
    load_base,
    load_parent,
    token_ids,
    training_arguments,
)
from triagem.trainer.fit.head import INVERSE_PENALTY, grow_head, start_head
from triagem.trainer.fit.hf_trainer import SpecificationTrainer, UsedEmbeddings
from triagem.trainer.fit.schedule import fit_schedule
from triagem.trainer.fit.training_run import UNFITTED_TEMPERATURE, UNJUDGED, TrainingRun, probabilities_of

TEXTS = ["minha internet caiu", "quero contratar mais três linhas"]


def ids(loader: Any, epoch: int) -> list[int]:
    """The rows of an epoch, in the order in which the Trainer reads them."""
    loader.set_epoch(epoch)
    return [int(row) for batch in loader for row in batch["input_ids"].flatten()]


def logits(tokenizer: Any, network: Any) -> torch.Tensor:
    with torch.inference_mode():
        answer: torch.Tensor = network.eval()(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    return answer


CONVERSATION = [ConversationMessage(text) for text in (TEXTS[1], "Obrigado!", "Minha internet caiu e não volta")]


def test_a_conversation_is_evaluated_as_a_worker_classifies_it(bert_models: Path) -> None:
    model = load(bert_models / "v1.0.0", EngineSettings(device="cpu"))
    parts = [TEXTS[1], "Minha internet caiu e não volta"]
    alone, first, last = classify(model, [TEXTS[0], *parts])

    rows = [Row(TEXTS[0], "suporte"), Row("\n\n".join(parts), "suporte", messages=CONVERSATION)]

    assert probabilities_of(model, rows).tolist() == [
        pytest.approx(alone),
        pytest.approx(combine(parts, [first, last])),
    ]


def test_a_conversations_label_is_trained_on_the_part_that_it_is_about(bert_models: Path) -> None:
    tokenizer, _ = load_parent(read_parent(Registry(bert_models), "v1.0.0"), ["suporte", "venda"])

    (tokens,) = token_ids([Row("ignored", "suporte", messages=CONVERSATION)], tokenizer, 64)

    assert tokens == tokenizer("Minha internet caiu e não volta")["input_ids"]


def test_a_new_label_leaves_the_logits_of_the_known_ones_as_they_were(bert_models: Path) -> None:
    parent = read_parent(Registry(bert_models), "v1.0.0")
    before = logits(*load_parent(parent, ["suporte", "venda"]))
    tokenizer, grown = load_parent(parent, ["suporte", "venda", "cobranca"])
    after = logits(tokenizer, grown)

    assert after.shape == (2, 3)
    assert torch.equal(after[:, :2], before)
    assert grown.config.label2id == {"suporte": 0, "venda": 1, "cobranca": 2}
    assert grown(**tokenizer(TEXTS, padding=True, return_tensors="pt"), labels=torch.tensor([2, 0])).loss > 0


@pytest.mark.parametrize("architecture", ["distilbert", "roberta"])
def test_other_architectures_grow_too(architecture: str) -> None:
    from transformers import AutoConfig

    sizes = {"vocab_size": 50, "num_labels": 2, "max_position_embeddings": 40}
    names = ("dim", "hidden_dim", "n_layers", "n_heads") if architecture == "distilbert" else (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"
    )  # fmt: skip
    config = AutoConfig.for_model(architecture, **sizes, **dict(zip(names, (16, 16, 1, 2), strict=True)))
    network = AutoModelForSequenceClassification.from_config(config).eval()  # type: ignore[no-untyped-call]
    ids = torch.tensor([[3, 4, 5, 6]])
    before = network(input_ids=ids).logits
    grow_head(network, ["suporte", "venda", "cobranca"])

    assert torch.equal(network(input_ids=ids).logits[:, :2], before)


@pytest.mark.parametrize("labels", [("suporte", "venda"), ("suporte", "venda", "cobranca")])
def test_a_head_starts_from_a_linear_classifier_on_the_frozen_encoder(
    labels: tuple[str, ...], tmp_path: Path
) -> None:
    tokenizer, network, _ = load_base(tiny_base(tmp_path, pooler=False), labels)
    encoder = {name: weight.clone() for name, weight in network.bert.encoder.state_dict().items()}
    labelled = [row for label in labels for row in rows(20, label)]
    truth = [labels.index(row.label) for row in labelled]

    start_head(network, tokenizer, token_ids(labelled, tokenizer, 64), truth, bf16=False)

    batch = tokenizer([row.text for row in labelled], padding=True, return_tensors="pt")
    with torch.inference_mode():
        pooled = network.bert(**batch).pooler_output
        predicted = network(**batch).logits.softmax(dim=1)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY)).fit(pooled, truth)
    assert predicted.numpy() == pytest.approx(linear.predict_proba(pooled), abs=1e-3)
    assert all(torch.equal(weight, encoder[name]) for name, weight in network.bert.encoder.state_dict().items())


def test_a_label_without_rows_keeps_its_random_start(tmp_path: Path) -> None:
    labels = ("cobranca", "suporte", "venda")
    tokenizer, network, _ = load_base(tiny_base(tmp_path, pooler=False), labels)
    random = network.classifier.weight.detach().clone()

    start_head(network, tokenizer, tokenizer(TEXTS)["input_ids"], [1, 2], bf16=False)

    assert (network.classifier.weight == random).all(dim=1).tolist() == [True, False, False]


@pytest.mark.parametrize("pooler", [False, True])
def test_only_a_base_without_a_pooler_gets_a_new_head(pooler: bool, tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base", pooler=pooler)
    settings, labelled = a_few_steps(base=base, learning_rate=1e-12), balanced_rows(8)
    finetune(
        labelled,
        (),
        ("suporte", "venda"),
        settings=settings,
        schedule=fit_schedule(len(labelled), settings, cores=1),
        folder=tmp_path / "trained",
        checkpoints=tmp_path / "checkpoints",
        progress=Steps(),
    )

    weights = load_file(tmp_path / "trained" / "model.safetensors")["bert.pooler.dense.weight"]
    known = load_file(Path(base) / "model.safetensors")
    expected = known["pooler.dense.weight"] if pooler else weights.diag().diag()
    assert torch.allclose(weights, expected, atol=1e-6)


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 2.0])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_smooths_the_targets_and_multiplies_rows_by_their_labels_weight(
    weights: torch.Tensor | None, smoothing: float, bert_models: Path, tmp_path: Path
) -> None:
    folder = bert_models / "v1.0.0"
    tokenizer, network = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForSequenceClassification.from_pretrained(folder),
    )
    settings = a_few_steps()
    arguments = training_arguments(settings, fit_schedule(8, settings, cores=1), tmp_path)
    loop = SpecificationTrainer(
        weights=weights, smoothing=smoothing, model=network.eval(), args=arguments, eval_dataset=[]
    )
    batch = {**tokenizer(TEXTS, padding=True, return_tensors="pt"), "labels": torch.tensor([1, 1])}
    of_each_label = -logits(tokenizer, network).log_softmax(dim=-1)

    losses = (1 - smoothing) * of_each_label[:, 1] + smoothing * of_each_label.mean(dim=-1)
    expected = losses.mean() * (1.0 if weights is None else 2.0)  # not normalised over the batch
    assert torch.allclose(loop.compute_loss(network, batch), expected, atol=1e-5)


def test_each_epoch_has_its_own_order_even_if_batches_are_skipped(bert_models: Path, tmp_path: Path) -> None:
    settings = a_few_steps()
    loop = SpecificationTrainer(
        weights=None,
        model=AutoModelForSequenceClassification.from_pretrained(bert_models / "v1.0.0"),
        args=training_arguments(settings, fit_schedule(40, settings, cores=1), tmp_path),
        train_dataset=Dataset.from_dict({"input_ids": [[row] for row in range(40)]}),
        eval_dataset=[],
    )
    loader = loop.get_train_dataloader()
    orders = [ids(loader, epoch) for epoch in (0, 1)]

    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert ids(skip_first_batches(loader, 2), 1) == orders[1][16:]


@pytest.mark.parametrize(("cuda", "mps"), [(False, True), (False, False)])
def test_half_precision_is_used_on_cuda_only(
    cuda: bool, mps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    settings = a_few_steps(fp16=True)

    assert not training_arguments(settings, fit_schedule(8, settings, cores=1), tmp_path).fp16


@pytest.mark.parametrize(
    ("has_bf16", "cuda", "wanted", "used"),
    [(True, False, True, True), (False, False, True, False), (True, True, True, False), (True, False, False, False)],
)
def test_bf16_is_used_on_cpus_that_have_it(
    has_bf16: bool, cuda: bool, wanted: bool, used: bool, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triagem.trainer.fit.finetune.cpu_has_bf16", lambda: has_bf16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr("transformers.TrainingArguments.__post_init__", lambda self: None)  # needs a real GPU
    settings = a_few_steps(bf16=wanted)

    assert training_arguments(settings, fit_schedule(8, settings, cores=1), tmp_path).bf16 is used


def test_attention_has_no_dropout_and_other_layers_keep_theirs(bert_models: Path) -> None:
    network = AutoModelForSequenceClassification.from_pretrained(bert_models / "v1.0.0")
    disable_attention_dropout(network)

    rates = [(name, module.p) for name, module in network.named_modules() if isinstance(module, torch.nn.Dropout)]
    assert {rate for name, rate in rates if "attention.self" in name} == {0.0}
    assert {rate for name, rate in rates if "attention.self" not in name} == {0.1}


def test_only_the_embeddings_of_used_tokens_are_trained(bert_models: Path) -> None:
    tokenizer, network = load_parent(read_parent(Registry(bert_models), "v1.0.0"), ["suporte", "venda"])
    before, every = logits(tokenizer, network), network.get_input_embeddings().weight.detach().clone()
    rows = tokenizer(TEXTS)["input_ids"]

    embeddings = UsedEmbeddings(network, rows, tokenizer.pad_token_id)
    with torch.no_grad():
        renumbered = tokenizer.pad({"input_ids": [embeddings.numbers(row) for row in rows]}, return_tensors="pt")
        assert torch.allclose(network(**renumbered).logits, before, atol=1e-6)
        network.get_input_embeddings().weight += 1
    embeddings.restore()

    changed = (network.get_input_embeddings().weight != every).any(dim=1).nonzero().flatten().tolist()
    assert changed == sorted({tokenizer.pad_token_id, *(token for row in rows for token in row)})


def test_steps_between_logs_and_loader_processes_are_the_settings(tmp_path: Path) -> None:
    settings = a_few_steps(logging_steps=7, dataloader_num_workers=3, eval_steps=20, min_steps=1000)
    arguments = training_arguments(settings, fit_schedule(8000, settings, cores=8), tmp_path)

    assert (arguments.logging_steps, arguments.dataloader_num_workers, arguments.eval_steps) == (7, 3, 20)


def test_without_dev_rows_the_last_checkpoint_is_kept_and_nothing_is_evaluated(tmp_path: Path) -> None:
    settings, labelled = a_few_steps(base=tiny_base(tmp_path / "base")), balanced_rows(8)
    tuned = finetune(
        labelled,
        (),
        ("suporte", "venda"),
        settings=settings,
        schedule=fit_schedule(len(labelled), settings, cores=1),
        folder=tmp_path / "trained",
        checkpoints=tmp_path / "checkpoints",
        progress=Steps(),
    )

    checkpoint = max((tmp_path / "checkpoints").iterdir(), key=lambda path: int(path.name.partition("-")[2]))
    assert {point.dev_accuracy for point in tuned.curves} == {None}
    assert [point.loss for point in tuned.curves if point.loss is not None]
    trained, last = (load_file(folder / "model.safetensors") for folder in (tmp_path / "trained", checkpoint))
    assert all(torch.equal(trained[name], last[name]) for name in last if "word_embeddings" not in name)


class TestFewTexts:
    """A plan of two folds instead of the requested three, without dev rows."""

    ROWS = tuple(balanced_rows(10))
    RUN = TrainingRun(
        draft=manifest(),
        plan=CalibrationPlan(ROWS, ROWS, (0, 1) * 10, "out-of-fold"),
        dev=(),
        settings=a_few_steps(folds=3),
        parent=None,
        progress=Steps(),
        cores=1,
    )

    def test_the_mean_with_the_folds_is_not_used_unseen(self, bert_models: Path, tmp_path: Path) -> None:
        own = load(bert_models / "v1.0.0")

        assert self.RUN.average_with_folds(own, tmp_path, tmp_path) == (own, (UNJUDGED,))

    def test_the_temperature_is_not_fitted(self, bert_models: Path) -> None:
        own = load(bert_models / "v1.0.0")

        calibrated, calibration, _ = self.RUN.calibrate(own, None)

        assert calibrated.manifest.temperature == calibration.temperature == UNFITTED_TEMPERATURE
