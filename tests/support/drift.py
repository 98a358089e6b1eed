"""Populations of labelled texts, and the frequency of reported drift between their parts."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triagem.contracts.text import clean
from triagem.trainer.data.rows import Row
from triagem.trainer.monitor.drift import compare
from triagem.trainer.monitor.reference import EmbeddingClassifier, Population, describe_rows


def populations(
    file: Path,
    group: Callable[[Mapping[str, Any]], str],
    model: EmbeddingClassifier,
    *,
    rows: int,
    max_words: int = 25,
) -> dict[str, Population]:
    """The first `rows` texts of each group of a labelled file; short ones, so that groups do not differ by length."""
    groups: dict[str, list[Row]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if len(record["prompt"].split()) <= max_words:
            groups.setdefault(group(record), []).append(Row(clean(record["prompt"]), record["completion"]))
    return {name: describe_rows(model, groups[name][:rows]) for name in sorted(groups)}


def subset(population: Population, indices: Sequence[int]) -> Population:
    """Rows of a population."""
    return Population(
        population.embeddings[indices],
        population.confidences[indices],
        population.tokens[indices],
        [population.labels[index] for index in indices],
        [population.langs[index] for index in indices],
    )


def concatenate(populations: Iterable[Population]) -> Population:
    """The rows of several populations."""
    parts = list(populations)
    return Population(
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.confidences for part in parts]),
        np.concatenate([part.tokens for part in parts]),
        [label for part in parts for label in part.labels],
        [lang for part in parts for lang in part.langs],
    )


def drifted(reference: Population, recent: Population) -> bool:
    """Whether any comparison of the two finds a shift."""
    return any(shift.shifted for shift in compare(reference, recent))


def false_alarms(population: Population, splits: int, *, recent: int = 100) -> int:
    """The number of seeded splits of one population reported as drift; the reference has at most 500 rows."""
    alarms = 0
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(population)).tolist()
        alarms += drifted(subset(population, order[recent : recent + 500]), subset(population, order[:recent]))
    return alarms
