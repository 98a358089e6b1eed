"""Texts for benchmarks: the user's file, or the sample tickets that ship with Triagem."""

import json
from pathlib import Path

from triagem.cli.demo import examples_folder
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean

_FIELDS = ("prompt", "text", "body")


def read_texts(corpus: Path | None, most: int) -> list[str]:
    """Read at most `most` clean texts, evenly spaced over the file, in the file's order.

    Raises:
        InvalidInput: not a JSONL file whose records have a `prompt`, `text` or `body`.
    """
    files = [corpus] if corpus else [examples_folder() / name for name in ("test.jsonl", "train.jsonl")]
    try:
        texts = [_text(json.loads(line)) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"--corpus {corpus}: expected JSONL with `prompt`, `text` or `body` ({error})") from None
    texts = [text for text in map(clean, filter(None, texts)) if text]
    if not texts:
        raise InvalidInput(f"--corpus {corpus}: the file has no texts")
    step = max(1.0, len(texts) / most)
    return [texts[int(index * step)] for index in range(min(most, len(texts)))]


def _text(record: dict[str, str]) -> str:
    for name in _FIELDS:
        if name in record:
            return record[name]
    raise KeyError(f"none of {', '.join(_FIELDS)}")
