"""Results over HTTP: the command's filters, pages by cursor, and all results as CSV or JSON lines."""

import csv
import io
import json
import tracemalloc
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.support.builders import NOW
from tests.support.command import Triagem
from tests.support.gateway import client, services
from tests.support.results import HOUR, insert_review, result
from triagem.contracts.prediction import Band
from triagem.contracts.result import Result, ResultPage
from triagem.contracts.spreadsheet import csv_cell
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.tickets import queries
from triagem.db.tickets.window import write_window
from triagem.gateway.results import FORMATS, RowFormat, until_quiet
from triagem.gateway.services import Services
from triagem.inbox import Inbox


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    return services(database, inbox, models=instant_models)


@pytest.fixture
def reader(opened: Services) -> TestClient:
    return client(opened, Scope.READ)


def names(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [row["external_id"] for row in page["rows"]]


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/v1/results?lable=venda", "query: 'lable' is unknown: did you mean label?"),
        ("/v1/changes?since=2026-11-01", "query: 'since' is unknown; known: after, format, limit"),
        ("/v1/tickets/zendesk/1?x=1", "query: 'x' is unknown; known: skip"),
        ("/v1/results?label=venda&label=suporte", "query: 'label' is given twice: give one value"),
        ("/v1/results?Não%20recebi=1", "query: a parameter is unknown; known: after, band"),
    ],
)
def test_an_unknown_query_parameter_is_refused(reader: TestClient, path: str, detail: str) -> None:
    answer = reader.get(path)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


@pytest.mark.parametrize(("method", "path", "allowed"), [("POST", "/v1/changes", "GET"), ("GET", "/predict", "POST")])
def test_a_wrong_method_is_405_and_the_right_one_is_named(
    reader: TestClient, method: str, path: str, allowed: str
) -> None:
    answer = reader.request(method, path)

    assert answer.status_code == 405
    assert answer.json()["detail"] == f"this address takes only {allowed}"


@pytest.mark.parametrize("path", ["/v1/ticket", "/tickets", "/metrics"])
def test_an_unknown_path_is_404_and_names_the_list_of_paths(reader: TestClient, path: str) -> None:
    answer = reader.post(path)

    assert answer.status_code == 404
    assert answer.json()["detail"] == "no such path: /docs lists all"


def test_without_a_key_an_unknown_query_parameter_is_401(opened: Services) -> None:
    assert client(opened).get("/v1/results?lable=venda").status_code == 401


def test_results_come_newest_first_by_the_effective_label(reader: TestClient, database: Database) -> None:
    write_window(database, [result("old", received_at=NOW - HOUR), result("new")])
    insert_review(database, "old", "suporte")
    page = reader.get("/v1/results").json()
    assert names(page) == ["new", "old"]
    assert [row["label"] for row in page["rows"]] == ["venda", "suporte"]
    assert page["after"] is None
    assert "text" not in page["rows"][0]


@pytest.mark.parametrize(
    "params",
    [
        {"label": "suporte"},
        {"band": "review"},
        {"source": "chatwoot"},
        {"model": "v1.1.0"},
        {"language": "es"},
        {"since": "2026-11-22T12:30:00+00:00"},
        {"since": "2026-11-22T12:30:00"},
    ],
    ids=str,
)
def test_each_filter_of_the_command_works(reader: TestClient, database: Database, params: dict[str, str]) -> None:
    ours = result(
        "ours", label="suporte", band=Band.REVIEW, source="chatwoot", model="v1.1.0", detected="es",
        received_at=NOW + HOUR,
    )  # fmt: skip
    write_window(database, [ours, result("other")])
    assert names(reader.get("/v1/results", params=params).json()) == ["ours"]


def test_until_is_exclusive(reader: TestClient, database: Database) -> None:
    write_window(database, [result("before", received_at=NOW - HOUR), result("at", received_at=NOW)])
    assert names(reader.get("/v1/results", params={"until": NOW.isoformat()}).json()) == ["before"]


