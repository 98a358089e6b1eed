"""Parquet in and out, with pyarrow from the extra `parquet`. Rows are read as JSON lines, as from a text file."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from itertools import islice
from math import isnan
from typing import IO, Any, Final, get_args, get_type_hints

from triagem.contracts.errors import InvalidInput

MAGIC: Final = b"PAR1"
_BATCH: Final = 1000
_GROUP: Final = 50_000  # rows held in memory; a large file has few groups


class ParquetFile:
    """A Parquet file, read like a `TextFile` of JSON lines."""

    encoding = "utf-8"  # of its JSON lines

    def __init__(self, raw: IO[bytes]) -> None:
        """Open seekable bytes. Raises InvalidInput if they are not Parquet, or pyarrow is not installed."""
        parquet, arrow = _pyarrow()
        self._raw = raw
        try:
            self._file = parquet.ParquetFile(raw)
        except (arrow.ArrowException, OSError) as error:
            raise InvalidInput(f"the file begins like Parquet, but cannot be read ({type(error).__name__})") from None

    def lines(self) -> Iterator[str]:
        """The rows from the start, as JSON lines. NaN is null: pandas writes it for an empty cell."""
        for batch in self._file.iter_batches(batch_size=_BATCH):
            for row in batch.to_pylist():
                cells = {
                    name: None if isinstance(value, float) and isnan(value) else value for name, value in row.items()
                }
                yield json.dumps(cells, ensure_ascii=False, default=_plain) + "\n"

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


def write_parquet(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], out: IO[bytes], *, types: Sequence[type]
) -> None:
    """Write rows as one Parquet file, a group at a time. Raises InvalidInput if pyarrow is not installed.

    Args:
        types: classes whose annotations give the columns' types; a column without an annotation is text. So the
            schema does not depend on the rows.
    """
    parquet, arrow = _pyarrow()
    annotations = {name: value for each in types for name, value in get_type_hints(each).items()}
    schema = arrow.schema([(name, _arrow_type(arrow, annotations.get(name, str))) for name in columns])
    remaining = iter(rows)
    with parquet.ParquetWriter(out, schema) as writer:
        while group := [*islice(remaining, _GROUP)]:
            table = {name: [_stored(row[name]) for row in group] for name in columns}
            writer.write_table(arrow.table(table, schema))


def _arrow_type(arrow: Any, annotation: Any) -> Any:
    """The type of a column. Enumerations and structures are text."""
    (kind,) = {*(get_args(annotation) if type(None) in get_args(annotation) else (annotation,))} - {type(None)}
    by_type = {
        bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), datetime: arrow.timestamp("us", tz="UTC"),
    }  # fmt: skip
    return by_type.get(kind, arrow.string())


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow  # noqa: PLC0415 - optional, and slow to import
        import pyarrow.parquet  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InvalidInput("Parquet needs pyarrow: pip install 'triagem[parquet]'") from None
    return pyarrow.parquet, pyarrow


def _plain(value: object) -> object:
    """A value that JSON lacks, as an export to CSV would write it."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else str(value)
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(value)


def _stored(value: object) -> object:
    """A value that a column can hold: enumerations and structures as text."""
    return (
        value
        if value is None or type(value) in {bool, int, float, str, bytes} or isinstance(value, date)
        else (json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value))
    )
