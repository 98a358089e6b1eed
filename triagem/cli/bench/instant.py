"""Engines that cost nothing, or a known time: then the pipe around them is what is measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triagem.contracts.model import MANIFEST_FILE, Manifest, Tokens
from triagem.contracts.prediction import Thresholds

_ANSWERS = ([0.9, 0.1], [0.1, 0.9])


@dataclass(frozen=True)
class InstantModel:
    """Says `venda` with 0.9 for texts of an odd number of tokens, `suporte` for others; a token is a word.

    At once, or after `seconds_per_batch` and `seconds_per_text`.
    """

    manifest: Manifest
    seconds_per_batch: float = 0.0
    seconds_per_text: float = 0.0

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def labels(self) -> tuple[str, ...]:
        return self.manifest.labels

    @property
    def thresholds(self) -> Thresholds:
        return self.manifest.thresholds

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        # Clean texts have single spaces between words.
        return [Tokens(ids=range(1 + text.count(" ")), truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if seconds := self.seconds_per_batch + self.seconds_per_text * len(batch):
            time.sleep(seconds)
        return [_ANSWERS[len(tokens.ids) % 2] for tokens in batch]


def instant(folder: Path) -> InstantModel:
    """`TRIAGEM_ENGINE=cli.bench.instant:instant`."""
    return InstantModel(Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()))


def steady(folder: Path) -> InstantModel:
    """An engine that takes 20 ms a micro-batch: a wait behind others is many of them, not noise."""
    return InstantModel(instant(folder).manifest, seconds_per_batch=0.02)
