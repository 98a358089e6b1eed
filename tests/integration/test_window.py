"""The window's statement on a real Postgres. Each test is named after the sequence that it prevents: INV-12 to 17."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from operator import attrgetter
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests.support.builders import NOW, YESTERDAY
from tests.support.windows import (
    NO_CHANGES,
    all_rows,
    current,
    digest,
    doubtful,
    effective_result,
    history,
    result,
    rows,
)
from triagem.contracts.prediction import AbstainReason, Band
from triagem.contracts.ticket import Lane
from triagem.db import Database
from triagem.db.tickets.queries import find_ticket_with_history
from triagem.db.tickets.window import ClassifiedTicket, WindowCounts, look_up, write_window

BOTH_WAYS: Final = pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])


_drawn = count()


def _ticket_detail(database: Database) -> Any:
    return find_ticket_with_history(database, "zendesk", "4711")


class TestOneRowPerIdentity:
    """INV-12: ON CONFLICT cannot touch a row twice in one statement."""

    def test_a_window_with_three_revisions_of_one_ticket_is_stored_as_the_newest(self, database: Database) -> None:
        window = [result("A", minute=1), result("C", minute=3), result("B", minute=2)]

        assert write_window(database, window) == WindowCounts(predictions=1, alerts=0)

        assert current(database) == ("C", "v1.0.0", 1)
        assert history(database) == {("C", "v1.0.0")}

    def test_a_ticket_is_stored_as_it_is(self, database: Database) -> None:
        submitted = doubtful(
            "Olá\n\n“não funciona” 🙁 \\ ' % :x", metadata={"vip": True, "tags": ["a", None, 1.5, {"ü": ""}]}
        )

        assert write_window(database, [submitted]) == WindowCounts(predictions=1, alerts=1)

        (row,) = rows(database, "tickets")
        (prediction,) = rows(database, "predictions")
        assert (row["text"], row["metadata"]) == (submitted.ticket.text, submitted.ticket.metadata)
        assert (row["revised_at"], row["received_at"], row["classified_at"]) == (YESTERDAY, NOW, NOW)
        assert prediction.pop("latency_s") > 0
        assert prediction == {name: row[name] for name in prediction if name != "ticket_id"} | {
            "ticket_id": row["id"]
        }
        assert (prediction["probabilities"], prediction["band"]) == ({"venda": 0.6, "other": 0.4}, "review")

    def test_an_empty_window_does_not_query_the_database(self) -> None:
        with Database("postgresql://nobody@127.0.0.1:1/nowhere") as unreachable:
            assert write_window(unreachable, []) == NO_CHANGES


class TestRedelivery:
    """INV-14: a redelivery changes nothing, whatever its reason."""

    def test_a_redelivered_window_changes_no_row(self, database: Database) -> None:
        window = [doubtful(external_id=str(n), lane=lane) for n, lane in enumerate([Lane.LIVE, Lane.BULK] * 10)]
        assert write_window(database, window) == WindowCounts(predictions=20, alerts=10)
        before = all_rows(database)

        again = [replace(row, classified_at=NOW + timedelta(hours=1)) for row in window]
        assert write_window(database, again) == NO_CHANGES

        assert all_rows(database) == before

    def test_a_redelivery_writes_no_version_of_the_ticket(self, database: Database) -> None:
        write_window(database, [result()])
        with database.autocommit() as connection:
            before = connection.execute(text("SELECT xmin FROM tickets")).scalar_one()

            write_window(database, [result()])

            assert connection.execute(text("SELECT xmin FROM tickets")).scalar_one() == before

    def test_an_unchanged_text_that_comes_again_later_keeps_the_time_of_its_result(self, database: Database) -> None:
        write_window(database, [result(minute=1)])

        write_window(database, [replace(result(minute=2, arrival=2), classified_at=NOW + timedelta(hours=1))])

        (row,) = rows(database, "tickets")
        assert (row["revised_at"], row["classified_at"]) == (YESTERDAY + timedelta(minutes=2), NOW)

    def test_a_redelivery_restores_a_prediction_that_is_missing_in_the_history(self, database: Database) -> None:
        write_window(database, [result()])
        with database.autocommit() as connection:
            connection.execute(text("DELETE FROM predictions"))

        assert write_window(database, [result()]) == WindowCounts(predictions=1, alerts=0)

        assert history(database) == {("A", "v1.0.0")}

    def test_an_entry_of_the_live_lane_makes_a_ticket_live_that_came_in_bulk(self, database: Database) -> None:
        write_window(database, [result(lane=Lane.BULK)])

        write_window(database, [result(lane=Lane.LIVE)])

        assert [row["lane"] for row in rows(database, "tickets")] == ["live"]

    def test_a_redelivery_in_other_windows_changes_no_row(self, database: Database) -> None:
        window = [doubtful(external_id=str(n)) for n in range(6)]
        write_window(database, window)
        before = all_rows(database)

        assert [write_window(database, window[start : start + 4][::-1]) for start in (3, 1, 0)] == [NO_CHANGES] * 3

        assert all_rows(database) == before

    def test_received_at_is_the_first_receipt_whatever_comes_later(self, database: Database) -> None:
        write_window(database, [result("A", minute=1)])
        later = replace(result("B", minute=2), received_at=NOW + timedelta(hours=1))

        write_window(database, [later])

        assert current(database)[0] == "B"
        assert effective_result(database).received_at == NOW

    @BOTH_WAYS
    def test_received_at_is_the_first_receipt_within_a_window_too(self, database: Database, order: int) -> None:
        window = [result("A", minute=1), replace(result("B", minute=2), received_at=NOW + timedelta(hours=1))]

        write_window(database, window[::order])

        assert current(database)[0] == "B"
        assert effective_result(database).received_at == NOW


class TestForwardOnly:
    """INV-14 and 15: the current result moves forward by revision and epoch; the history keeps all."""

    def test_an_older_revision_that_comes_after_a_newer_one_is_only_history(self, database: Database) -> None:
        write_window(database, [result("B", minute=2)])
        (before,) = rows(database, "tickets")

        assert write_window(database, [doubtful("A", minute=1, metadata={"old": True})]) == WindowCounts(1, 0)

        assert rows(database, "tickets") == [before]
        assert history(database) == {("A", "v1.0.0"), ("B", "v1.0.0")}

    @BOTH_WAYS
    @pytest.mark.parametrize(("first", "last"), ["AB", "BA"])
    def test_of_two_texts_with_one_revision_time_the_last_to_arrive_wins_in_any_order(
        self, database: Database, first: str, last: str, order: int
    ) -> None:
        for row in [result(first, arrival=1), result(last, arrival=2)][::order]:
            write_window(database, [row])

        assert current(database)[0] == last

    def test_a_late_worker_with_the_previous_epoch_changes_nothing_current(self, database: Database) -> None:
        write_window(database, [result("A", model="v1.1.0", epoch=2)])
        (before,) = rows(database, "tickets")

        assert write_window(database, [doubtful("A", model="v1.0.0", epoch=1)]) == WindowCounts(1, 0)

        assert rows(database, "tickets") == [before]
        assert history(database) == {("A", "v1.0.0"), ("A", "v1.1.0")}

    def test_a_late_worker_with_the_previous_epoch_still_brings_a_newer_text(self, database: Database) -> None:
        write_window(database, [result("A", minute=1, model="v1.1.0", epoch=2)])

        write_window(database, [result("B", minute=2, model="v1.0.0", epoch=1)])

        assert current(database) == ("B", "v1.0.0", 1)

    def test_a_late_worker_that_gets_the_same_text_again_keeps_the_result_of_the_later_promotion(
        self, database: Database
    ) -> None:
        write_window(database, [result("A", minute=1, model="v1.1.0", epoch=2)])

        write_window(database, [result("A", minute=2, model="v1.0.0", epoch=1)])

        assert current(database) == ("A", "v1.1.0", 2)
        assert rows(database, "tickets")[0]["revised_at"] == YESTERDAY + timedelta(minutes=2)

    def test_after_a_rollback_the_older_version_wins_by_its_higher_epoch(self, database: Database) -> None:
        write_window(database, [result("A", model="v1.0.0", epoch=1)])
        write_window(database, [result("A", model="v1.1.0", epoch=2)])

        assert (
            write_window(database, [result("A", model="v1.0.0", epoch=3)]) == NO_CHANGES
        )  # the history has it already

        assert current(database) == ("A", "v1.0.0", 3)
        assert history(database) == {("A", "v1.0.0"), ("A", "v1.1.0")}

    def test_a_text_that_is_edited_and_edited_back_is_current_again(self, database: Database) -> None:
        for minute, content in enumerate("ABA"):
            write_window(database, [result(content, minute=minute)])

        (row,) = rows(database, "tickets")
        assert (row["text"], row["revised_at"]) == ("A", YESTERDAY + timedelta(minutes=2))
        assert history(database) == {("A", "v1.0.0"), ("B", "v1.0.0")}

    def test_a_text_edited_back_that_a_worker_classified_again_has_that_result_in_the_history(
        self, database: Database
    ) -> None:
        """Another worker, with another review budget, looked the text up before the first result was stored."""
        write_window(database, [doubtful("A", confidence=0.8)])
        write_window(database, [result("B", minute=1)])

        write_window(database, [result("A", minute=2, confidence=0.8)])
        write_window(database, [doubtful("A", minute=3, confidence=0.8)])  # the same text: the result stays

        assert current(database)[0] == "A"
        bands = {row["digest"]: row["band"] for row in rows(database, "predictions")}
        (stored,) = rows(database, "tickets")
        assert (bands[digest("A")], stored["band"]) == (Band.AUTOMATE, Band.AUTOMATE)

    def test_a_known_text_becomes_current_with_its_stored_prediction(self, database: Database) -> None:
        first = doubtful("A", minute=0, confidence=0.6543210987654321, label="suporte")
        write_window(database, [first])
        write_window(database, [result("B", minute=1)])

        cached, classified_at = look_up(database, [("zendesk", "4711", digest("A"))], "v1.0.0")[0][0]
        assert (cached, classified_at) == (first.prediction, first.classified_at)
        assert (
            write_window(database, [replace(result("A", minute=2), prediction=cached, classified_at=classified_at)])
            == NO_CHANGES
        )

        row = effective_result(database)
        assert (row.label, row.confidence, row.classified_at) == ("suporte", 0.6543210987654321, NOW)
        assert [row["is_current"] for row in _ticket_detail(database).history if row["label"] == "suporte"] == [True]

    def test_a_result_without_a_decision_keeps_its_reason_until_a_newer_text_has_one(
        self, database: Database
    ) -> None:
        write_window(database, [undecided := result("A", band=Band.ABSTAIN, reason=AbstainReason.GREETING)])
        assert effective_result(database).abstain_reason == "greeting"
        known = look_up(database, [("zendesk", "4711", digest("A"))], "v1.0.0")[0]
        assert known[0][0] == undecided.prediction
        (row,) = rows(database, "analytics.history")
        assert row["abstain_reason"] == "greeting"

        write_window(database, [result("B", minute=1)])

        assert effective_result(database).abstain_reason is None

    def test_cached_predictions_match_ticket_text_and_version(self, database: Database) -> None:
        write_window(database, [result("A", external_id="1"), result("B", external_id="2")])

        texts = [("zendesk", "1", digest("B")), ("zendesk", "2", digest("B")), ("hubspot", "1", digest("A"))]

        assert list(look_up(database, texts, "v1.0.0")[0]) == [1]
        assert look_up(database, texts, "v1.1.0")[0] == {}
        assert look_up(database, [], "v1.0.0")[0] == {}

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 2)), min_size=1, max_size=5),
        st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=3), max_size=5),
    )
    def test_however_results_come_the_newest_text_by_its_latest_promotion_is_current(
        self, database: Database, entries: list[tuple[str, int]], deliveries: list[list[tuple[int, int]]]
    ) -> None:
        """Entries are texts with a revision time, in the order of their arrival; each delivery has an epoch."""
        name, revision, before = f"drawn {next(_drawn)}", 1, b""
        arrived: list[ClassifiedTicket] = []
        for delivery in deliveries:
            window = [
                result(text, minute=minute, arrival=index, epoch=epoch, external_id=name)
                for index, epoch in delivery
                for text, minute in entries[index : index + 1]
            ]
            write_window(database, window)
            arrived += window
            for row in rows(database, "tickets"):
                if row["external_id"] == name:
                    newest = max(arrived, key=attrgetter("rank"))
                    assert (row["revised_at"], row["arrival"]) == (newest.ticket.revised_at, newest.arrival)
                    assert row["digest"] == newest.digest
                    assert row["epoch"] >= newest.epoch
                    assert row["revision"] == revision + (before not in (b"", row["digest"]))
                    revision, before = row["revision"], row["digest"]


class TestRevisions:
    """INV-31: the statement that stores a changed text gives it the ticket's next revision."""

    def test_each_different_text_is_the_next_revision(self, database: Database) -> None:
        for minute, content in enumerate("ABBA"):
            write_window(database, [result(content, minute=minute)])

        (row,) = rows(database, "tickets")
        assert (row["text"], row["revision"]) == ("A", 3)
        judged = {row["digest"]: row["revision"] for row in rows(database, "predictions")}
        assert judged == {digest("A"): 1, digest("B"): 2}

    def test_a_redelivery_is_not_a_new_revision(self, database: Database) -> None:
        for content in ("A", "B", "A", "B"):
            write_window(database, [result(content, arrival=ord(content))])

        assert rows(database, "tickets")[0]["revision"] == 2

    def test_a_text_that_comes_late_has_no_revision(self, database: Database) -> None:
        write_window(database, [result("B", minute=2)])
        write_window(database, [result("A", minute=1)])

        assert rows(database, "tickets")[0]["revision"] == 1
        judged = {row["digest"]: row["revision"] for row in rows(database, "predictions")}
        assert judged == {digest("A"): None, digest("B"): 1}
