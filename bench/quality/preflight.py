"""Checks the promises of `triagem preflight` on rows outside the export."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from triagem.contracts.text import clean
from triagem.trainer.active.embeddings import embed_texts, frozen_base
from triagem.trainer.active.linear import EmbeddingSpace, fit_head, one_blas_thread
from triagem.trainer.active.preflight import TARGETS, cross_fit, head_fit, promises
from triagem.trainer.data.near_duplicates import duplicate_groups
from triagem.trainer.evaluate.calibration import apply_temperature


@dataclass(frozen=True, slots=True)
class PromiseRecord:
    """The outcome of one target: splits with a promise and splits that kept it; mean shares and unseen precision."""

    precision: float
    promised: int
    held: int
    promised_share: float
    unseen_share: float
    unseen_precision: float


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """The outcomes by target."""

    base: str
    texts: int
    rows: int
    splits: int
    targets: tuple[PromiseRecord, ...]


def run(files: Sequence[Path], cache: Path, *, rows: int, splits: int) -> PreflightReport:
    """Draw `rows` rows as an export, `splits` times. The other rows stand for future tickets.

    Only one row of each near-duplicate group is used, so that no unseen row nearly repeats a row of the export.
    """
    base = frozen_base()
    read = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [clean(row["prompt"]) for row in read]
    embedded = embed_texts(base, texts, cache)
    groups = duplicate_groups(texts)
    kept = list({group: row for row, group in enumerate(groups)}.values())
    truth = np.array([read[row]["completion"] == "venda" for row in kept], dtype=np.intp)
    outcomes = np.full((splits, len(TARGETS), 3), np.nan)
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(kept))
        outcomes[split] = _outcome(embedded[kept][order], truth[order], rows)
    records = []
    for target, outcome in zip(TARGETS, outcomes.transpose(1, 0, 2), strict=True):
        promised = outcome[~np.isnan(outcome[:, 0])]
        means = promised.mean(axis=0) if len(promised) else np.full(3, np.nan)
        records.append(
            PromiseRecord(target, len(promised), int((promised[:, 2] >= target).sum()), *map(float, means))
        )
    return PreflightReport(base, len(kept), rows, splits, tuple(records))


@one_blas_thread
def _outcome(embeddings: NDArray[np.float32], truth: NDArray[np.intp], rows: int) -> NDArray[np.float64]:
    """By target: the promised share, the share of unseen rows at or above the threshold, and their precision."""
    known, answers = embeddings[:rows], truth[:rows]
    probabilities, temperature = cross_fit(head_fit(known, answers), answers, seed=42)
    space = EmbeddingSpace.of(np.asarray(known, dtype=np.float64))
    logits = fit_head(space(known), answers, 2).logits(space(embeddings[rows:]))
    later = apply_temperature(softmax(logits, axis=1), temperature)
    confidence, right = later.max(axis=1), later.argmax(axis=1) == truth[rows:]
    outcome = np.full((len(TARGETS), 3), np.nan)
    for number, promise in enumerate(promises(probabilities, answers)):
        automated = confidence >= promise.threshold
        if promise.share is not None and automated.any():
            outcome[number] = promise.share, automated.mean(), right[automated].mean()
    return outcome
