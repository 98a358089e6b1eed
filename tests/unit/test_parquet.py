"""Parquet in and out: the same tickets as from CSV and JSON lines, and columns with types."""

import io
import sys
from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest

from tests.support.command import Triagem, assert_one_line
from triagem.cli.output import Format, print_rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.result import Result
from triagem.records.parquet_file import write_parquet

COLUMNS: dict[str, list[Any]] = {
    "Protocolo": [1, 2],
    "Assunto": ["Fatura", None],
    "Descrição": ["não chegou", "quero um plano"],
    "Criado em": [datetime(2025, 12, 31, 14, 5), None],
}


def parquet(columns: dict[str, Any]) -> Path:
    path = Path("export.parquet")
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


def test_an_export_is_read_with_its_columns_and_times(bare: Triagem) -> None:
    parquet(COLUMNS)
    answer = bare("enqueue", "export.parquet", "--timezone", "America/Sao_Paulo", "--dry-run")

    assert answer.status == 0
    assert "2 rows of Parquet\n" in answer.out
    assert "line 1: import 1, 2025-12-31 17:05 UTC: Fatura não chegou" in answer.out
    assert "2 would be accepted" in answer.out


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2025, 12, 31, 14, 5, tzinfo=UTC), "2025-12-31 14:05 UTC"),
        (date(2025, 12, 31), "2025-12-31 00:00 UTC"),
        (1767189900000, "2025-12-31 14:05 UTC"),
        ("2025-12-31T14:05:00-03:00", "2025-12-31 17:05 UTC"),
    ],
)
def test_times_of_any_type_are_read(bare: Triagem, value: object, shown: str) -> None:
    parquet({"id": ["1"], "text": ["oi"], "created_at": [value]})

    assert shown in bare("enqueue", "export.parquet", "--dry-run").out


@pytest.mark.parametrize("value", [12, 12.0, Decimal(12), Decimal("12.00"), "12", b"12"])
def test_ids_of_any_type_are_the_same_id(bare: Triagem, value: object) -> None:
    parquet({"id": [value], "text": ["oi"]})

    assert "import 12, " in bare("enqueue", "export.parquet", "--dry-run").out


def test_an_empty_cell_of_pandas_is_no_text(bare: Triagem) -> None:
    parquet({"id": ["1"], "text": [float("nan")]})
    answer = bare("enqueue", "export.parquet", "--dry-run")

    assert answer.status == 3
    assert "line 1: text: " in answer.out


def test_missing_columns_are_one_diagnosis(bare: Triagem) -> None:
    parquet({"Assunto": ["x"]})

    assert_one_line(bare("enqueue", "export.parquet", "--dry-run"), "external_id", "--map")


def test_a_broken_file_and_a_missing_package_are_one_line(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken.parquet").write_bytes(b"PAR1 and no more")
    assert_one_line(bare("enqueue", "broken.parquet", "--dry-run"), "cannot be read")

    parquet({"id": ["1"], "text": ["oi"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert_one_line(bare("enqueue", "export.parquet", "--dry-run"), "pip install 'triagem[parquet]'")


def test_rows_are_written_with_types(monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 2, 12, 30, tzinfo=UTC)
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    rows = [
        {"source": "=shop", "confidence": 0.93, "reviewer": None, "received_at": at, "detail": {"a": 1}},
        {"source": "ação", "confidence": 0.5, "reviewer": "ana", "received_at": at, "detail": {}},
    ]

    columns = ("source", "confidence", "reviewer", "received_at", "detail")
    print_rows(rows, columns, Format.PARQUET, types=[Result])

    table = pyarrow.parquet.read_table(io.BytesIO(out.buffer.getvalue()))
    assert table.column_names == ["source", "confidence", "reviewer", "received_at", "detail"]
    assert table.to_pylist()[0] == {**rows[0], "detail": '{"a": 1}'}


def test_the_types_of_columns_do_not_depend_on_the_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    columns, at = [field.name for field in fields(Result)], datetime(2026, 11, 2, tzinfo=UTC)
    row: dict[str, Any] = dict.fromkeys(columns)
    rows: dict[str, list[dict[str, Any]]] = {
        "none.parquet": [],
        "nulls.parquet": [row],
        "values.parquet": [row | {"reviewer": "ana", "received_at": at, "confidence": 1.0, "unclear": True}],
    }
    for name, written in rows.items():
        with Path(name).open("wb") as file:
            write_parquet(written, columns, file, types=[Result])

    schemas = [pyarrow.parquet.read_schema(name) for name in rows]
    assert schemas[0] == schemas[1] == schemas[2]
    types = {field.name: str(field.type) for field in schemas[0]}
    assert (types["ticket_id"], types["reviewer"], types["unclear"]) == ("int64", "string", "bool")
    assert (types["confidence"], types["received_at"]) == ("double", "timestamp[us, tz=UTC]")
    assert pyarrow.dataset.dataset([*rows]).to_table().column("reviewer").to_pylist() == [None, "ana"]


def test_many_rows_are_written_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagem.records.parquet_file._GROUP", 2)
    write_parquet(({"id": str(number)} for number in range(5)), ["id"], out := io.BytesIO(), types=[])

    file = pyarrow.parquet.ParquetFile(out)
    assert (file.num_row_groups, file.read().to_pylist()[4]) == (3, {"id": "4"})


def test_parquet_is_not_printed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    with pytest.raises(InvalidInput, match="redirect"):
        print_rows([], ("source",), Format.PARQUET)
