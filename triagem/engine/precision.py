"""Which precision runs: the fastest that the processor has, if it still says what fp32 says."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

import structlog
import torch

from triagem.engine.bert import packable, packed_bert, without_residual_biases
from triagem.engine.graphs import Replay
from triagem.engine.linear import Maker, cuda_half, onednn, plain
from triagem.engine.packed import Packing, filled, pack
from triagem.engine.planner import plan

log = structlog.get_logger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]
Rows = Sequence[Sequence[int]]

MIN_AGREEMENT: Final = 0.995
_TOSS_UP: Final = 0.1
_DTYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Runner:
    """A network made ready: token rows to logits `(texts, labels)`; or to what BERT's classifier reads of each text,
    `(texts, width)`, in other architectures the last layer's first token."""

    precision: Precision
    packed: bool
    logits: Callable[[Rows], torch.Tensor]
    pooled: Callable[[Rows], torch.Tensor]


def probes() -> list[str]:
    """The texts of the self-check: 40 short messages and one long, Portuguese and English, half of them sales."""
    return files("triagem.engine").joinpath("probes.txt").read_text(encoding="utf-8").splitlines()


def candidates(device: torch.device) -> Iterator[Precision]:
    """What `auto` tries, fastest first. Half precision that a processor only emulates is slower than fp32."""
    if device.type == "cuda":
        yield "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    elif device.type == "cpu" and _cpu_has_bf16():
        yield "bf16"
    yield "fp32"


def agreement(reference: torch.Tensor, answers: torch.Tensor) -> float:
    """Share of texts with the same label, 0 where an answer is not finite.

    A text that the reference itself holds for a toss-up, its two best within 0.1, speaks for neither: bf16 moves
    a probability by up to 0.03, and one such text among 41 probes would decide.
    """
    if not answers.isfinite().all():
        return 0.0
    best = torch.softmax(reference, dim=-1).topk(2, dim=-1).values
    tells = best[:, 0] - best[:, 1] > _TOSS_UP
    same = reference.argmax(dim=-1) == answers.argmax(dim=-1)
    return float(same[tells].float().mean()) if tells.any() else 1.0


def fitting(
    network: Any,
    pad: Callable[[Rows], Any],
    device: torch.device,
    *,
    precision: Precision | Literal["auto"],
    packed: bool,
    rows: Rows,
) -> Runner:
    """The runner for a precision, or for `auto` the fastest whose labels agree with padded fp32 on `rows`.

    Args:
        network: transformers' module, fp32, on the device.
        pad: token rows to the module's padded input.
    """
    packed = packed and packable(network)
    if precision != "auto":
        return _runner(network, pad, device, precision, packed=packed)
    reference = None
    for candidate in candidates(device):
        if candidate == "fp32":
            break
        if reference is None:
            reference = _answers(_padded(network, pad), rows)
        try:
            runner = _runner(network, pad, device, candidate, packed=packed)
            share = agreement(reference, _answers(runner.logits, rows))
        except (RuntimeError, NotImplementedError, AttributeError) as error:  # a kernel this build or chip lacks
            log.warning("precision cannot run here", precision=candidate, why=str(error).partition("\n")[0])
            continue
        if share >= MIN_AGREEMENT:
            return runner
        log.warning("precision changes labels", precision=candidate, agreement=round(share, 4), needed=MIN_AGREEMENT)
    return _runner(network, pad, device, "fp32", packed=packed)


def _runner(
    network: Any, pad: Callable[[Rows], Any], device: torch.device, precision: Precision, *, packed: bool
) -> Runner:
    dtype = _DTYPES[precision]
    if not packed:
        # A copy: rounded weights would be no reference, and no way back to fp32.
        module = network if precision == "fp32" else copy.deepcopy(network).to(dtype)
        return Runner(precision, packed=False, logits=_padded(module, pad), pooled=_first_tokens(module, pad))
    if device.type == "cuda" and precision != "fp32":
        network = without_residual_biases(network)
    bert = packed_bert(network, maker(device, precision), dtype)

    def packing(rows: Rows) -> Packing:
        return pack(filled(rows) if device.type == "cpu" else rows, device)

    def logits(rows: Rows) -> torch.Tensor:
        return bert(packing(rows))[: len(rows)]

    def pooled(rows: Rows) -> torch.Tensor:
        return bert.pooled(packing(rows))[: len(rows)]

    if device.type != "cuda" or precision == "fp32":
        return Runner(precision, packed=True, logits=logits, pooled=pooled)
    replay = Replay(bert, device, network.config.max_position_embeddings)

    def replayed(rows: Rows) -> torch.Tensor:
        answer = replay.logits(rows)
        return logits(rows) if answer is None else answer

    return Runner(precision, packed=True, logits=replayed, pooled=pooled)


def maker(device: torch.device, precision: Precision) -> Maker:
    """The products of a packed BERT on this device."""
    if device.type == "cpu" and precision != "fp16" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return onednn
    return cuda_half if device.type == "cuda" and precision != "fp32" else plain


def _padded(network: Any, pad: Callable[[Rows], Any]) -> Callable[[Rows], torch.Tensor]:
    def logits(rows: Rows) -> torch.Tensor:
        answer: torch.Tensor = network(**pad(rows)).logits
        return answer

    return logits


def _first_tokens(network: Any, pad: Callable[[Rows], Any]) -> Callable[[Rows], torch.Tensor]:
    def pooled(rows: Rows) -> torch.Tensor:
        answer = network.base_model(**pad(rows))
        seen: torch.Tensor | None = getattr(answer, "pooler_output", None)
        return answer.last_hidden_state[:, 0] if seen is None else seen

    return pooled


def _answers(logits: Callable[[Rows], torch.Tensor], rows: Rows) -> torch.Tensor:
    """Logits of all rows, as the worker would compute them: in micro-batches by length."""
    batches = plan([len(row) for row in rows], batch_size=32)
    parts = torch.cat([logits([rows[place] for place in batch]).float().cpu() for batch in batches])
    return parts[torch.tensor([place for batch in batches for place in batch]).argsort()]


def _cpu_has_bf16() -> bool:
    """AVX512-BF16 or AMX. torch names them in private functions only."""
    known = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(ask() for ask in known if ask)
