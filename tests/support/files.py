"""Reads the records of a file as a producer does."""

from contextlib import closing
from pathlib import Path

from triagem.records.rows import BadLine, FileFormat, Record, read_rows
from triagem.records.text_file import open_text

Records = list[Record | BadLine]


def records(path: Path, form: FileFormat | None = None) -> Records:
    """All records of a file."""
    with closing(open_text(str(path))) as file:
        return list(read_rows(file.lines(), format=form, name=path.name).records)
