"""Selects the fastest precision that the hardware supports and that reproduces the fp32 labels."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

import structlog
import torch

from triagem.contracts.model import Pooling
from triagem.engine.bert import (
    LinearFactory,
    cublas_half,
    onednn,
    packable,
    packed_bert,
    torch_linear,
    without_residual_biases,
)
from triagem.engine.cuda_graphs import GraphReplay
from triagem.engine.packed import Packing, pack, pad_to_step
from triagem.engine.planner import plan

log = structlog.get_logger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
Rows = Sequence[Sequence[int]]

MIN_AGREEMENT: Final = 0.995
_UNDECIDED_MARGIN: Final = 0.1
_DTYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Runner:
    """A network ready to run on rows of tokens.

    `logits` returns `(texts, labels)`. `pooled` returns `(texts, width)`: for BERT, the classifier's input; for other
    architectures, the last layer's first token; with the pooling `mean`, the mean of the last layer's tokens.
    """

    precision: Precision
    packed: bool
    logits: Callable[[Rows], torch.Tensor]
    pooled: Callable[[Rows], torch.Tensor]


def probes() -> list[str]:
    """The texts of the self-check: 40 short messages and one long, Portuguese and English, half of them sales."""
    return files("triagem.engine").joinpath("probes.txt").read_text(encoding="utf-8").splitlines()


def half_precision(device: torch.device) -> Precision | None:
    """The half precision that `auto` tries before fp32, if any. Emulated half precision is slower than fp32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() else None


def agreement(reference: torch.Tensor, logits: torch.Tensor) -> float:
    """The share of texts with the same label; 0 if a logit is not finite.

    Texts on which the reference itself is undecided (its two highest probabilities within 0.1) are left out: bf16
    changes a probability by up to 0.03, and a single undecided text among 41 probes would determine the result.
    """
    if not logits.isfinite().all():
        return 0.0
    best = torch.softmax(reference, dim=-1).topk(2, dim=-1).values
    decided = best[:, 0] - best[:, 1] > _UNDECIDED_MARGIN
    same = reference.argmax(dim=-1) == logits.argmax(dim=-1)
    return float(same[decided].float().mean()) if decided.any() else 1.0


def select_runner(
    network: Any,
    pad: Callable[[Rows], Any],
    device: torch.device,
    *,
    precision: Precision | Literal["auto"],
    packed: bool,
    rows: Rows,
    pooling: Pooling = "first",
) -> Runner:
    """The runner for a precision, or for `auto` the fastest whose labels agree with padded fp32 on `rows`.

    Args:
        network: the transformers module, fp32, on the device.
        pad: turns token rows into the module's padded input.
    """
    packed = packed and packable(network)
    if precision != "auto":
        return _runner(network, pad, device, precision, packed=packed, pooling=pooling)
    if half := half_precision(device):
        reference = _all_logits(_padded(network, pad, "fp32", pooling).logits, rows)
        try:
            runner = _runner(network, pad, device, half, packed=packed, pooling=pooling)
            share = agreement(reference, _all_logits(runner.logits, rows))
            if share >= MIN_AGREEMENT:
                return runner
            log.warning("precision_changes_labels", precision=half, agreement=round(share, 4), minimum=MIN_AGREEMENT)
        except (RuntimeError, NotImplementedError, AttributeError) as error:  # this build or chip lacks a kernel
            log.warning("precision_unsupported", precision=half, reason=str(error).partition("\n")[0])
    return _runner(network, pad, device, "fp32", packed=packed, pooling=pooling)


def _runner(
    network: Any,
    pad: Callable[[Rows], Any],
    device: torch.device,
    precision: Precision,
    *,
    packed: bool,
    pooling: Pooling,
) -> Runner:
    if not packed:
        return _padded(network, pad, precision, pooling)
    if device.type == "cuda" and precision != "fp32":
        network = without_residual_biases(network)
    bert = packed_bert(network, select_linear(device, precision), _DTYPES[precision], pooling)

    def packing(rows: Rows) -> Packing:
        return pack(pad_to_step(rows) if device.type == "cpu" else rows, device)

    def logits(rows: Rows) -> torch.Tensor:
        return bert(packing(rows))[: len(rows)]

    def pooled(rows: Rows) -> torch.Tensor:
        return bert.pooled(packing(rows))[: len(rows)]

    if device.type != "cuda" or precision == "fp32":
        return Runner(precision, packed=True, logits=logits, pooled=pooled)
    replay = GraphReplay(bert, device, network.config.max_position_embeddings)

    def replayed(rows: Rows) -> torch.Tensor:
        output = replay.logits(rows)
        return logits(rows) if output is None else output

    return Runner(precision, packed=True, logits=replayed, pooled=pooled)


def select_linear(device: torch.device, precision: Precision) -> LinearFactory:
    """The factory for a packed BERT's products on this device. oneDNN has bf16 on some processors only."""
    if device.type == "cpu" and precision == "fp32" and _mkl_is_faster():
        return torch_linear
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        bf16 = precision == "bf16" and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001
        if precision == "fp32" or bf16:
            return onednn
    return cublas_half if device.type == "cuda" and precision != "fp32" else torch_linear


def _padded(network: Any, pad: Callable[[Rows], Any], precision: Precision, pooling: Pooling) -> Runner:
    if precision != "fp32":  # a copy, because the fp32 weights stay in use as the reference and the fallback
        network = copy.deepcopy(network).to(_DTYPES[precision])

    def logits(rows: Rows) -> torch.Tensor:
        output: torch.Tensor = network(**pad(rows)).logits
        return output

    def first_tokens(rows: Rows) -> torch.Tensor:
        output = network.base_model(**pad(rows))
        pooler_output: torch.Tensor | None = getattr(output, "pooler_output", None)
        return output.last_hidden_state[:, 0] if pooler_output is None else pooler_output

    if pooling == "first":
        return Runner(precision, packed=False, logits=logits, pooled=first_tokens)
    classifier = network.classifier.float()

    def means(rows: Rows) -> torch.Tensor:
        inputs = pad(rows)
        mask = inputs["attention_mask"].unsqueeze(-1)
        states = network.base_model(**inputs).last_hidden_state.float()
        sums: torch.Tensor = (states * mask).sum(1)
        return sums.div(mask.sum(1))

    return Runner(precision, packed=False, logits=lambda rows: classifier(means(rows)), pooled=means)


def _all_logits(logits: Callable[[Rows], torch.Tensor], rows: Rows) -> torch.Tensor:
    """Logits of all rows, computed as in the worker: in micro-batches by length."""
    batches = plan([len(row) for row in rows], batch_size=32)
    parts = torch.cat([logits([rows[index] for index in batch]).float().cpu() for batch in batches])
    return parts[torch.tensor([index for batch in batches for index in batch]).argsort()]


def _mkl_is_faster() -> bool:
    """Whether MKL multiplies fp32 matrices faster than oneDNN: measured on AVX2 only, see `onednn`."""
    available: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return available and torch.backends.cpu.get_cpu_capability() == "AVX2"


def cpu_has_bf16() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX; torch exposes these checks only as private functions."""
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check)
