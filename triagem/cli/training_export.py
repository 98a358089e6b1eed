"""Writes training data in the trainer's format, JSON lines or CSV. A file is written completely or not at all."""

import csv
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TextIO

from triagem.contracts.errors import InvalidInput
from triagem.db.agreed_labels import LabelledExample


def write(target: str, examples: Iterable[LabelledExample], *, as_csv: bool) -> None:
    """Write to a file that only its owner can read, since it contains customers' texts; `-` is standard output."""
    if target == "-":
        _write(sys.stdout, examples, as_csv=as_csv)
        return
    path = Path(target)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            _write(file, examples, as_csv=as_csv)
        partial.replace(path)
    except OSError as error:
        raise InvalidInput(f"{target}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink()


def _write(file: TextIO, examples: Iterable[LabelledExample], *, as_csv: bool) -> None:
    if as_csv:
        table = csv.DictWriter(file, [field.name for field in fields(LabelledExample)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(example) for example in examples)
        return
    for example in examples:
        row = {name: value for name, value in asdict(example).items() if value is not None}
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
