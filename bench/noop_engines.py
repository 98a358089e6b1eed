"""Engines without computation, or with a fixed latency, to measure the pipeline around the engine."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triagem.contracts.model import MANIFEST_FILE, Manifest, Tokens

_ANSWERS = ([0.9, 0.1], [0.1, 0.9])


@dataclass(frozen=True)
class NoopModel:
    """Predicts `venda` with 0.9 for texts with an odd number of tokens, else `suporte`; each word is a token.

    Answers at once, or after `seconds_per_batch` plus `seconds_per_text` for each text.
    """

    manifest: Manifest
    seconds_per_batch: float = 0.0
    seconds_per_text: float = 0.0

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        # Clean texts have single spaces between words.
        return [Tokens(ids=range(1 + text.count(" ")), truncated=False) for text in texts]

    def probabilities(self, batch: Sequence[Tokens]) -> list[list[float]]:
        if seconds := self.seconds_per_batch + self.seconds_per_text * len(batch):
            time.sleep(seconds)
        return [_ANSWERS[len(tokens.ids) % 2] for tokens in batch]


def noop(folder: Path) -> NoopModel:
    """A no-op engine: `TRIAGEM_ENGINE=bench.noop_engines:noop`."""
    return NoopModel(Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()))


def simulated_gpu(folder: Path) -> NoopModel:
    """An engine that waits as long as an H100 with BERT-base computes, times BENCH_SLOWDOWN (1).

    The line through two measurements of docs/explanation/performance.md: 21,700 texts/s with 32 texts, 41,500 with
    16,384 tokens, which are 350 texts.
    """
    slowdown = float(os.environ.get("BENCH_SLOWDOWN", "1"))
    per_text = (350 / 41_500 - 32 / 21_700) / (350 - 32)
    per_batch = 32 / 21_700 - 32 * per_text
    manifest = noop(folder).manifest
    return NoopModel(manifest, seconds_per_batch=slowdown * per_batch, seconds_per_text=slowdown * per_text)


def fixed_latency(folder: Path) -> NoopModel:
    """An engine that takes 20 ms per micro-batch, so that waiting for other batches is visible above the noise."""
    return NoopModel(noop(folder).manifest, seconds_per_batch=0.02)
