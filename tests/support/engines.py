"""Engines for tests that are about the pipe: they answer at once, by the words of the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triagem.cli.bench.instant import InstantModel, instant
from triagem.contracts.model import Tokens

__all__ = ["BlurtingModel", "InstantModel", "SeeingModel", "blurting", "instant", "seeing", "sleepy"]


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


@dataclass(frozen=True)
class SeeingModel(InstantModel):
    """Shows what its classifier reads: the number of words, twice."""

    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        return [[float(len(tokens.ids))] * 2 for tokens in batch]


def seeing(folder: Path) -> SeeingModel:
    """An engine that has embeddings."""
    return SeeingModel(instant(folder).manifest)
