"""Limits of a micro-batch: from the settings, or a token budget measured with the loaded model."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from triagem.contracts.model import DeviceModel, Model, Tokens
from triagem.worker.batch import Limits
from triagem.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

_BUDGETS: Final = tuple(1 << power for power in range(10, 17))  # 1,024 to 65,536 tokens
_GAIN: Final = 1.05  # a larger micro-batch delays its tickets, so it must be at least 5 % faster
_TEXT: Final = "I would like a quote for twenty licences " * 6


def limits_for(model: Model, settings: WorkerSettings) -> Limits:
    """Limits of this model's micro-batches. Without a setting, a CUDA device gets a measured token budget.

    With a measured budget, a micro-batch has up to a quarter of the window's texts: a worker holds a window, and
    needs the next micro-batches while one runs.
    """
    on_gpu = isinstance(model, DeviceModel) and model.device_type == "cuda"
    budget = settings.batch_tokens or ("auto" if on_gpu else None)
    if budget != "auto":
        return Limits(settings.batch_size, budget)
    chosen = "batch_size" in settings.model_fields_set
    texts = settings.batch_size if chosen else max(settings.batch_size, settings.window_max // 4)
    limits = Limits(texts, token_budget(model))
    log.info("token_budget_measured", version=model.manifest.version, texts=limits.texts, tokens=limits.tokens)
    return limits


def token_budget(model: Model, clock: Callable[[], float] = time.perf_counter) -> int:
    """A micro-batch's token budget: doubled while that makes the model at least 5 % faster and fits in memory."""
    text = model.tokenize([_TEXT])[0]
    best, best_rate = _BUDGETS[0], 0.0
    for budget in _BUDGETS:
        batch = [text] * max(1, budget // len(text.ids))
        try:
            # The first call of a size loads kernels and allocates memory.
            seconds = min(_seconds(model, batch, clock) for _ in range(3))
        except Exception as error:  # noqa: BLE001 - whatever fails at this size ends the search, not the worker
            log.info(
                "token_budget_failed", version=model.manifest.version, tokens=budget, reason=type(error).__name__
            )
            break
        rate = len(batch) / max(seconds, 1e-9)
        if rate < best_rate * _GAIN:
            break
        best, best_rate = budget, rate
    return best


def _seconds(model: Model, batch: Sequence[Tokens], clock: Callable[[], float]) -> float:
    began = clock()
    model.probabilities(batch)
    return clock() - began
