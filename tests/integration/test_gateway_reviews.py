"""`POST /v1/reviews`: verdicts from tools in which people already see the ticket."""

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.builders import NOW
from tests.support.gateway import client, services
from tests.support.results import result
from triagem.contracts.errors import RegistryUnavailable
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox


@pytest.fixture
def reviewer(database: Database, inbox: Inbox, instant_models: Path) -> TestClient:
    write_window(database, [result("4711")])
    return client(services(database, inbox, models=instant_models), Scope.REVIEW)


def verdict(**changes: Any) -> dict[str, Any]:
    return {"source": "zendesk", "external_id": "4711", "label": "suporte", **changes}


def test_a_verdict_is_the_effective_label_at_once(reviewer: TestClient, database: Database) -> None:
    answer = reviewer.post("/v1/reviews", json=verdict())

    assert (answer.status_code, answer.json()["reviewer"]) == (201, "test")
    (row,) = list_results(database, Filters(), limit=2).rows
    assert (row.label, row.model_label, row.reviewer, row.unclear) == ("suporte", "venda", "test", False)


def test_an_outage_after_a_verdict_was_stored_does_not_fail_it(
    reviewer: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> bool:
        raise RegistryUnavailable("the registry does not answer")

    monkeypatch.setattr("triagem.ops.labelling._head_versions_continue", unavailable)

    assert reviewer.post("/v1/reviews", json=verdict()).status_code == 201
    assert list_results(database, Filters(), limit=2).rows[0].label == "suporte"


def test_null_is_unclear_and_leaves_the_models_label(reviewer: TestClient, database: Database) -> None:
    assert reviewer.post("/v1/reviews", json=verdict(label=None)).status_code == 201
    (row,) = list_results(database, Filters(), limit=2).rows
    assert (row.label, row.reviewer, row.unclear) == ("venda", "test", True)


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"label": "Suporte"}, 422, "label: is not one of"),
        ({"external_id": "4712"}, 404, "there is no such ticket"),
        ({"external_id": "4712", "label": "unknown"}, 404, "there is no such ticket"),
        ({"verdict": "suporte"}, 422, "verdict: is not a known field"),
        ({"external_id": ""}, 422, "external_id"),
    ],
)
def test_a_wrong_verdict_is_refused_and_recorded_nowhere(
    reviewer: TestClient, database: Database, changes: dict[str, Any], status: int, detail: str
) -> None:
    answer = reviewer.post("/v1/reviews", json=verdict(**changes))

    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (status, True)
    (row,) = list_results(database, Filters(), limit=2).rows
    assert row.reviewer is None


def test_before_the_first_label_the_refusal_says_where_to_name_one(
    database: Database, inbox: Inbox, tmp_path: Path
) -> None:
    write_window(database, [result("4711")])
    reviewer = client(services(database, inbox, models=tmp_path), Scope.REVIEW)

    answers = [reviewer.post("/v1/reviews", json=verdict(external_id=name)) for name in ("4711", "4712")]

    assert [answer.status_code for answer in answers] == [422, 404]
    assert "there are no labels yet: name them on the console's page Start" in answers[0].json()["detail"]


def test_a_verdict_on_a_text_that_has_changed_since_it_was_read_is_refused(
    reviewer: TestClient, database: Database
) -> None:
    write_window(database, [result("4711", text="another", revised_at=NOW)])

    answer = reviewer.post("/v1/reviews", json=verdict(revision=1))

    assert (answer.status_code, "changed the text" in answer.json()["detail"]) == (409, True)
    assert reviewer.post("/v1/reviews", json=verdict(revision=2, external_id=4711, comment="a\0")).status_code == 201


def test_each_verdict_of_a_list_has_its_own_outcome(reviewer: TestClient, database: Database) -> None:
    wrong = [verdict(external_id="4712"), verdict(label="x"), verdict(external_id=""), verdict(revision=7), 7]

    answer = reviewer.post("/v1/reviews", json=[verdict(), *wrong])

    body = answer.json()
    assert (answer.status_code, body["recorded"], body["rejected"]) == (201, 1, len(wrong))
    assert body["receipts"][0]["reviewer"] == "test"
    assert ["no such ticket" in receipt.get("reason", "") for receipt in body["receipts"]].index(True) == 1
    assert all(receipt["status"] == "rejected" and receipt["reason"] for receipt in body["receipts"][1:])
    (row,) = list_results(database, Filters(), limit=2).rows
    assert row.label == "suporte"
    assert reviewer.post("/v1/reviews", json=[]).json()["detail"] == (
        "body: the list is empty: send at least one verdict"
    )
    assert reviewer.post("/v1/reviews", json=7).json()["detail"].startswith("verdict: must be an object")


def test_a_key_without_the_scope_review_is_refused(database: Database, inbox: Inbox) -> None:
    reader = client(services(database, inbox), Scope.READ, Scope.ENQUEUE)

    assert reader.post("/v1/reviews", json=verdict()).status_code == 403
