"""Stores a version's drift reference: the embeddings and predictions of rows that it was not trained on. No torch.

Training rows cannot serve as the reference: the model was fitted to them, so their embeddings differ from those of
new texts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import REFERENCE_FILE, EmbeddingModel, Model
from triagem.engine.language import detect_language
from triagem.engine.planner import plan
from triagem.registry import Registry
from triagem.trainer.data.rows import Row

MAX_ROWS: Final = 1000  # 1.5 MB for a small BERT, 3 MB for a base one


class EmbeddingClassifier(Model, EmbeddingModel, Protocol):
    """A loaded version that also returns embeddings."""


@dataclass(frozen=True, slots=True)
class Population:
    """Features of a set of texts, one row each. `labels` are predictions; an entry of `langs` may be empty."""

    embeddings: NDArray[np.float32]
    confidences: NDArray[np.float64]
    tokens: NDArray[np.int64]
    labels: Sequence[str]
    langs: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)


def describe_rows(model: EmbeddingClassifier, rows: Sequence[Row]) -> Population:
    """Compute the features of rows with the serving engine."""
    tokens = model.tokenize([row.text for row in rows])
    embeddings: list[list[float]] = [[]] * len(rows)
    probabilities: list[list[float]] = [[]] * len(rows)
    for indices in plan([len(text.ids) for text in tokens], batch_size=32):
        batch = [tokens[index] for index in indices]
        for index, embedding, predicted in zip(indices, model.embed(batch), model.probabilities(batch), strict=True):
            embeddings[index], probabilities[index] = embedding, predicted
    return Population(
        np.array(embeddings, dtype=np.float32),
        np.array([max(predicted) for predicted in probabilities]),
        np.array([len(text.ids) for text in tokens]),
        [model.manifest.labels[int(np.argmax(predicted))] for predicted in probabilities],
        [detect_language(row.text, row.lang) for row in rows],
    )


def write_reference(folder: Path, model: EmbeddingClassifier, held_out: Sequence[Row]) -> None:
    """Write the reference into a version's folder, before it is registered, from at most `MAX_ROWS` of the rows.

    Args:
        model: with its final temperature.
        held_out: the rows that were not used to fit weights: dev, calibration and test.
    """
    order = np.random.default_rng(42).permutation(len(held_out))[:MAX_ROWS]
    population = describe_rows(model, [held_out[index] for index in sorted(order)])
    # The format stores numbers only, so each name is stored once in the metadata, and each row has its index. There
    # is one metadata entry, because the order of several entries varies.
    names = {"labels": sorted(set(population.labels)), "langs": sorted(set(population.langs))}
    save_file(
        {
            "embeddings": population.embeddings,
            "confidences": population.confidences,
            "tokens": population.tokens,
            "labels": np.array([names["labels"].index(label) for label in population.labels]),
            "langs": np.array([names["langs"].index(lang) for lang in population.langs]),
        },
        folder / REFERENCE_FILE,
        metadata={"names": json.dumps(names)},
    )


def read_reference(registry: Registry, version: str) -> Population | None:
    """A version's reference; None if it was registered without one.

    Raises:
        ModelCorrupt: the file differs from the registered one.
    """
    content = registry.read(version, REFERENCE_FILE)
    if content is None:
        return None
    try:
        arrays, header_end = load(content), 8 + int.from_bytes(content[:8], "little")
        names = json.loads(json.loads(content[8:header_end])["__metadata__"]["names"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelCorrupt(
            f"{REFERENCE_FILE} of {version} cannot be read ({type(error).__name__}): train again"
        ) from error
    return Population(
        arrays["embeddings"],
        arrays["confidences"],
        arrays["tokens"],
        [names["labels"][index] for index in arrays["labels"]],
        [names["langs"][index] for index in arrays["langs"]],
    )
