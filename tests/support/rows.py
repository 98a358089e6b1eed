"""Labelled rows for a data folder: a handful as a person writes them, and any number of made-up ones."""

import json
import random
from typing import Final

from triagem.trainer.data import Row

CALLS: Final = [
    ("minha internet caiu", "suporte"),
    ("quanto custa?", "venda"),
    ("app crashes", "suporte"),
    ("a quote", "venda"),
]
_LETTERS: Final = "bcdfghjklmnpqrstvwxz"


def jsonl(*rows: tuple[str, str], **more: object) -> str:
    """Lines as the seed's files have them."""
    lines = [{"prompt": prompt, "completion": completion, **more} for prompt, completion in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def texts(count: int, seed: int = 1) -> list[str]:
    """Texts of made-up words, none nearly another."""
    rng = random.Random(seed)
    return [" ".join("".join(rng.choices(_LETTERS, k=7)) for _ in range(3)) for _ in range(count)]


def rows(count: int, label: str, *, lang: str = "", seed: int = 1) -> list[Row]:
    """So many different rows of a label."""
    return [Row(f"{label} {text}", label, lang) for text in texts(count, seed)]


def both(count: int, seed: int = 1) -> list[Row]:
    """As many rows of each of two labels."""
    return rows(count, "suporte", seed=seed) + rows(count, "venda", seed=seed + 1)
