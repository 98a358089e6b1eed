"""`apply` switches results to a shadow model's predictions and back without a model; what came in between stays."""

from itertools import permutations
from pathlib import Path

import pytest

from tests.support.pipeline import running
from tests.support.runs import finish_run, scalar, store_tickets
from tests.support.windows import current, effective_result, result
from triagem.contracts.prediction import AbstainReason, Band
from triagem.contracts.ticket import Identity
from triagem.db import Database, runs
from triagem.db.reviews import record_review
from triagem.db.runs import APPLY, ReclassifyRun, RunPlan
from triagem.db.runs.diff import diff_run
from triagem.db.runs.pages import PAGE, apply_page
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.stack import Endpoints

APPLY_V0_9 = RunPlan("v0.9.0", 1, APPLY)
APPLY_V1_1 = RunPlan("v1.1.0", 1, APPLY)


def checksum(database: Database, where: str) -> str:
    """A checksum of current results. It excludes the epoch, which differs by how a result was created."""
    columns = (
        "id, text, digest, label, confidence, probabilities, band, model_version, tokens, truncated, classified_at, "
        "abstain_reason"
    )
    query = f"SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM (SELECT {columns} FROM tickets WHERE {where}) t"
    return str(scalar(database, query))


def applied(database: Database, plan: RunPlan) -> ReclassifyRun:
    """An `apply` run, carried out to its end."""
    run = runs.start(database, plan)
    while run.cursor < run.last_id:
        assert apply_page(database, run)
        run = runs.find(database, run.id) or run
    runs.finish_if_done(database, run.id)
    return run


def test_the_reason_of_a_result_without_a_decision_is_applied_with_it(database: Database) -> None:
    write_window(database, [result("A", model="v1.1.0", epoch=0, band=Band.ABSTAIN, reason=AbstainReason.GREETING)])
    write_window(database, [result("A", epoch=1)])
    assert effective_result(database).abstain_reason is None

    applied(database, APPLY_V1_1)

    assert effective_result(database).abstain_reason == "greeting"


@pytest.fixture
def classified(database: Database) -> Database:
    """Tickets with results of v0.9.0, and predictions of v1.1.0 in their history."""
    store_tickets(database, 2 * PAGE + 500, model="v1.1.0", epoch=0)
    store_tickets(database, 2 * PAGE + 500, epoch=1)
    return database


def test_shadow_diff_apply_and_back_restores_the_results_and_keeps_what_came_in_between(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    old, live = "external_id NOT IN ('new', '7')", "external_id IN ('new', '7')"
    store_tickets(database, 2 * PAGE + 500, epoch=1)
    before = checksum(database, old)
    shadow = runs.start(database, RunPlan("v1.1.0", 1, shadow=True))
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).done == 2500
    assert checksum(database, old) == before
    assert diff_run(database, shadow.id, limit=0).flips == 2500
    runs.start(database, APPLY_V1_1)
    assert finish_run(database, inbox, instant_models).done == 2500
    assert (
        scalar(database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0' AND label <> 'other'") == 2500
    )

    write_window(database, [result("novo", external_id="new"), result("outro texto", external_id="7", minute=9)])
    record_review(database, Identity("zendesk", "3"), "cobranca", "ana")
    between = checksum(database, live)
    runs.start(database, APPLY_V0_9)

    assert finish_run(database, inbox, instant_models).done == 2499
    assert checksum(database, old) == before
    assert checksum(database, live) == between
    assert scalar(database, "SELECT label FROM results WHERE external_id = '3'") == "cobranca"


# The version of the result after an apply of v1.1.0 that started at epoch 1 and a live result, in either order.
LIVE = {
    "the same text by the model of its epoch": (result("A", epoch=1), "v1.1.0"),
    "the same text by a model that was promoted later": (result("A", model="v2.0.0", epoch=2), "v2.0.0"),
    "a newer text": (result("B", minute=1, epoch=1), "v1.0.0"),
    "an older text": (result("B", minute=-1, epoch=1), "v1.1.0"),
}


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("order", list(permutations(["apply", "live"])))
def test_the_result_after_apply_does_not_depend_on_when_a_live_result_comes(
    database: Database, name: str, order: tuple[str, str]
) -> None:
    live, expected = LIVE[name]
    write_window(database, [result("A", model="v1.1.0", epoch=0)])
    write_window(database, [result("A", model="v1.0.0", epoch=1)])
    run = runs.start(database, APPLY_V1_1)
    for step in order:
        if step == "apply":
            apply_page(database, run)
        else:
            write_window(database, [live])
    assert current(database)[1] == expected


def test_the_next_run_of_the_current_version_keeps_applied_results(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 10, model="v1.1.0", epoch=0)
    store_tickets(database, 10, epoch=1)
    applied(database, APPLY_V1_1)
    runs.start(database, RunPlan("v1.0.0", 1))
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).done == 10
    assert scalar(database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0'") == 10


def test_a_late_page_of_a_cancelled_run_changes_nothing(classified: Database) -> None:
    cancelled = runs.start(classified, APPLY_V1_1)
    assert apply_page(classified, cancelled)
    runs.cancel(classified, cancelled.id)
    applied(classified, APPLY_V0_9)
    before = checksum(classified, "true")
    assert not apply_page(classified, cancelled)
    assert checksum(classified, "true") == before


def test_a_page_is_applied_once(classified: Database) -> None:
    run = runs.start(classified, APPLY_V1_1)
    assert apply_page(classified, run)
    assert not apply_page(classified, run)
    assert scalar(classified, "SELECT put FROM reclassify_runs") == PAGE


def test_an_interrupted_apply_continues_from_its_cursor(
    classified: Database, inbox: Inbox, instant_models: Path
) -> None:
    assert apply_page(classified, runs.start(classified, APPLY_V1_1))  # and then the process was killed
    assert scalar(classified, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0'") == PAGE
    assert finish_run(classified, inbox, instant_models).done == 2500
