"""Verdicts: what they change at once, what they are refused for, and what they say of the model."""

import random
from datetime import timedelta

import pytest

from tests.support.results import names
from tests.support.reviewing import NOW, SINCE, VERSION, draw, submit_review, sure, unsure
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.forgetting import delete_related, write_tombstone
from triagem.db.queries import Filters, list_results
from triagem.db.reviews import (
    ReviewRef,
    ReviewRejected,
    draw_tasks,
    model_accuracy,
    record_review,
    release_tasks,
    reviewed_labels,
    undo_review,
)
from triagem.db.window import write_window

TICKET = Identity("zendesk", "1")


class TestVerdict:
    def test_it_is_the_label_at_once(self, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])

        submit_review(database, "1", "suporte")

        (row,) = list_results(database, Filters(), limit=2).rows
        assert (row.label, row.model_label, row.reviewer) == ("suporte", "venda", "ana")

    def test_unclear_leaves_the_model_s_label_and_counts_as_reviewed(self, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])
        submit_review(database, "1", "suporte")

        submit_review(database, "1", None, "rui")

        (row,) = rows(database, "results")
        assert (row["label"], row["reviewed"], row["unclear"], row["reviewer"]) == ("venda", True, True, "rui")

    def test_it_keeps_how_the_text_came_to_be_asked_about_and_what_the_model_said(self, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])
        draw(database)
        submit_review(database, "1", "suporte")

        (row,) = rows(database, "reviews")
        assert (row["stratum"], row["inclusion"]) == ("unsure", None)
        assert (row["model_version"], row["model_label"]) == (VERSION, "venda")

    def test_one_that_nobody_asked_for_says_so(self, database: Database) -> None:
        write_window(database, [sure("1")])
        submit_review(database, "1", "suporte")

        (row,) = rows(database, "reviews")
        assert (row["stratum"], row["model_version"]) == (None, None)

    def test_a_text_that_changed_meanwhile_is_not_judged(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        (seen,) = draw(database)
        write_window(database, [unsure("1", text="another", revised_at=NOW)])

        assert record_review(database, TICKET, "venda", "ana", digest=seen.digest) is ReviewRejected.CHANGED

        assert rows(database, "reviews") == []

    def test_neither_is_a_forgotten_or_an_unknown_ticket(self, database: Database) -> None:
        assert record_review(database, TICKET, "venda", "ana") is ReviewRejected.GONE
        write_window(database, [unsure("1")])
        (seen,) = draw(database)
        write_tombstone(database, TICKET)

        assert record_review(database, TICKET, "venda", "ana", digest=seen.digest) is ReviewRejected.GONE
        assert record_review(database, TICKET, "venda", "ana") is ReviewRejected.GONE

        delete_related(database, TICKET)
        assert rows(database, "reviews") == rows(database, "review_draws") == []

    def test_one_s_own_can_be_taken_back_and_the_text_is_in_hand_again(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        draw(database)
        verdict = submit_review(database, "1", "suporte")

        assert not undo_review(database, ReviewRef(verdict.id, "rui"))
        assert undo_review(database, verdict)
        assert not undo_review(database, verdict)

        assert rows(database, "reviews") == []
        assert draw(database, reviewer="rui") == []

    def test_the_labels_that_people_gave_are_known(self, database: Database) -> None:
        write_window(database, [unsure("1"), unsure("2"), unsure("3")])
        for name, label in (("1", "venda"), ("2", "cobranca"), ("3", None)):
            submit_review(database, name, label)

        assert reviewed_labels(database) == ["cobranca", "venda"]


class TestAccuracy:
    def test_it_is_that_of_all_texts_not_of_those_that_were_asked_about(self, database: Database) -> None:
        """Of 400 texts a tenth is unsure, and the model is always wrong there and never elsewhere."""
        write_window(database, [unsure(str(n), 0.5 + n / 1000, label="wrong") for n in range(40)])
        write_window(database, [sure(str(n), label="right") for n in range(40, 400)])
        for drawn in draw_tasks(database, "ana", 100, version=VERSION, since=SINCE, rng=random.Random(1)):
            submit_review(database, drawn.external_id, "right")

        found = model_accuracy(database, VERSION)

        assert found is not None
        assert found.value == pytest.approx(0.9)
        assert [(stratum.name, stratum.texts) for stratum in found.strata] == [("asked", 40), ("sure", 360)]
        assert (found.texts, found.reviews, found.uncounted) == (400, 100, 0)

    def test_unsure_texts_beyond_the_first_that_was_not_asked_count_only_if_drawn_by_lot(
        self, database: Database
    ) -> None:
        write_window(database, [unsure(str(n), 0.5 + n / 1000, label="venda") for n in range(60)])
        for drawn in draw(database, 15):
            if drawn.external_id == "5":
                release_tasks(database, "ana", [drawn])
            else:
                submit_review(database, drawn.external_id, "suporte")
        sampled = draw(database, 3, random_share=1)
        assert "5" not in names(sampled)
        for drawn in sampled:
            submit_review(database, drawn.external_id, "venda")

        found = model_accuracy(database, VERSION)

        assert found is not None
        asked, rest = found.strata
        assert (asked.name, asked.texts, asked.reviews, asked.accuracy) == ("asked", 5, 5, 0)
        assert (rest.name, rest.texts) == ("unsure", 55)
        assert 0 < rest.accuracy < 1
        assert found.uncounted == 14 + 3 - 5 - rest.reviews

    def test_one_that_was_skipped_is_as_good_as_unclear(self, database: Database) -> None:
        write_window(database, [*(unsure(str(n), 0.5 + n / 1000, label="venda") for n in range(20)), sure("sure")])
        for drawn in draw(database, 1, random_share=1) + draw(database, 20):
            if drawn.external_id != "5":
                submit_review(database, drawn.external_id, "venda")

        found = model_accuracy(database, VERSION)

        assert found is not None
        assert [(one.name, one.texts, one.reviews) for one in found.strata][:1] == [("asked", 20, 19)]

    def test_a_complaint_about_a_mistake_does_not_weigh_more_than_a_lot(self, database: Database) -> None:
        write_window(database, [sure(str(n), label="venda") for n in range(100)])
        for name in range(50):
            submit_review(database, str(name), "suporte")  # nobody asked

        for drawn in draw(database, 20, random_share=1):
            submit_review(database, drawn.external_id, "venda")

        found = model_accuracy(database, VERSION)
        assert found is not None
        assert found.low < 0.5 < found.high
        assert found.uncounted > 0

    def test_nothing_is_said_before_somebody_answered_a_lot(self, database: Database) -> None:
        write_window(database, [unsure("1"), sure("2")])
        draw(database, random_share=1)

        assert model_accuracy(database, VERSION) is None

    def test_what_came_later_than_the_last_drawing_or_before_since_is_left_out(self, database: Database) -> None:
        write_window(database, [sure("old", received_at=NOW - timedelta(days=9)), sure("1"), sure("2")])
        for drawn in draw(database, random_share=1):
            submit_review(database, drawn.external_id)
        write_window(database, [sure("late", classified_at=NOW + timedelta(days=900))])

        whole, part = model_accuracy(database, VERSION), model_accuracy(database, VERSION, NOW - timedelta(days=1))

        assert whole is not None
        assert part is not None
        assert (whole.texts, part.texts) == (3, 2)

    def test_a_text_that_changed_after_the_verdict_does_not_count(self, database: Database) -> None:
        write_window(database, [sure("1"), sure("2")])
        for drawn in draw(database, random_share=1):
            submit_review(database, drawn.external_id)
        write_window(database, [sure("1", text="another", revised_at=NOW)])

        found = model_accuracy(database, VERSION)

        assert found is not None
        assert found.reviews == 1

    def test_a_former_version_is_judged_by_what_it_said(self, database: Database) -> None:
        write_window(database, [sure(str(n), label="venda") for n in range(9)])
        for drawn in draw(database, random_share=1):
            submit_review(database, drawn.external_id, "suporte")
        write_window(database, [sure(str(n), label="suporte", model="v1.1.0", epoch=2) for n in range(9)])
        draw(database, random_share=1, version="v1.1.0")

        former, current = model_accuracy(database, VERSION), model_accuracy(database, "v1.1.0")

        assert former is not None
        assert current is not None
        assert (former.value, current.value, current.reviews) == (0, 1, 9)

    def test_the_latest_verdict_is_the_truth(self, database: Database) -> None:
        write_window(database, [sure("1", label="venda"), sure("2", label="venda", band=Band.AUTOMATE)])
        draw(database, random_share=1)
        submit_review(database, "1", "suporte")
        submit_review(database, "1", "venda", "rui")
        submit_review(database, "2", None)

        found = model_accuracy(database, VERSION)

        assert found is not None
        assert (found.value, found.reviews, found.unclear) == (1, 1, 1)
        assert names(draw(database, random_share=1)) == []
