"""A ticket may be stored before it has a result (INV-36), and each reader handles such a ticket."""

import pytest
from sqlalchemy import text

from tests.support.builders import NOW
from tests.support.changes import all_changes, names
from tests.support.command import Triagem
from tests.support.gateway import client, services
from tests.support.results import NO_FILTERS, insert_review, insert_unlabelled, record_refs, result
from tests.support.runs import scalar
from tests.support.windows import rows
from triagem.contracts.errors import RowRefused
from triagem.contracts.ticket import Identity
from triagem.db import Database, runs
from triagem.db.auth import Scope
from triagem.db.reviews import draw_tasks, lease_disputed_task
from triagem.db.runs import APPLY, RunPlan
from triagem.db.runs.pages import apply_page
from triagem.db.runs.reband import reband
from triagem.db.runs.reclassification import ReclassifiedTicket, write_reclassified
from triagem.db.tickets.forgetting import write_tombstone
from triagem.db.tickets.queries import count_tickets, list_results
from triagem.db.tickets.window import write_window
from triagem.inbox import Inbox
from triagem.ops.verify import verify_tables

RESULT_COLUMNS = (
    "label", "confidence", "probabilities", "band", "model_version", "tokens", "truncated", "classified_at",
)  # fmt: skip


@pytest.fixture
def unlabelled(database: Database) -> Database:
    insert_unlabelled(database, "1")
    return database


def state(database: Database) -> str:
    return str(scalar(database, "SELECT state FROM tickets WHERE external_id = '1'"))


class TestConstraint:
    """INV-36: a ticket is `classified` if and only if it has all columns of a result."""

    @pytest.mark.parametrize("column", RESULT_COLUMNS)
    def test_a_classified_ticket_has_the_whole_result(self, database: Database, column: str) -> None:
        write_window(database, [result("1")])

        with pytest.raises(RowRefused, match="CheckViolation"), database.autocommit() as connection:
            connection.execute(text(f"UPDATE tickets SET {column} = NULL"))

    @pytest.mark.parametrize("column", RESULT_COLUMNS)
    def test_another_ticket_has_nothing_of_a_result(self, unlabelled: Database, column: str) -> None:
        write_window(unlabelled, [result("2")])

        with pytest.raises(RowRefused, match="CheckViolation"), unlabelled.autocommit() as connection:
            connection.execute(
                text(f"UPDATE tickets t SET {column} = o.{column} FROM tickets o WHERE o.id = 2 AND t.id = 1")
            )

    @pytest.mark.parametrize("change", ["state = NULL", "state = 'sold'", "forgotten_at = now()"])
    def test_a_ticket_has_a_known_state_unless_it_is_forgotten(self, unlabelled: Database, change: str) -> None:
        with pytest.raises(RowRefused, match="CheckViolation"), unlabelled.autocommit() as connection:
            connection.execute(text(f"UPDATE tickets SET {change}"))

    def test_it_can_be_forgotten(self, unlabelled: Database) -> None:
        assert write_tombstone(unlabelled, Identity("zendesk", "1"))

        assert state(unlabelled) == "None"


class TestClassification:
    def test_a_window_classifies_it(self, unlabelled: Database) -> None:
        write_window(unlabelled, [result("1")])

        assert state(unlabelled) == "classified"
        assert [row["external_id"] for row in rows(unlabelled, "results")] == ["1"]

    def test_the_result_of_an_older_text_leaves_it_without_one(self, unlabelled: Database) -> None:
        write_window(unlabelled, [result("1", text="older", revised_at=NOW)])

        assert state(unlabelled) == "unlabelled"

    def test_a_run_classifies_it_without_counting_a_label_change(self, unlabelled: Database) -> None:
        plan = RunPlan("v1.0.0", 1, notify_flips=True, filters={"not_model": "v1.0.0"})
        run = runs.start(unlabelled, plan)
        (ref,) = record_refs(unlabelled, run)
        row = result("1")

        write_reclassified(unlabelled, [ReclassifiedTicket(ref, "done", row.prediction, row.classified_at)])

        finished = runs.find(unlabelled)
        assert finished is not None
        assert (state(unlabelled), finished.done, finished.flips) == ("classified", 1, 0)

    def test_stored_predictions_can_be_applied_to_it(self, unlabelled: Database) -> None:
        shadow = runs.start(unlabelled, RunPlan("v1.0.0", 1, shadow=True))
        row = result("1")
        (ref,) = record_refs(unlabelled, shadow)
        write_reclassified(unlabelled, [ReclassifiedTicket(ref, "done", row.prediction, row.classified_at)])
        runs.cancel(unlabelled, shadow.id)
        assert state(unlabelled) == "unlabelled"

        run = runs.start(unlabelled, RunPlan("v1.0.0", 1, APPLY))
        apply_page(unlabelled, run)

        assert state(unlabelled) == "classified"


class TestReaders:
    def test_lists_counts_views_and_the_change_feed_leave_it_out(self, unlabelled: Database) -> None:
        write_window(unlabelled, [result("2")])

        assert [row.external_id for row in list_results(unlabelled, NO_FILTERS, limit=9).rows] == ["2"]
        assert count_tickets(unlabelled, NO_FILTERS) == {("venda", "automate"): 1}
        assert [row["external_id"] for row in rows(unlabelled, "analytics.results")] == ["2"]
        assert names(all_changes(unlabelled)) == ["2"]

    def test_the_change_feed_lists_it_once_it_is_classified(self, unlabelled: Database) -> None:
        write_window(unlabelled, [result("2")])
        cursor = all_changes(unlabelled)[-1].cursor

        write_window(unlabelled, [result("1")])

        assert names(all_changes(unlabelled, cursor)) == ["1"]

    def test_its_band_is_not_recomputed(self, unlabelled: Database) -> None:
        assert [groups for _, groups in reband(unlabelled, {"v1.0.0": 0.7})] == [{}]

    def test_nobody_is_asked_to_check_a_result_that_it_lacks(self, unlabelled: Database) -> None:
        insert_review(unlabelled, "1", "venda", reviewer="ana")
        insert_review(unlabelled, "1", "suporte", reviewer="rui")

        assert draw_tasks(unlabelled, "eva", 9, version="v1.0.0", since=NOW.replace(year=2000)) == []
        assert lease_disputed_task(unlabelled, "eva", since=NOW.replace(year=2000)) is None

    def test_nothing_is_wrong_with_it(self, unlabelled: Database) -> None:
        insert_review(unlabelled, "1", "venda")

        assert [name for name, finding in verify_tables(unlabelled) if finding] == ["searchable"]

    def test_the_gateway_answers_with_its_state(self, unlabelled: Database, inbox: Inbox) -> None:
        insert_review(unlabelled, "1", "venda")

        detail = client(services(unlabelled, inbox), Scope.READ).get("/v1/tickets/zendesk/1").json()

        assert (detail["state"], detail["text"], detail["label"], detail["history"]) == ("unlabelled", "A", None, [])
        assert [review["label"] for review in detail["reviews"]] == ["venda"]

    def test_show_prints_its_state(self, unlabelled: Database, triagem: Triagem) -> None:
        shown = triagem("show", "zendesk", "1")

        assert shown.status == 0
        assert shown.out.splitlines()[:3] == [
            "A",
            "",
            "no result: there was no model; it gets one after a model is promoted",
        ]
