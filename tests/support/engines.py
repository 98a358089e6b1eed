"""Engines for tests that are about the pipe: they answer at once, by the words of the text."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.model import MANIFEST_FILE, Manifest, Tokens
from contracts.prediction import Thresholds


@dataclass(frozen=True)
class InstantModel:
    """Says `venda` with 0.9 for texts of an odd number of tokens, `suporte` for others; a token is a word."""

    manifest: Manifest
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
        return [Tokens(ids=range(max(1, len(text.split()))), truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if self.seconds_per_text:
            time.sleep(self.seconds_per_text * len(batch))
        return [[0.1, 0.9] if len(tokens.ids) % 2 else [0.9, 0.1] for tokens in batch]


def instant(folder: Path) -> InstantModel:
    """`TRIAGEM_ENGINE=tests.support.engines:instant`."""
    return InstantModel(Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()))


def sleepy(folder: Path) -> InstantModel:
    """An engine that takes 2 ms a text: windows are in flight when a test kills the worker."""
    return InstantModel(instant(folder).manifest, seconds_per_text=0.002)


@dataclass(frozen=True)
class BlurtingModel(InstantModel):
    """Raises for texts with `blurt`, and says the text in its message, as a library may."""

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens(ids=[ord(letter) for letter in text], truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        for text in ("".join(map(chr, tokens.ids)) for tokens in batch):
            if "blurt" in text:
                try:
                    raise KeyError(text)
                except KeyError as error:
                    raise RuntimeError(f"cannot compute {text}") from error
        return super().probabilities(batch)


def blurting(folder: Path) -> BlurtingModel:
    """An engine whose exceptions hold texts."""
    return BlurtingModel(instant(folder).manifest)
