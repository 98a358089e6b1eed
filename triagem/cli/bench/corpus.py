"""The texts that are measured: a file of the user's, or the sample tickets that ship with Triagem."""

import json
from pathlib import Path

from triagem.cli.demo import examples
from triagem.contracts.errors import InvalidInput
from triagem.contracts.text import clean

_FIELDS = ("prompt", "text", "body")


def texts(corpus: Path | None, most: int) -> list[str]:
    """Clean texts, at most `most`, evenly spaced over the file, in its order.

    Raises:
        InvalidInput: no JSONL file whose records have a `prompt`, `text` or `body`.
    """
    files = [corpus] if corpus else sorted(examples().glob("*.jsonl"))
    try:
        found = [_text(json.loads(line)) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidInput(f"--corpus {corpus}: expected JSONL with `prompt`, `text` or `body` ({error})") from None
    found = [text for text in map(clean, filter(None, found)) if text]
    if not found:
        raise InvalidInput(f"--corpus {corpus}: no texts in it")
    step = max(1.0, len(found) / most)
    return [found[int(place * step)] for place in range(min(most, len(found)))]


def _text(record: dict[str, str]) -> str:
    for name in _FIELDS:
        if name in record:
            return record[name]
    raise KeyError(f"none of {', '.join(_FIELDS)}")
