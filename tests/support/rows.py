"""Labelled rows for a data folder: a few hand-written ones, and any number of random ones."""

import json
import random
from typing import Final

from triagem.trainer.data.rows import Row

SMALL_ROWS: Final = [
    ("minha internet caiu", "suporte"),
    ("quanto custa?", "venda"),
    ("app crashes", "suporte"),
    ("a quote", "venda"),
]
_LETTERS: Final = "bcdfghjklmnpqrstvwxz"


def jsonl(*rows: tuple[str, str], **more: object) -> str:
    """Lines in the format of the original training files."""
    lines = [{"prompt": prompt, "completion": completion, **more} for prompt, completion in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def texts(count: int, seed: int = 1) -> list[str]:
    """Texts of random words, without near duplicates."""
    rng = random.Random(seed)
    return [" ".join("".join(rng.choices(_LETTERS, k=7)) for _ in range(3)) for _ in range(count)]


def rows(count: int, label: str, *, lang: str = "", seed: int = 1) -> list[Row]:
    """`count` different rows of a label."""
    return [Row(f"{label} {text}", label, lang) for text in texts(count, seed)]


def balanced_rows(count: int, seed: int = 1) -> list[Row]:
    """`count` rows of each of two labels."""
    return rows(count, "suporte", seed=seed) + rows(count, "venda", seed=seed + 1)
