"""What a producer reads from a file."""

from pathlib import Path

from triagem.producer.rows import BadLine, Format, Row, open_text, rows

Records = list[Row | BadLine]


def records(path: Path, form: Format | None = None) -> Records:
    """All records of a file."""
    with open_text(str(path)) as lines:
        return list(rows(lines, format=form, name=path.name)[1])
