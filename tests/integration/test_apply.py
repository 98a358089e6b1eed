"""From the shadow to the results and back, without a model: what came in between stays."""

from itertools import permutations
from pathlib import Path

import pytest

from tests.support.pipeline import running
from tests.support.runs import finish_run, scalar, store_tickets
from tests.support.windows import current, result
from triagem.cli.stack import Endpoints
from triagem.contracts.ticket import Identity
from triagem.db import Database, runs
from triagem.db.reviews import record_review
from triagem.db.run_diff import diff_run
from triagem.db.run_pages import PAGE, apply_page
from triagem.db.runs import APPLY, ReclassifyRun, RunPlan
from triagem.db.window import write_window
from triagem.inbox import Inbox

BACK = RunPlan("v0.9.0", 1, APPLY)
FORTH = RunPlan("v1.1.0", 1, APPLY)


def checksum(database: Database, where: str) -> str:
    """Of current results, all but the epoch, which says how they came about."""
    columns = (
        "id, text, digest, label, confidence, probabilities, band, model_version, tokens, truncated, classified_at"
    )
    query = f"SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM (SELECT {columns} FROM tickets WHERE {where}) t"
    return str(scalar(database, query))


def applied(database: Database, plan: RunPlan) -> ReclassifyRun:
    """A run of `apply` to its end."""
    run = runs.start(database, plan)
    while run.cursor < run.last_id:
        assert apply_page(database, run)
        run = runs.find(database, run.id) or run
    runs.finish_if_done(database, run.id)
    return run


@pytest.fixture
def known(database: Database) -> Database:
    """Tickets with results of v0.9.0, and what v1.1.0 said of them in the history."""
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
    runs.start(database, FORTH)
    assert finish_run(database, inbox, instant_models).done == 2500
    assert (
        scalar(database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0' AND label <> 'other'") == 2500
    )

    write_window(database, [result("novo", external_id="new"), result("outro texto", external_id="7", minute=9)])
    record_review(database, Identity("zendesk", "3"), "cobranca", "ana")
    between = checksum(database, live)
    runs.start(database, BACK)

    assert finish_run(database, inbox, instant_models).done == 2499
    assert checksum(database, old) == before
    assert checksum(database, live) == between
    assert scalar(database, "SELECT label FROM results WHERE external_id = '3'") == "cobranca"


# What stands after an apply of v1.1.0 that began at epoch 1, and a live result, in either order.
LIVE = {
    "the same text by the model of its epoch": (result("A", epoch=1), "v1.1.0"),
    "the same text by a model that was promoted later": (result("A", model="v2.0.0", epoch=2), "v2.0.0"),
    "a newer text": (result("B", minute=1, epoch=1), "v1.0.0"),
    "an older text": (result("B", minute=-1, epoch=1), "v1.1.0"),
}


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("order", list(permutations(["apply", "live"])))
def test_what_stands_after_apply_does_not_depend_on_when_a_live_result_comes(
    database: Database, name: str, order: tuple[str, str]
) -> None:
    live, stands = LIVE[name]
    write_window(database, [result("A", model="v1.1.0", epoch=0)])
    write_window(database, [result("A", model="v1.0.0", epoch=1)])
    run = runs.start(database, FORTH)
    for step in order:
        if step == "apply":
            apply_page(database, run)
        else:
            write_window(database, [live])
    assert current(database)[1] == stands


def test_the_next_run_of_the_current_version_leaves_what_was_applied(
    endpoints: Endpoints, inbox: Inbox, database: Database, instant_models: Path
) -> None:
    store_tickets(database, 10, model="v1.1.0", epoch=0)
    store_tickets(database, 10, epoch=1)
    applied(database, FORTH)
    runs.start(database, RunPlan("v1.0.0", 1))
    with running(endpoints, instant_models):
        assert finish_run(database, inbox, instant_models).done == 10
    assert scalar(database, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0'") == 10


def test_a_page_that_wakes_up_late_changes_nothing(known: Database) -> None:
    asleep = runs.start(known, FORTH)
    assert apply_page(known, asleep)
    runs.cancel(known, asleep.id)
    applied(known, BACK)
    before = checksum(known, "true")
    assert not apply_page(known, asleep)
    assert checksum(known, "true") == before


def test_an_apply_that_was_cut_off_goes_on_from_its_cursor(
    known: Database, inbox: Inbox, instant_models: Path
) -> None:
    assert apply_page(known, runs.start(known, FORTH))  # and then the process was killed
    assert scalar(known, "SELECT count(*) FROM tickets WHERE model_version = 'v1.1.0'") == PAGE
    assert finish_run(known, inbox, instant_models).done == 2500
