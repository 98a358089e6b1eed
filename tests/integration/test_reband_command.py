"""`triagem reband`: its text and JSON output."""

import json
from pathlib import Path

import pytest

from tests.support.builders import register
from tests.support.command import Triagem
from tests.support.console import Person
from tests.support.gateway import services
from tests.support.pipeline import publish, running
from tests.support.results import result
from tests.support.waiting import until
from triagem.contracts.prediction import Band, Thresholds
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.auth import Scope
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.registry import Registry
from triagem.stack import Endpoints


def test_after_a_threshold_change_stored_results_show_new_bands_at_once(
    *,
    triagem: Triagem,
    endpoints: Endpoints,
    database: Database,
    inbox: Inbox,
    instant_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(inbox, 4)
    with running(endpoints, instant_models):
        until(lambda: inbox.redis.xlen(f"triagem:{{0}}:{Lane.LIVE}") == 0)
    console = Person(services(database, inbox, models=instant_models), Scope.READ)
    assert "crm" not in console.see("tickets", band="review").partition("<tbody>")[2]
    assert "no result matches" in triagem("results", "--band", "review").err
    monkeypatch.setenv("TRIAGEM_REVIEW_THRESHOLD", "0.95")

    dry_run = triagem("reband", "--dry-run")
    assert "v1.0.0: review under 0.950\n" in dry_run.out
    assert dry_run.out.endswith("4 of 4 tickets would change; automated: 100.0% before, 0.0% after\n")
    assert "no result matches" in triagem("results", "--band", "review").err

    done = triagem("reband")
    assert done.out.endswith("4 of 4 tickets changed; automated: 100.0% before, 0.0% after\n")
    results = json.loads(triagem("results", "--band", "review", "--format", "json").out)["results"]
    assert {row["external_id"] for row in results} == set("0123")
    assert json.loads(triagem("show", "crm", "0", "--json").out)["history"][0]["band"] == "review"
    assert "crm" in console.see("tickets", band="review").partition("<tbody>")[2]
    assert triagem("reband").out.endswith("0 of 4 tickets changed; automated: 0.0% before, 0.0% after\n")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, triagem: Triagem) -> Registry:
    """v1.0.0 with a review threshold of 0.7 and v1.1.0 with 0.9, both without a review budget."""
    models = Registry(tmp_path / "models")
    for review in (0.7, 0.9):
        register(models, thresholds=Thresholds(review=review, review_budget=0))
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(models.root))
    return models


def test_each_result_is_banded_by_its_own_versions_thresholds(
    triagem: Triagem, database: Database, registry: Registry
) -> None:
    write_window(
        database, [result("1", confidence=0.8, band=Band.REVIEW), result("2", confidence=0.8, model="v1.1.0")]
    )
    write_window(database, [result("3", confidence=0.8, model="v0.9.0", label="suporte")])
    output = json.loads(triagem("reband", "--json").out)
    assert output == {
        "dry_run": False,
        "versions": [
            {"version": "v1.0.0", "review_under": 0.7, "budget": 0.0, "budget_under": 0.0},
            {"version": "v1.1.0", "review_under": 0.9, "budget": 0.0, "budget_under": 0.0},
        ],
        "tickets": 3,
        "changed": 2,
        "automated_before": 2 / 3,
        "automated_after": 2 / 3,
        "changes": [
            {"label": "venda", "before": "automate", "after": "review", "tickets": 1},
            {"label": "venda", "before": "review", "after": "automate", "tickets": 1},
        ],
        "skipped": {"v0.9.0": 1},
    }
    again = triagem("reband")
    assert "0 of 3 tickets changed" in again.out
    assert again.err == "skipped 1 tickets of v0.9.0: the registry has no readable manifest of this version\n"


def test_the_least_confident_recent_tickets_stay_in_review_above_the_threshold(
    triagem: Triagem, database: Database, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    tickets = [result(f"{number:02}", confidence=0.8 + number / 1000, band=Band.REVIEW) for number in range(100)]
    write_window(database, tickets)
    monkeypatch.setenv("TRIAGEM_REVIEW_BUDGET", "0.05")
    output = json.loads(triagem("reband", "--json").out)
    assert (output["changed"], output["automated_after"]) == (95, 0.95)
    assert output["versions"][0]["budget_under"] == 0.805
    expected = "review under 0.700; review budget, the least confident 5.0% of recent tickets: under 0.805\n"
    assert expected in triagem("reband").out
    monkeypatch.setenv("TRIAGEM_REVIEW_BUDGET", "1")
    output = json.loads(triagem("reband", "--json").out)
    assert (output["versions"][0]["budget_under"], output["automated_after"]) == (None, 0)
    assert "the least confident 100.0% of recent tickets: all" in triagem("reband").out


def test_the_option_overrides_environment_and_versions(
    triagem: Triagem, database: Database, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_window(database, [result("1", confidence=0.8)])
    monkeypatch.setenv("TRIAGEM_REVIEW_THRESHOLD", "0.5")
    assert json.loads(triagem("reband", "--review-under", "0.85", "--json").out)["changed"] == 1


@pytest.mark.parametrize("threshold", ["nan", "1.5", "high"])
def test_an_invalid_threshold_is_a_usage_error(triagem: Triagem, threshold: str) -> None:
    answer = triagem("reband", "--review-under", threshold)
    assert answer.status == 2
    assert "--review-under" in answer.err


def test_a_version_with_an_unreadable_manifest_is_skipped(
    triagem: Triagem, database: Database, registry: Registry
) -> None:
    (registry.root / "v1.0.0" / "manifest.json").write_text("{}", encoding="utf-8")
    write_window(database, [result("1", confidence=0.1), result("2", confidence=0.1, model="v1.1.0")])
    answer = triagem("reband")
    assert "1 of 2 tickets changed" in answer.out
    assert "skipped 1 tickets of v1.0.0" in answer.err
