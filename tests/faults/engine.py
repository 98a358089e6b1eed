"""The engine of all faults: labels a text by its number of words, and fails as configured in the environment.

A text can contain poison: a word that makes the model raise, or one that kills the process.
"""

import itertools
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings, SettingsConfigDict

from tests.support.engines import NoopModel
from triagem.contracts.conversation import combine
from triagem.contracts.model import Manifest, Tokens
from triagem.registry import Registry

ENGINE: Final = "tests.faults.engine:load"
LABELS: Final = ("suporte", "venda")
RAISES: Final = "makes-the-model-raise"
KILLS: Final = "ends-the-process"
_POISON: Final = {RAISES: -1, KILLS: -2}  # as token ids, so that the poison reaches the model itself


class FaultSettings(BaseSettings):
    """Failures of this engine. Calls of `probabilities` are counted, including the self-check's calls."""

    model_config = SettingsConfigDict(env_prefix="FAULT_", extra="ignore")

    seconds_per_text: float = 0.001
    exits_after_calls: int | None = None
    breaks_after_calls: int | None = None
    texts_in_memory: int | None = None
    failing_share: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class FaultyModel(NoopModel):
    """Classifies correctly unless configured to fail."""

    settings: FaultSettings = field(default_factory=FaultSettings)
    calls: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    dice: random.Random = field(default_factory=random.Random)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        return [Tokens([_POISON.get(word, 1) for word in text.split()], truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        call, settings = next(self.calls), self.settings
        if settings.exits_after_calls is not None and call > settings.exits_after_calls:
            raise SystemExit("injected thread exit")
        if settings.breaks_after_calls is not None and call > settings.breaks_after_calls:
            raise RuntimeError("injected device failure")
        if self.dice.random() < settings.failing_share:
            raise RuntimeError("injected device failure")
        if settings.texts_in_memory is not None and len(batch) > settings.texts_in_memory:
            raise MemoryError(f"injected: not enough memory for {len(batch)} texts")
        words = {word for tokens in batch for word in tokens.ids}
        if _POISON[KILLS] in words:
            os._exit(137)  # like the kernel's out-of-memory killer: no cleanup
        if _POISON[RAISES] in words:
            raise ValueError("injected model failure")
        time.sleep(settings.seconds_per_text * len(batch))
        return [_probabilities(len(tokens.ids), self.manifest.version) for tokens in batch]


def expected_label(words: int, version: str) -> str:
    """The label of a text with this number of words. Consecutive versions disagree, so a label shows its version."""
    minor = int(version.split(".")[1])
    return LABELS[(words + minor) % 2]


def expected_conversation_label(parts: Sequence[str], version: str) -> str:
    """The label of a conversation with these texts; of a single one, its own label."""
    belief = combine(parts, [_probabilities(len(part.split()), version) for part in parts])
    return LABELS[belief.index(max(belief))]


def _probabilities(words: int, version: str) -> list[float]:
    return [0.9 if label == expected_label(words, version) else 0.1 for label in LABELS]


def load(folder: Path) -> FaultyModel:
    """`TRIAGEM_ENGINE=tests.faults.engine:load`. Verifies the files first, as the real engine does."""
    manifest: Manifest = Registry(folder.parent).verify(folder.name)
    settings = FaultSettings()
    return FaultyModel(manifest, settings=settings, dice=random.Random(settings.seed))
