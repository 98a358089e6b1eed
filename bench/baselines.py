"""Baselines: other engines with the same weights, each set up as its documentation describes.

A baseline is None if its package is missing; the table then says "not installed".
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

from triagem.engine.planner import plan

BATCH = 32

Classify = Callable[[Sequence[str]], torch.Tensor | None]  # probabilities `(texts, labels)`, if available


def hf_pipeline(folder: Path, device: torch.device) -> Classify:
    """transformers' `pipeline(batch_size=32)`, as in the original specification: fp32, unsorted, padded."""
    run: Any = pipeline("text-classification", model=str(folder), tokenizer=str(folder), device=device, top_k=None)
    labels = [run.model.config.id2label[index] for index in range(run.model.config.num_labels)]

    def classify(texts: Sequence[str]) -> torch.Tensor:
        answers = run(list(texts), batch_size=BATCH, truncation=True)
        scores = [{score["label"]: score["score"] for score in row} for row in answers]
        return torch.tensor([[row[label] for label in labels] for row in scores])

    return classify


def sorted_loop(folder: Path, device: torch.device, dtype: torch.dtype) -> Classify:
    """transformers' model in a loop over micro-batches of 32, sorted by length: the usual first optimization."""
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).to(device).eval()
    return _by_length(folder, lambda padded: model(**{name: ids.to(device) for name, ids in padded.items()}).logits)


def torch_int8(folder: Path) -> Classify | None:
    """The sorted loop with torch's dynamic int8 quantization, whose removal torch has announced."""
    if find_spec("torch.ao.quantization") is None:
        return None
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    small: Any = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return _by_length(folder, lambda padded: small(**padded).logits)


def onnxruntime(folder: Path, work: Path, *, int8: bool) -> Classify | None:
    """ONNX Runtime on the CPU, over micro-batches sorted by length."""
    if not all(map(find_spec, ("onnxruntime", "onnx"))):
        return None
    import onnxruntime as ort

    names = ["input_ids", "attention_mask", "token_type_ids"]
    file = work / "model.onnx"
    if not file.exists():
        model: Any = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
        sample = tuple(torch.ones(2, 8, dtype=torch.long) for _ in names)
        axes = {name: {0: "texts", 1: "tokens"} for name in names}
        torch.onnx.export(
            model, sample, str(file), input_names=names, output_names=["logits"], dynamic_axes=axes, dynamo=False
        )
    if int8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        quantize_dynamic(file, work / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
        file = work / "int8.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def logits(padded: Any) -> torch.Tensor:
        return torch.from_numpy(session.run(["logits"], {name: padded[name].numpy() for name in names})[0])

    return _by_length(folder, logits)


def openvino(folder: Path, precision: str) -> Classify | None:
    """OpenVINO on the CPU, over micro-batches sorted by length; `precision` is `f32` or `bf16`."""
    if find_spec("openvino") is None:
        return None
    import openvino as ov

    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    names = ("input_ids", "attention_mask", "token_type_ids")
    converted = ov.convert_model(model, example_input={name: torch.ones(2, 8, dtype=torch.long) for name in names})
    threads = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = ov.compile_model(converted, "CPU", threads)

    def logits(padded: Any) -> torch.Tensor:
        return torch.from_numpy(compiled({name: padded[name].numpy() for name in names})[0])

    return _by_length(folder, logits)


def sentence_transformers(folder: Path, device: torch.device) -> Classify | None:
    """sentence-transformers' `encode`, which sorts by length itself: the encoder without the classifier."""
    if find_spec("sentence_transformers") is None:
        return None
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    encoder: Any = Transformer(str(folder), max_seq_length=512)
    pooling = Pooling(encoder.get_word_embedding_dimension(), pooling_mode="cls")
    model = SentenceTransformer(modules=[encoder, pooling], device=str(device))

    def classify(texts: Sequence[str]) -> None:
        model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)

    return classify


def infinity(folder: Path, device: torch.device, dtype: str) -> Classify | None:
    """Infinity's engine with its torch backend: it sorts and batches itself. `dtype` is its precision."""
    if find_spec("infinity_emb") is None:
        return None
    from infinity_emb import EngineArgs, SyncEngineArray

    labels = AutoConfig.from_pretrained(folder).id2label
    # Disabled: its warm-up classifies thousands of texts, and transformers 5 removed BetterTransformer.
    arguments = {"model_name_or_path": str(folder), "engine": "torch", "device": device.type, "dtype": dtype}
    engines: Any = SyncEngineArray.from_args(
        [EngineArgs(**arguments, batch_size=BATCH, model_warmup=False, bettertransformer=False)]
    )

    def classify(texts: Sequence[str]) -> torch.Tensor:
        answers, _ = engines.classify(model=str(folder), sentences=list(texts), raw_scores=False).result()
        scores = [{score["label"]: score["score"] for score in row} for row in answers]
        return torch.tensor([[row[labels[index]] for index in range(len(labels))] for row in scores])

    return classify


def _by_length(folder: Path, logits: Callable[[Any], torch.Tensor]) -> Classify:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def classify(texts: Sequence[str]) -> torch.Tensor:
        ids = tokenizer(list(texts), truncation=True, max_length=512)["input_ids"]
        answers = torch.zeros(len(texts), 2)
        for batch in plan([len(text_ids) for text_ids in ids], batch_size=BATCH):
            padded = tokenizer.pad({"input_ids": [ids[index] for index in batch]}, return_tensors="pt")
            padded["token_type_ids"] = torch.zeros_like(padded["input_ids"])
            answers[batch] = torch.softmax(logits(padded).float(), dim=-1).cpu()
        return answers

    return classify
