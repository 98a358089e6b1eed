"""Reads the records of a file as a producer does."""

from pathlib import Path

from triagem.producer.rows import BadLine, FileFormat, Record, open_text, read_rows

Records = list[Record | BadLine]


def records(path: Path, form: FileFormat | None = None) -> Records:
    """All records of a file."""
    with open_text(str(path)) as lines:
        return list(read_rows(lines, format=form, name=path.name)[1])