def test_pages_by_cursor_show_every_row_once(reader: TestClient, database: Database) -> None:
    write_window(
        database, [result(str(number), received_at=NOW - timedelta(seconds=number // 2)) for number in range(7)]
    )
    seen, after = list[str](), None
    while True:
        page = reader.get("/v1/results", params={"limit": 3, **({"after": after} if after else {})}).json()
        seen += names(page)
        after = page["after"]
        if after is None:
            break
    assert sorted(seen) == [str(number) for number in range(7)]
    assert len(seen) == 7


def test_a_limit_above_the_internal_page_size_is_respected(
    reader: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_PAGE", 2)
    write_window(database, [result(str(number)) for number in range(7)])
    page = reader.get("/v1/results", params={"limit": 5}).json()
    assert len(page["rows"]) == 5
    assert len(reader.get("/v1/results", params={"limit": 5, "after": page["after"]}).json()["rows"]) == 2


@pytest.mark.parametrize("result_format", ["csv", "ndjson"])
def test_csv_and_json_lines_contain_all_results(
    reader: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch, result_format: str
) -> None:
    monkeypatch.setattr(queries, "_PAGE", 2)
    write_window(database, [result(str(number)) for number in range(5)])
    answer = reader.get("/v1/results", params={"format": result_format})
    if result_format == "csv":
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert answer.headers["content-disposition"] == 'attachment; filename="results.csv"'
    else:
        rows = [json.loads(line) for line in answer.text.splitlines()]
    assert sorted(row["external_id"] for row in rows) == list("01234")
    assert {float(row["confidence"]) for row in rows} == {0.9}


def test_csv_is_the_same_by_http_and_by_the_command(reader: TestClient, triagem: Triagem, database: Database) -> None:
    write_window(database, [result("1"), result("2", label="suporte")])

    printed = triagem("results", "--format", "csv").out.removeprefix("\ufeff")

    assert printed.splitlines() == reader.get("/v1/results?format=csv").text.splitlines()


@pytest.mark.parametrize("result_format", ["csv", "ndjson", "json"])
def test_an_empty_result_is_not_an_error(reader: TestClient, result_format: str) -> None:
    answer = reader.get("/v1/results", params={"format": result_format})
    assert answer.status_code == 200
    assert len(answer.text.splitlines()) == {"csv": 1, "ndjson": 0, "json": 1}[result_format]


def test_no_spreadsheet_runs_a_customers_formula(reader: TestClient, database: Database) -> None:
    write_window(database, [result('=HYPERLINK("http://evil")'), result("@SUM(A1)"), result('\tx\n\r,";')])
    rows = list(csv.DictReader(io.StringIO(reader.get("/v1/results?format=csv").text, newline="")))
    assert {row["external_id"] for row in rows} == {'\'=HYPERLINK("http://evil")', "'@SUM(A1)", 'x\n\r,";'}


def test_a_negative_number_is_not_a_formula() -> None:
    assert csv_cell(-0.5) == -0.5
    assert csv_cell("-0.5") == "'-0.5"


def test_a_plus_sign_that_the_url_turned_into_a_space_is_explained(reader: TestClient) -> None:
    answer = reader.get("/v1/results?since=2026-12-01T05:30+00:00")
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("write the + of an offset as %2B in a URL")


@pytest.mark.parametrize(
    ("name", "value", "detail"),
    [
        ("after", "x", "after: not a cursor from an earlier page"),
        ("limit", "0", "query.limit: must be at least 1"),
        ("limit", "many", "query.limit: must be a whole number"),
        ("band", "none", "query.band: must be one of automate, review or abstain"),
        ("format", "xml", "query.format: must be one of json, ndjson or csv"),
        ("since", "2026-13-01", "query.since: '2026-13-01' is not a date of the calendar: write"),
        ("since", "yesterday", "query.since: 'yesterday' is not a time: write 2026-11-02 or 2026-11-02T09:30"),
        ("since", "0001-01-01T00:00:00+14:00", "query.since: '0001-01-01T00:00:00+14:00' is "),
        ("since", "2026", "query.since: '2026' is before the year 2000, or not a time: write 2026-11-02"),
        ("until", "20261102", "query.until: '20261102' is "),
    ],
)
def test_invalid_parameters_are_refused_with_a_reason(reader: TestClient, name: str, value: str, detail: str) -> None:
    answer = reader.get("/v1/results", params={name: value})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(detail)


def test_a_nul_in_a_filter_is_replaced_as_in_tickets(reader: TestClient, database: Database) -> None:
    write_window(database, [result("ours", source="a\0b")])
    assert names(reader.get("/v1/results", params={"source": "a\0b"}).json()) == ["ours"]


def test_results_need_a_key_that_may_read(opened: Services) -> None:
    assert client(opened).get("/v1/results").status_code == 401
    assert client(opened, Scope.ENQUEUE).get("/v1/results").status_code == 403


def test_a_reader_that_disconnects_leaves_no_connection_behind(
    opened: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_PAGE", 1)
    write_window(database, [result(str(number)) for number in range(5)])
    read = queries.result_pages(database, queries.Filters(), limit=None)
    next(read)
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_json_page_ends_after_five_seconds_without_a_row() -> None:
    empty = [ResultPage([], str(number)) for number in range(9)]
    seconds = iter(range(100))

    assert [page.after for page in until_quiet(iter(empty), clock=lambda: float(next(seconds)))] == [*"012345"]


@pytest.mark.parametrize("result_format", FORMATS)
def test_ten_times_the_rows_need_no_more_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch, result_format: RowFormat
) -> None:
    monkeypatch.setattr(queries, "_PAGE", 50)
    write_window(database, [result(str(number)) for number in range(2000)])
    _, write = FORMATS[result_format]

    def peak(rows: int) -> int:
        tracemalloc.start()
        for _ in write(queries.result_pages(database, queries.Filters(), limit=rows), Result):
            pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak_bytes

    peak(100)  # a first call loads what later calls reuse
    assert peak(2000) < 3 * peak(200)
