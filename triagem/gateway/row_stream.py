"""Streams pages of rows as one JSON page, JSON lines or CSV, page by page, in constant memory."""

import csv
import functools
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from enum import StrEnum
from itertools import chain
from typing import Any, Final, Protocol

from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter

from triagem.contracts.spreadsheet import csv_cell


class RowFormat(StrEnum):
    """The format of the response."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


_MEDIA_TYPES: Final = {
    RowFormat.JSON: "application/json",
    RowFormat.NDJSON: "application/x-ndjson",
    RowFormat.CSV: "text/csv",
}


class RowPage(Protocol):
    """A page of rows, and the cursor of the next one."""

    @property
    def rows(self) -> Sequence[Any]: ...
    @property
    def after(self) -> str | None: ...


def stream_rows(pages: Iterator[RowPage], row_type: type, row_format: RowFormat, name: str) -> StreamingResponse:
    """The response with all rows. An error of the first page is raised at once and can become a problem response."""
    body = write_rows(chain([next(pages)], pages), row_type, row_format)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'} if row_format is RowFormat.CSV else {}
    return StreamingResponse(body, media_type=_MEDIA_TYPES[row_format], headers=headers)


def write_rows(pages: Iterable[RowPage], row_type: type, row_format: RowFormat) -> Iterator[bytes]:
    """The rows of all pages, as instances of a dataclass, in this format."""
    return _WRITERS[row_format](pages, row_type)


def _json(pages: Iterable[RowPage], row_type: type) -> Iterator[bytes]:
    dump_json = _adapter(row_type).dump_json
    yield b'{"rows":['
    after, separator = None, b""
    for page in pages:
        after = page.after
        if page.rows:
            yield separator + b",".join(map(dump_json, page.rows))
            separator = b","
    yield b'],"after":' + json.dumps(after).encode() + b"}"


def _ndjson(pages: Iterable[RowPage], row_type: type) -> Iterator[bytes]:
    dump_json = _adapter(row_type).dump_json
    for page in pages:
        yield b"".join(dump_json(row) + b"\n" for row in page.rows)


def _csv(pages: Iterable[RowPage], row_type: type) -> Iterator[bytes]:
    columns = [field.name for field in fields(row_type)]
    yield _csv_lines([columns])
    for page in pages:
        yield _csv_lines([csv_cell(getattr(row, name)) for name in columns] for row in page.rows)


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode()


@functools.cache
def _adapter(row_type: type) -> TypeAdapter[Any]:
    return TypeAdapter(row_type)


_WRITERS: Final = {RowFormat.JSON: _json, RowFormat.NDJSON: _ndjson, RowFormat.CSV: _csv}
