"""Choice of precision: the first that agrees with padded fp32 on the probes, else fp32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import gelu

from triagem.engine import precision
from triagem.engine.bert import LinearFactory, onednn, packable, packed_bert, torch_linear, without_residual_biases
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load
from triagem.engine.packed import pack
from triagem.engine.precision import agreement, probes, select_linear

CONFIDENT = torch.tensor([[2.0, 0.0], [0.0, 2.0], [3.0, 1.0], [0.0, 1.0]])
UNDECIDED = torch.tensor([[0.15, 0.0]])  # 0.54 to 0.46


def load_model(models: Path, *, packed: bool = True, **settings: str) -> LoadedModel:
    return load(models / "v1.0.0", EngineSettings.model_validate({"device": "cpu", **settings}), packed=packed)


def test_agreement_is_the_share_of_equal_labels() -> None:
    assert agreement(CONFIDENT, CONFIDENT) == 1.0
    assert agreement(CONFIDENT, -CONFIDENT) == 0.0
    assert agreement(CONFIDENT, torch.cat([CONFIDENT[:3], -CONFIDENT[3:]])) == 0.75


def test_texts_on_which_the_reference_is_undecided_do_not_count() -> None:
    assert agreement(torch.cat([CONFIDENT, UNDECIDED]), torch.cat([CONFIDENT, -UNDECIDED])) == 1.0


def test_an_output_that_is_not_finite_agrees_with_nothing() -> None:
    assert agreement(CONFIDENT, torch.full_like(CONFIDENT, torch.nan)) == 0.0


def test_the_probes_are_in_both_languages_and_one_of_them_is_long() -> None:
    lengths = sorted(map(len, probes()))
    assert len(lengths) == 41
    assert lengths[20] < 250
    assert lengths[-1] > 1000


def test_bf16_predicts_what_fp32_predicts(bert_models: Path) -> None:
    half, full = load_model(bert_models, precision="bf16"), load_model(bert_models, precision="fp32")
    assert (half.runner.precision, half.runner.packed) == ("bf16", True)
    assert torch.tensor(classify(half, probes())).sub(torch.tensor(classify(full, probes()))).abs().max() < 0.02


def test_auto_takes_the_first_precision_that_agrees(bert_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "half_precision", lambda _: "bf16")
    assert load_model(bert_models, precision="auto").runner.precision == "bf16"


def test_auto_falls_back_to_fp32_where_labels_change(bert_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "half_precision", lambda _: "bf16")
    monkeypatch.setattr(precision, "MIN_AGREEMENT", 1.1)  # more than any precision can reach
    runner = load_model(bert_models, precision="auto").runner
    assert (runner.precision, runner.packed) == ("fp32", True)


def test_auto_falls_back_to_fp32_where_a_kernel_is_missing(
    bert_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(precision, "half_precision", lambda _: "bf16")
    monkeypatch.setattr(precision, "select_linear", lambda _, name: missing if name == "bf16" else torch_linear)
    with pytest.raises(RuntimeError):
        load_model(bert_models, precision="bf16")  # an explicit precision is not replaced
    assert load_model(bert_models, precision="auto").runner.precision == "fp32"


def test_padded_half_precision_does_not_change_the_reference(
    bert_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "half_precision", lambda _: "bf16")
    monkeypatch.setattr(precision, "MIN_AGREEMENT", 1.1)
    fallback = classify(load_model(bert_models, precision="auto", packed=False), probes())
    full = classify(load_model(bert_models, precision="fp32", packed=False), probes())
    assert torch.equal(torch.tensor(fallback), torch.tensor(full))


@torch.inference_mode()
def test_moving_the_residual_biases_changes_no_output() -> None:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64, vocab_size=99
    )
    network = BertForSequenceClassification(config).train(False)
    for weights in network.parameters():
        weights.add_(0.1 * torch.randn_like(weights))  # biases are initialised to zero
    packing = pack([[1, 2, 3, 4], [5, 6], [7, 8, 9]], torch.device("cpu"))
    moved = without_residual_biases(network)
    before, after = (packed_bert(model, torch_linear, torch.float32)(packing) for model in (network, moved))
    assert moved.bert.encoder.layer[0].output.dense.bias.abs().max() == 0
    assert (before - after).abs().max() < 1e-5


@pytest.mark.parametrize(("capability", "expected"), [("AVX2", torch_linear), ("AVX512", onednn)])
def test_fp32_products_are_the_fastest_of_the_processor(
    capability: str, expected: LinearFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert select_linear(torch.device("cpu"), "fp32") is expected


@torch.inference_mode()
@pytest.mark.parametrize("make", [torch_linear, onednn])
def test_products_have_an_exact_gelu_and_add_the_residual(make: LinearFactory) -> None:
    torch.manual_seed(1)
    weight, bias, rows, residual = torch.randn(48, 32), torch.randn(48), torch.randn(64, 32), torch.randn(64, 48)
    product = rows @ weight.T + bias
    activated = make(weight, bias, activated=True)(rows)
    assert (activated - gelu(product)).abs().max() < 1e-5
    added = make(weight, bias)(rows, residual.clone())
    assert (added - product - residual).abs().max() < 1e-5


def test_a_bert_with_another_activation_is_never_packed(bert_models: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    tiny: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 8,
        "vocab_size": 9,
    }
    assert packable(BertForSequenceClassification(BertConfig(**tiny)))
    assert not packable(BertForSequenceClassification(BertConfig(**tiny, hidden_act="relu")))
