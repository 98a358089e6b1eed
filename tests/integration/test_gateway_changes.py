"""Changes over HTTP, by the Python client, and by `triagem results --changed-since`."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.support.changes import all_changes
from tests.support.command import Triagem, assert_one_line
from tests.support.gateway import client, services
from tests.support.results import result
from triagem import AsyncClient, Client
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.auth import Scope, create_key
from triagem.db.tickets import changes
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.window import write_window
from triagem.gateway.app import create_app
from triagem.gateway.services import Services
from triagem.inbox import Inbox
from triagem.producer import client_protocol

URL = "http://testserver"


@pytest.fixture
def opened(database: Database, inbox: Inbox, instant_models: Path) -> Services:
    """A gateway's services; the database holds three tickets, of which the last was forgotten."""
    for name in ("a", "b", "gone"):
        write_window(database, [result(name)])
    write_tombstone(database, Identity("zendesk", "gone"))
    all_changes(database)  # waits until the changes are in the feed
    return services(database, inbox, models=instant_models)


@pytest.fixture
def key(database: Database) -> str:
    return create_key(database, "warehouse", [Scope.READ])[1]


class TestRoute:
    @pytest.fixture
    def reader(self, opened: Services) -> TestClient:
        return client(opened, Scope.READ)

    def test_pages_are_followed_by_the_cursor_until_there_are_no_rows(self, reader: TestClient) -> None:
        pages, after = list[list[str]](), None
        while not pages or pages[-1]:
            page = reader.get("/v1/changes", params={"limit": 2, **({"after": after} if after else {})}).json()
            pages.append([row["external_id"] for row in page["rows"]])
            after = page["after"]

        assert pages == [["a", "b"], ["gone"], []]

    def test_json_lines_contain_all_changes_and_each_line_has_a_cursor(
        self, reader: TestClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(changes, "_PAGE", 2)
        answer = reader.get("/v1/changes?format=ndjson")

        assert answer.headers["content-type"].startswith("application/x-ndjson")
        first, _, last = (json.loads(line) for line in answer.text.splitlines())
        assert (first["external_id"], first["result"]["label"]) == ("a", "venda")
        rest = reader.get("/v1/changes", params={"format": "ndjson", "after": first["cursor"]})
        assert rest.text == "".join(answer.text.splitlines(keepends=True)[1:])
        assert last["cursor"] == reader.get("/v1/changes").json()["after"]

    def test_a_forgotten_ticket_has_only_its_identity(self, reader: TestClient) -> None:
        row = reader.get("/v1/changes").json()["rows"][-1]

        del row["cursor"], row["ticket_id"]
        assert row == {"source": "zendesk", "external_id": "gone", "forgotten": True, "result": None}

    @pytest.mark.parametrize("params", [{"after": "x"}, {"limit": "0"}, {"format": "csv"}], ids=str)
    def test_invalid_parameters_are_refused(self, reader: TestClient, params: dict[str, str]) -> None:
        answer = reader.get("/v1/changes", params=params)

        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    def test_a_key_that_may_read_is_required(self, opened: Services) -> None:
        assert client(opened).get("/v1/changes").status_code == 401
        assert client(opened, Scope.ENQUEUE).get("/v1/changes").status_code == 403


class TestPythonClient:
    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_protocol, "_MAX_ROWS", 2)

    def test_it_reads_to_the_end_and_continues_after_the_last_change(
        self, opened: Services, key: str, database: Database
    ) -> None:
        with Client(URL, key, http=TestClient(create_app(opened))) as client:
            seen = list(client.changes())
            write_window(database, [result("new")])
            all_changes(database)

            assert [change.external_id for change in seen] == ["a", "b", "gone"]
            assert [change.external_id for change in client.changes(seen[-1].cursor)] == ["new"]

    def test_it_waits_for_further_changes(self, opened: Services, key: str, database: Database) -> None:
        waits = list[float]()

        def write_another(seconds: float) -> None:
            waits.append(seconds)
            write_window(database, [result("new")])
            all_changes(database)

        with Client(URL, key, http=TestClient(create_app(opened)), sleep=write_another) as client:
            following: Iterator[str] = (change.external_id for change in client.changes(poll_s=2.5))

            assert [next(following) for _ in range(4)] == ["a", "b", "gone", "new"]
        assert waits == [2.5]

    def test_the_async_client_does_the_same(self, opened: Services, key: str, database: Database) -> None:
        async def session() -> list[str]:
            transport = httpx2.ASGITransport(app=create_app(opened))
            async with AsyncClient(URL, key, http=httpx2.AsyncClient(transport=transport)) as client:
                seen = [change async for change in client.changes()]
                write_window(database, [result("new")])
                all_changes(database)
                rest = client.changes(seen[-1].cursor, poll_s=0.01)
                return [change.external_id for change in seen] + [(await anext(rest)).external_id]

        assert asyncio.run(session()) == ["a", "b", "gone", "new"]


@pytest.mark.usefixtures("opened")
class TestCommand:
    def test_it_lists_changes_and_names_the_cursor_of_later_ones(self, triagem: Triagem) -> None:
        answer = json.loads(triagem("results", "--changed-since", "start", "--limit", "2", "--format", "json").out)
        assert [change["external_id"] for change in answer["changes"]] == ["a", "b"]

        rest = triagem("results", "--changed-since", answer["after"])

        assert [word for line in rest.out.splitlines()[1:] for word in line.split()] == ["zendesk", "gone", "True"]
        later = rest.err.split()[-1]
        assert triagem("results", "--changed-since", later).err.startswith("no changes")

    def test_it_cannot_be_combined_with_filters(self, triagem: Triagem) -> None:
        assert_one_line(triagem("results", "--changed-since", "start", "--label", "venda"), "--limit")

    def test_an_invalid_cursor_is_an_error(self, triagem: Triagem) -> None:
        assert_one_line(triagem("results", "--changed-since", "x"), "not a cursor")
