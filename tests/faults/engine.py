"""One engine for all faults: answers by the words of a text, and fails as the environment tells it.

A text can carry poison: a word that makes the model raise, or one that ends the process.
"""

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from tests.support.engines import InstantModel
from triagem.contracts.model import Manifest, Tokens
from triagem.registry import Registry

ENGINE: Final = "tests.faults.engine:load"
RAISES: Final = "makes-the-model-raise"
KILLS: Final = "ends-the-process"
_POISON: Final = {RAISES: -1, KILLS: -2}  # as token ids, so that the poison reaches the model itself


class Told(BaseSettings):
    """What is wrong with this engine. `calls` are those of `probabilities`, the self-check's too."""

    model_config = SettingsConfigDict(env_prefix="FAULT_", extra="ignore")

    seconds_per_text: float = 0.001
    exits_after_calls: int | None = None
    breaks_after_calls: int | None = None
    texts_in_memory: int | None = None


@dataclass(frozen=True)
class FaultyModel(InstantModel):
    """Classifies well until it is told otherwise."""

    told: Told = field(default_factory=Told)
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens([_POISON.get(word, 1) for word in text.split()], truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        call, told = next(self.calls), self.told
        if told.exits_after_calls is not None and call > told.exits_after_calls:
            raise SystemExit("this thread was told to end")
        if told.breaks_after_calls is not None and call > told.breaks_after_calls:
            raise RuntimeError("the device is gone")
        if told.texts_in_memory is not None and len(batch) > told.texts_in_memory:
            raise MemoryError(f"no room for {len(batch)} texts")
        words = {word for tokens in batch for word in tokens.ids}
        if _POISON[KILLS] in words:
            os._exit(137)  # as the kernel's out-of-memory killer would: nothing is tidied up
        if _POISON[RAISES] in words:
            raise ValueError("a text that this model cannot bear")
        time.sleep(told.seconds_per_text * len(batch))
        return [
            [0.9, 0.1] if says(len(tokens.ids), self.version) == self.labels[0] else [0.1, 0.9] for tokens in batch
        ]


def says(words: int, version: str) -> str:
    """The label of a text of so many words. Each version says the opposite of the one before: so a label tells
    who gave it."""
    minor = int(version.split(".")[1])
    return ("suporte", "venda")[(words + minor) % 2]


def load(folder: Path) -> FaultyModel:
    """`TRIAGEM_ENGINE=tests.faults.engine:load`. Checks the files first, as the real engine does."""
    manifest: Manifest = Registry(folder.parent).verify(folder.name)
    return FaultyModel(manifest)
