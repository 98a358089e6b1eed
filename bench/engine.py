"""`python -m bench engine`: times Triagem's engine and others in turns, with equal texts, weights and threads."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bench import baselines, machine
from bench.model import BenchModel
from bench.timing import Measurement, interleave, rate_of, ratio
from triagem.engine.bert import ROWS
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load
from triagem.engine.planner import plan
from triagem.engine.precision import select_linear

HF = "HF pipeline(32)"
PEAK = "matrix products alone"
_PEAK_PASSES = 4


@dataclass(frozen=True, slots=True)
class EngineRow:
    """A contender. `rate` is None if its package is not installed."""

    name: str
    rate: Measurement | None = None
    ratio_vs_hf_pipeline: Measurement | None = None
    label_agreement: float | None = None
    max_difference: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class EngineBenchmark:
    """Output of `--json`. Rates are texts per second, tokenization included, except `model_alone`."""

    machine: dict[str, str]
    model: str
    trained: bool
    texts: int
    mean_tokens: float
    batch: str
    precision: str
    rows: list[EngineRow]
    model_alone: Measurement
    tokenizing: Measurement
    ratio_vs_hf_pipeline: float
    label_agreement: float | None
    share_of_matmul_peak: float
    matmul_peak_gflops: Measurement
    peak_memory_mib: float | None
    gpu_memory_mib: float | None = None
    spec_table: list[dict[str, object]] = field(default_factory=list)


def run(
    model: BenchModel,
    texts: Sequence[str],
    *,
    device: str,
    rounds: int,
    batch_tokens: int | None,
    spec_table: bool,
    on_progress: Callable[[str], None],
) -> EngineBenchmark:
    """Run the benchmark; `on_progress` gets the contender. Raises what `triagem.engine.classify.load` raises."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # otherwise the first pipeline turns it off for all
    engines = {
        name: load(model.folder, EngineSettings(device=device, precision=name)) for name in _precisions(device)
    }
    best = engines["auto"]
    engines = {f"triagem {loaded.runner.precision}": loaded for loaded in engines.values()}
    name, device_used = f"triagem {best.runner.precision}", best.device
    tokens = best.tokenize(texts)
    limits: dict[str, Any] = (
        {"batch_size": 32} if batch_tokens is None else {"batch_size": 4096, "batch_tokens": batch_tokens}
    )
    batches = plan([len(text.ids) for text in tokens], **limits)
    with TemporaryDirectory(prefix="triagem-bench-") as work:
        pipeline = baselines.hf_pipeline(model.folder, device_used)
        alternatives = {HF: pipeline, **_baselines(model.folder, device_used, Path(work))}
        installed = {other: run for other, run in alternatives.items() if run is not None}
        contenders: dict[str, Callable[[], object]] = {other: partial(run, texts) for other, run in installed.items()}
        contenders |= {own: partial(classify, loaded, texts, **limits) for own, loaded in engines.items()}
        contenders["model alone"] = lambda: [
            best.probabilities([tokens[index] for index in batch]) for batch in batches
        ]
        contenders["tokenizing"] = lambda: best.tokenize(texts)
        contenders[PEAK], flops = _matmuls(model, best)
        answers: dict[str, Any] = {name: run() for name, run in contenders.items()}  # also warms them up
        seconds = interleave(contenders, rounds=rounds, on_progress=on_progress)
    rows = [
        _row(contender, seconds, len(texts), answers)
        if contender in seconds
        else EngineRow(contender, note="not installed")
        for contender in [*alternatives, *engines]
    ]
    used = _flops(model, [len(text.ids) for text in tokens])
    share = [
        (used / alone) / (flops / full) for alone, full in zip(seconds["model alone"], seconds[PEAK], strict=True)
    ]
    chosen = next(row for row in rows if row.name == name)
    return EngineBenchmark(
        machine=machine.describe_machine(device_used),
        model=model.name,
        trained=model.trained,
        texts=len(texts),
        mean_tokens=sum(len(text.ids) for text in tokens) / len(tokens),
        batch=f"{batch_tokens:,} tokens" if batch_tokens else "32 texts",
        precision=best.runner.precision,
        rows=rows,
        model_alone=rate_of(len(texts), seconds["model alone"]),
        tokenizing=rate_of(len(texts), seconds["tokenizing"]),
        ratio_vs_hf_pipeline=chosen.ratio_vs_hf_pipeline.median if chosen.ratio_vs_hf_pipeline else 1.0,
        label_agreement=chosen.label_agreement,
        share_of_matmul_peak=sorted(share)[len(share) // 2],
        matmul_peak_gflops=rate_of(flops / 1e9, seconds[PEAK]),
        peak_memory_mib=_memory(model.folder, device),
        gpu_memory_mib=torch.cuda.max_memory_allocated() / 2**20 if device_used.type == "cuda" else None,
        spec_table=_spec_table(pipeline, best, texts, rounds) if spec_table else [],
    )


def _precisions(device: str) -> Sequence[Any]:
    return (
        ("auto", "fp32", "fp16")
        if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        else ("auto", "fp32")
    )


def _baselines(folder: Path, device: torch.device, work: Path) -> dict[str, baselines.Classify | None]:
    contenders: dict[str, baselines.Classify | None] = {
        "transformers fp32, sorted": baselines.sorted_loop(folder, device, torch.float32),
        "transformers bf16, sorted": baselines.sorted_loop(folder, device, torch.bfloat16),
        "sentence-transformers fp32": baselines.sentence_transformers(folder, device),
        "Infinity fp32": baselines.infinity(folder, device, "float32"),
        "Infinity bf16": baselines.infinity(folder, device, "bfloat16"),
    }
    if device.type == "cpu":
        contenders |= {
            "torch int8 dynamic, sorted": baselines.torch_int8(folder),
            "ONNX Runtime fp32, sorted": baselines.onnxruntime(folder, work, int8=False),
            "ONNX Runtime int8, sorted": baselines.onnxruntime(folder, work, int8=True),
            "OpenVINO fp32, sorted": baselines.openvino(folder, "f32"),
            "OpenVINO bf16, sorted": baselines.openvino(folder, "bf16"),
        }
    return contenders


def _row(name: str, seconds: dict[str, list[float]], texts: int, answers: dict[str, Any]) -> EngineRow:
    rates = rate_of(texts, seconds[name]), ratio(seconds, name, HF)
    if answers[name] is None:
        return EngineRow(name, *rates, note="the encoder alone")
    probabilities, reference = torch.as_tensor(answers[name]), answers[HF]
    same = float((probabilities.argmax(1) == reference.argmax(1)).float().mean())
    return EngineRow(name, *rates, same, float((probabilities - reference).abs().max()))


def _matmuls(model: BenchModel, loaded: LoadedModel) -> tuple[Callable[[], None], float]:
    """The machine's peak rate: only a layer's four matrix products, in the engine's precision."""
    shapes, layers = model.matmul_shapes
    rows = ROWS if loaded.device.type == "cpu" else 16384
    make = select_linear(loaded.device, loaded.runner.precision)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[loaded.runner.precision]

    def random_tensor(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=loaded.device, dtype=dtype)

    products = [
        (make(random_tensor(out, into), random_tensor(out)), random_tensor(rows, into)) for into, out in shapes
    ]

    @torch.inference_mode()
    def passes() -> None:
        for _ in range(_PEAK_PASSES * layers):
            for product, operand in products:
                product(operand)
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()

    return passes, float(_PEAK_PASSES * layers * sum(2 * rows * a * b for a, b in shapes))


def _flops(model: BenchModel, lengths: Sequence[int]) -> float:
    """FLOPs of the engine's matrix products. In the last layer only keys and values cover all tokens."""
    shapes, layers = model.matmul_shapes
    (width, _), tokens = shapes[0], sum(lengths)
    whole = sum(2 * a * b for a, b in shapes)
    key_value = 2 * width * 2 * width
    return float(tokens * (whole * (layers - 1) + key_value) + len(lengths) * (whole - key_value))


def _memory(folder: Path, device: str) -> float | None:
    statements = (
        "from pathlib import Path\nfrom triagem.engine.classify import EngineSettings, classify, load\n"
        f"model = load(Path({str(folder)!r}), EngineSettings(device={device!r}))\n"
        "classify(model, ['quero trocar de plano ' * 12] * 64)"
    )
    return machine.peak_memory_mib(statements)


def _each(run: Callable[[Sequence[str]], object], chunks: Sequence[Sequence[str]]) -> None:
    for chunk in chunks:
        run(chunk)


def _spec_table(
    pipeline: baselines.Classify, model: LoadedModel, texts: Sequence[str], rounds: int
) -> list[dict[str, object]]:
    """The original specification's table: single texts, and batches of 32 in their original order."""
    configurations: dict[str, tuple[str, int]] = {"single": ("~2-5", 1), "batch 32": ("~10-20", 32)}
    if model.device.type == "cuda":
        configurations = {"single": ("~20-50", 1), "batch 32": ("~100-200", 32)}
    rows: list[dict[str, object]] = []
    for configuration, (specified, size) in configurations.items():
        sample = texts[: 16 if size == 1 else 64]
        chunks = [sample[start : start + size] for start in range(0, len(sample), size)]
        seconds = interleave(
            {
                HF: partial(_each, pipeline, chunks),
                "triagem": partial(_each, partial(classify, model), chunks),
            },
            rounds=rounds,
        )
        for contender, durations in seconds.items():
            rate = rate_of(len(sample), durations)
            rows.append(
                {
                    "configuration": f"{model.device.type.upper()} ({configuration})",
                    "engine": contender,
                    "texts_per_s": rate.median,
                    "ms_per_text": 1000 / rate.median,
                    "spec_texts_per_s": specified,
                }
            )
    return rows
