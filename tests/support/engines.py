"""No-op engines for pipeline tests: they label a text at once, by its number of words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.noop_engines import NoopModel, noop
from triagem.contracts.model import Tokens

__all__ = [
    "EmbeddingNoopModel",
    "NoopModel",
    "TextLeakingModel",
    "embedding_noop",
    "noop",
    "slow_noop",
    "text_leaking",
]


def slow_noop(folder: Path) -> NoopModel:
    """An engine that takes 2 ms per text, so that windows are in flight when a test kills the worker."""
    return NoopModel(noop(folder).manifest, seconds_per_text=0.002)


@dataclass(frozen=True)
class TextLeakingModel(NoopModel):
    """Raises for texts that contain `blurt`, with the text in its message, as a library may do."""

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


def text_leaking(folder: Path) -> TextLeakingModel:
    """An engine whose exceptions contain texts."""
    return TextLeakingModel(noop(folder).manifest)


@dataclass(frozen=True)
class EmbeddingNoopModel(NoopModel):
    """Has embeddings: the number of words, twice."""

    def embed(self, batch: Sequence[Tokens]) -> list[list[float]]:
        return [[float(len(tokens.ids))] * 2 for tokens in batch]


def embedding_noop(folder: Path) -> EmbeddingNoopModel:
    """An engine with embeddings."""
    return EmbeddingNoopModel(noop(folder).manifest)
