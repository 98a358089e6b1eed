"""What a version's texts looked like when it was trained: the embeddings of rows that it did not learn from.

Held-out rows, because those of training rows always lie elsewhere: the model was fitted to them. No torch.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import REFERENCE_FILE, Embeds, Model
from triagem.engine.language import language
from triagem.engine.planner import plan
from triagem.registry import Registry
from triagem.registry.store import digest_of
from triagem.trainer.data import Row

MOST: Final = 1000  # 1.5 MB of a small BERT's rows, 3 MB of a base one's


class Engine(Model, Embeds, Protocol):
    """A loaded version that shows what its classifier reads."""


@dataclass(frozen=True, slots=True)
class Population:
    """Texts as a version sees them, a row each. `labels` are the version's own answers, `langs` may be empty."""

    embeddings: NDArray[np.float32]
    confidences: NDArray[np.float64]
    tokens: NDArray[np.int64]
    labels: Sequence[str]
    langs: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)


def look(model: Engine, rows: Sequence[Row], *, batch_size: int = 32) -> Population:
    """Rows through the engine that serves."""
    tokens = model.tokenize([row.text for row in rows])
    embeddings: list[list[float]] = [[]] * len(rows)
    answers: list[list[float]] = [[]] * len(rows)
    for batch in plan([len(one.ids) for one in tokens], batch_size=batch_size):
        some = [tokens[place] for place in batch]
        for place, embedding, answer in zip(batch, model.embed(some), model.probabilities(some), strict=True):
            embeddings[place], answers[place] = embedding, answer
    return Population(
        np.array(embeddings, dtype=np.float32),
        np.array([max(answer) for answer in answers]),
        np.array([len(one.ids) for one in tokens]),
        [model.labels[int(np.argmax(answer))] for answer in answers],
        [language(row.text, row.lang) for row in rows],
    )


def write_reference(folder: Path, model: Engine, held_out: Sequence[Row], *, seed: int = 42) -> None:
    """Write the reference into a version's folder, before it is registered: at most `MOST` of the rows.

    Args:
        model: with the temperature that it will serve with.
        held_out: rows that no weight was fitted to: for choosing the checkpoint, calibration, and test.
    """
    order = np.random.default_rng(seed).permutation(len(held_out))[:MOST]
    seen = look(model, [held_out[place] for place in sorted(order)])
    # Names once, and numbers for each row: the format knows numbers only. In one entry: the order of several varies.
    names = {"labels": sorted(set(seen.labels)), "langs": sorted(set(seen.langs))}
    save_file(
        {
            "embeddings": seen.embeddings,
            "confidences": seen.confidences,
            "tokens": seen.tokens,
            "labels": np.array([names["labels"].index(one) for one in seen.labels]),
            "langs": np.array([names["langs"].index(one) for one in seen.langs]),
        },
        folder / REFERENCE_FILE,
        metadata={"names": json.dumps(names)},
    )


def read_reference(registry: Registry, version: str) -> Population | None:
    """A version's reference; None if it was registered without one.

    Raises:
        ModelCorrupt: the file is not the one that was registered.
    """
    expected = registry.manifest(version).files.get(REFERENCE_FILE)
    if expected is None:
        return None
    path = registry.folder(version) / REFERENCE_FILE
    if digest_of(path) != expected:
        raise ModelCorrupt(f"{path} changed since training: restore it or train again")
    try:
        with safe_open(path, framework="numpy") as file:
            names = json.loads(file.metadata()["names"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelCorrupt(f"{path} cannot be read ({type(error).__name__}): train again") from error
    return Population(
        arrays["embeddings"],
        arrays["confidences"],
        arrays["tokens"],
        [names["labels"][place] for place in arrays["labels"]],
        [names["langs"][place] for place in arrays["langs"]],
    )
