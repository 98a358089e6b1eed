"""`triagem bench engine`: our engine beside its peers, on the same texts, weights and threads, in turns."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from triagem.cli.bench import machine, peers
from triagem.cli.bench.model import Measured
from triagem.cli.bench.timing import Figure, figure, ratio, take_turns
from triagem.engine.classify import EngineSettings, LoadedModel, classify, load
from triagem.engine.linear import ROWS
from triagem.engine.planner import plan
from triagem.engine.precision import maker

HF = "HF pipeline(32)"
PEAK = "matrix products alone"
_PEAK_PASSES = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One contender. `rate` is None where its package is not installed."""

    name: str
    rate: Figure | None = None
    ratio_vs_hf_pipeline: Figure | None = None
    label_agreement: float | None = None
    max_difference: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints. Rates are texts a second, tokenising included, but for `model_alone`."""

    machine: dict[str, str]
    model: str
    trained: bool
    texts: int
    mean_tokens: float
    batch: str
    precision: str
    rows: list[Row]
    model_alone: Figure
    tokenizing: Figure
    ratio_vs_hf_pipeline: float
    label_agreement: float | None
    share_of_matmul_peak: float
    matmul_peak_gflops: Figure
    peak_memory_mib: float | None
    gpu_memory_mib: float | None = None
    seed_table: list[dict[str, object]] = field(default_factory=list)


def run(
    model: Measured,
    texts: Sequence[str],
    *,
    device: str,
    rounds: int,
    batch_tokens: int | None,
    seed_table: bool,
    told: Callable[[str], None],
) -> Report:
    """Measure; `told` hears who is at it. Raises what `triagem.engine.classify.load` raises."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # or the pipeline switches it off for everybody after it
    ours = {name: load(model.folder, EngineSettings(device=device, precision=name)) for name in _precisions(device)}
    best = ours["auto"]
    ours = {f"triagem {one.runner.precision}": one for one in ours.values()}
    name, where = f"triagem {best.runner.precision}", best.device
    tokens = best.tokenize(texts)
    limits: dict[str, Any] = (
        {"batch_size": 32} if batch_tokens is None else {"batch_size": 4096, "batch_tokens": batch_tokens}
    )
    batches = plan([len(one.ids) for one in tokens], **limits)
    with TemporaryDirectory(prefix="triagem-bench-") as work:
        pipeline = peers.hf_pipeline(model.folder, where)
        theirs = {HF: pipeline, **_others(model.folder, where, Path(work))}
        present = {other: run for other, run in theirs.items() if run is not None}
        contenders: dict[str, Callable[[], object]] = {other: partial(run, texts) for other, run in present.items()}
        contenders |= {own: partial(classify, loaded, texts, **limits) for own, loaded in ours.items()}
        contenders["model alone"] = lambda: [best.probabilities([tokens[one] for one in batch]) for batch in batches]
        contenders["tokenizing"] = lambda: best.tokenize(texts)
        contenders[PEAK], flops = _matmuls(model, best)
        answers: dict[str, Any] = {name: run() for name, run in contenders.items()}  # their warm-up, too
        seconds = take_turns(contenders, rounds=rounds, told=told)
    rows = [
        _row(one, seconds, len(texts), answers) if one in seconds else Row(one, note="not installed")
        for one in [*theirs, *ours]
    ]
    used = _flops(model, [len(one.ids) for one in tokens])
    share = [
        (used / alone) / (flops / full) for alone, full in zip(seconds["model alone"], seconds[PEAK], strict=True)
    ]
    chosen = next(row for row in rows if row.name == name)
    return Report(
        machine=machine.describe(where),
        model=model.name,
        trained=model.trained,
        texts=len(texts),
        mean_tokens=sum(len(one.ids) for one in tokens) / len(tokens),
        batch=f"{batch_tokens:,} tokens" if batch_tokens else "32 texts",
        precision=best.runner.precision,
        rows=rows,
        model_alone=figure(len(texts), seconds["model alone"]),
        tokenizing=figure(len(texts), seconds["tokenizing"]),
        ratio_vs_hf_pipeline=chosen.ratio_vs_hf_pipeline.median if chosen.ratio_vs_hf_pipeline else 1.0,
        label_agreement=chosen.label_agreement,
        share_of_matmul_peak=sorted(share)[len(share) // 2],
        matmul_peak_gflops=figure(flops / 1e9, seconds[PEAK]),
        peak_memory_mib=_memory(model.folder, device),
        gpu_memory_mib=torch.cuda.max_memory_allocated() / 2**20 if where.type == "cuda" else None,
        seed_table=_seed_table(pipeline, best, texts, rounds) if seed_table else [],
    )


def _precisions(device: str) -> Sequence[Any]:
    return (
        ("auto", "fp32", "fp16")
        if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        else ("auto", "fp32")
    )


def _others(folder: Path, device: torch.device, work: Path) -> dict[str, peers.Classify | None]:
    found: dict[str, peers.Classify | None] = {
        "transformers fp32, sorted": peers.sorted_loop(folder, device, torch.float32),
        "transformers bf16, sorted": peers.sorted_loop(folder, device, torch.bfloat16),
        "sentence-transformers fp32": peers.sentence_transformers(folder, device),
        "Infinity fp32": peers.infinity(folder, device, "float32"),
        "Infinity bf16": peers.infinity(folder, device, "bfloat16"),
    }
    if device.type == "cpu":
        found |= {
            "torch int8 dynamic, sorted": peers.torch_int8(folder),
            "ONNX Runtime fp32, sorted": peers.onnxruntime(folder, work, int8=False),
            "ONNX Runtime int8, sorted": peers.onnxruntime(folder, work, int8=True),
            "OpenVINO fp32, sorted": peers.openvino(folder, "f32"),
            "OpenVINO bf16, sorted": peers.openvino(folder, "bf16"),
        }
    return found


def _row(name: str, seconds: dict[str, list[float]], texts: int, answers: dict[str, Any]) -> Row:
    rates = figure(texts, seconds[name]), ratio(seconds, name, HF)
    if answers[name] is None:
        return Row(name, *rates, note="the encoder alone")
    said, reference = torch.as_tensor(answers[name]), answers[HF]
    same = float((said.argmax(1) == reference.argmax(1)).float().mean())
    return Row(name, *rates, same, float((said - reference).abs().max()))


def _matmuls(model: Measured, loaded: LoadedModel) -> tuple[Callable[[], None], float]:
    """The machine's own rate: the layer's four products, in the engine's precision, and nothing between them."""
    shapes, layers = model.matmul_shapes
    rows = ROWS if loaded.device.type == "cpu" else 16384
    make = maker(loaded.device, loaded.runner.precision)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[loaded.runner.precision]

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=loaded.device, dtype=dtype)

    products = [(make(drawn(out, into), drawn(out)), drawn(rows, into)) for into, out in shapes]

    @torch.inference_mode()
    def passes() -> None:
        for _ in range(_PEAK_PASSES * layers):
            for product, given in products:
                product(given)
        if loaded.device.type == "cuda":
            torch.cuda.synchronize()

    return passes, float(_PEAK_PASSES * layers * sum(2 * rows * a * b for a, b in shapes))


def _flops(model: Measured, lengths: Sequence[int]) -> float:
    """What the engine's products compute; in the last layer, only keys and values are of all tokens."""
    shapes, layers = model.matmul_shapes
    (width, _), tokens = shapes[0], sum(lengths)
    whole = sum(2 * a * b for a, b in shapes)
    key_value = 2 * width * 2 * width
    return float(tokens * (whole * (layers - 1) + key_value) + len(lengths) * (whole - key_value))


def _memory(folder: Path, device: str) -> float | None:
    statements = (
        "from pathlib import Path\nfrom engine.classify import EngineSettings, classify, load\n"
        f"model = load(Path({str(folder)!r}), EngineSettings(device={device!r}))\n"
        "classify(model, ['quero trocar de plano ' * 12] * 64)"
    )
    return machine.peak_memory_mib(statements)


def _each(run: Callable[[Sequence[str]], object], chunks: Sequence[Sequence[str]]) -> None:
    for chunk in chunks:
        run(chunk)


def _seed_table(
    pipeline: peers.Classify, model: LoadedModel, texts: Sequence[str], rounds: int
) -> list[dict[str, object]]:
    """The seed document's table: one text at a time, and batches of 32 in the order in which they come."""
    ways: dict[str, tuple[str, int]] = {"single": ("~2-5", 1), "batch 32": ("~10-20", 32)}
    if model.device.type == "cuda":
        ways = {"single": ("~20-50", 1), "batch 32": ("~100-200", 32)}
    rows: list[dict[str, object]] = []
    for way, (seeds, size) in ways.items():
        some = texts[: 16 if size == 1 else 64]
        chunks = [some[start : start + size] for start in range(0, len(some), size)]
        seconds = take_turns(
            {
                HF: partial(_each, pipeline, chunks),
                "triagem": partial(_each, partial(classify, model), chunks),
            },
            rounds=rounds,
        )
        for who, spent in seconds.items():
            rate = figure(len(some), spent)
            rows.append(
                {
                    "configuration": f"{model.device.type.upper()} ({way})",
                    "who": who,
                    "texts_per_s": rate.median,
                    "ms_per_text": 1000 / rate.median,
                    "seed_texts_per_s": seeds,
                }
            )
    return rows
