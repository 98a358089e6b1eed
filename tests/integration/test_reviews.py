"""Reviews: immediate effect, refusals, undo, and the model accuracy estimated from them."""

import random
from datetime import timedelta

import pytest

from tests.support.results import names
from tests.support.reviewing import NOW, SINCE, VERSION, draw, submit_review, sure, trained_on, unsure
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity
from triagem.db import Database
from triagem.db.labels import review_choices
from triagem.db.reviews import (
    ReviewRejected,
    draw_tasks,
    model_accuracy,
    record_review,
    undo_review,
)
from triagem.db.tickets.forgetting import delete_related, write_tombstone
from triagem.db.tickets.queries import Filters, list_results
from triagem.db.tickets.window import write_window

TICKET = Identity("zendesk", "1")


class TestVerdict:
    def test_a_verdict_is_the_effective_label_at_once(self, database: Database) -> None:
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

    def test_it_stores_the_stratum_and_the_models_prediction(self, database: Database) -> None:
        write_window(database, [unsure("1", label="venda")])
        draw(database)
        submit_review(database, "1", "suporte")

        (row,) = rows(database, "reviews")
        assert (row["stratum"], row["inclusion"]) == ("unsure", None)
        assert (row["model_version"], row["model_label"]) == (VERSION, "venda")

    def test_an_unsolicited_review_has_no_stratum(self, database: Database) -> None:
        write_window(database, [sure("1")])
        submit_review(database, "1", "suporte")

        (row,) = rows(database, "reviews")
        assert (row["stratum"], row["model_version"]) == (None, None)

    def test_a_text_that_changed_meanwhile_is_not_reviewed(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        (task,) = draw(database)
        write_window(database, [unsure("1", text="another", revised_at=NOW)])

        assert record_review(database, TICKET, "venda", "ana", digest=task.digest) is ReviewRejected.CHANGED

        assert rows(database, "reviews") == []

    def test_a_forgotten_or_unknown_ticket_is_not_reviewed(self, database: Database) -> None:
        assert record_review(database, TICKET, "venda", "ana") is ReviewRejected.GONE
        write_window(database, [unsure("1")])
        (task,) = draw(database)
        write_tombstone(database, TICKET)

        assert record_review(database, TICKET, "venda", "ana", digest=task.digest) is ReviewRejected.GONE
        assert record_review(database, TICKET, "venda", "ana") is ReviewRejected.GONE

        delete_related(database, TICKET)
        assert rows(database, "reviews") == rows(database, "review_draws") == []

    def test_a_reviewers_own_verdict_can_be_undone_and_the_text_is_leased_again(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        draw(database)
        verdict = submit_review(database, "1", "suporte")

        assert not undo_review(database, verdict, "rui")
        assert undo_review(database, verdict, "ana")
        assert not undo_review(database, verdict, "ana")

        assert rows(database, "reviews") == []
        assert draw(database, reviewer="rui") == []

    def test_the_labels_that_reviewers_gave_are_known(self, database: Database) -> None:
        write_window(database, [unsure("1"), unsure("2"), unsure("3")])
        for name, label in (("1", "venda"), ("2", "cobranca"), ("3", None)):
            submit_review(database, name, label)

        assert review_choices(database, ["suporte"]) == ["suporte", "venda", "cobranca"]


class TestAccuracy:
    def test_it_is_estimated_for_all_texts_not_only_the_reviewed_ones(self, database: Database) -> None:
        """The model is unsure of 10% of 400 texts. It is wrong on all of these and right on all others."""
        write_window(database, [unsure(str(n), 0.5 + n / 1000, label="wrong") for n in range(40)])
        write_window(database, [sure(str(n), label="right") for n in range(40, 400)])
        for task in draw_tasks(database, "ana", 100, version=VERSION, since=SINCE, rng=random.Random(1)):
            submit_review(database, task.external_id, "right")

        accuracy = model_accuracy(database, VERSION)

        assert accuracy is not None
        assert accuracy.value == pytest.approx(0.9)
        assert [(stratum.name, stratum.texts) for stratum in accuracy.strata] == [("asked", 40), ("sure", 360)]
        assert (accuracy.texts, accuracy.reviews, accuracy.uncounted) == (400, 100, 0)

    def test_unsure_texts_after_the_first_unreviewed_one_count_only_if_sampled_at_random(
        self, database: Database
    ) -> None:
        write_window(database, [unsure(str(n), 0.5 + n / 1000, label="venda") for n in range(60)])
        for task in draw(database, 15):
            if task.external_id != "5":
                submit_review(database, task.external_id, "suporte")
        database.execute("UPDATE review_draws SET leased_by = NULL, leased_until = NULL")
        sampled = draw(database, 3, random_share=1)
        assert "5" not in names(sampled)
        for task in sampled:
            submit_review(database, task.external_id, "venda")

        accuracy = model_accuracy(database, VERSION)

        assert accuracy is not None
        assigned, others = accuracy.strata
        assert (assigned.name, assigned.texts, assigned.reviews, assigned.accuracy) == ("asked", 5, 5, 0)
        assert (others.name, others.texts) == ("unsure", 55)
        assert 0 < others.accuracy < 1
        assert accuracy.uncounted == 14 + 3 - 5 - others.reviews

    def test_a_skipped_text_counts_like_an_unclear_one(self, database: Database) -> None:
        write_window(database, [*(unsure(str(n), 0.5 + n / 1000, label="venda") for n in range(20)), sure("sure")])
        for task in draw(database, 1, random_share=1) + draw(database, 20):
            if task.external_id != "5":
                submit_review(database, task.external_id, "venda")

        accuracy = model_accuracy(database, VERSION)

        assert accuracy is not None
        assert [(stratum.name, stratum.texts, stratum.reviews) for stratum in accuracy.strata][:1] == [
            ("asked", 20, 19)
        ]

    def test_unsolicited_reviews_do_not_bias_the_estimate(self, database: Database) -> None:
        write_window(database, [sure(str(n), label="venda") for n in range(100)])
        for name in range(50):
            submit_review(database, str(name), "suporte")  # unsolicited

        for task in draw(database, 20, random_share=1):
            submit_review(database, task.external_id, "venda")

        accuracy = model_accuracy(database, VERSION)
        assert accuracy is not None
        assert accuracy.low < 0.5 < accuracy.high
        assert accuracy.uncounted > 0

    def test_texts_that_the_version_was_trained_on_are_left_out(self, database: Database) -> None:
        """It is right about the 30 texts that it was trained on, and wrong about the others."""
        write_window(database, [unsure(str(n), 0.5 + n / 1000, label="wrong") for n in range(10)])
        write_window(database, [sure(str(n), label="right" if n < 40 else "wrong") for n in range(10, 60)])
        for task in draw(database, 10) + draw(database, 50, random_share=1):
            submit_review(database, task.external_id, "right")
        trained = trained_on(5, *range(10, 40)).train

        accuracy = model_accuracy(database, VERSION, trained=trained)

        assert accuracy is not None
        assert (accuracy.value, accuracy.texts, accuracy.reviews, accuracy.uncounted) == (0, 29, 29, 0)
        assert accuracy.trained == 31
        assert [(stratum.name, stratum.texts) for stratum in accuracy.strata] == [("asked", 9), ("sure", 20)]

    def test_there_is_no_estimate_before_a_sampled_text_is_reviewed(self, database: Database) -> None:
        write_window(database, [unsure("1"), sure("2")])
        draw(database, random_share=1)

        assert model_accuracy(database, VERSION) is None

    def test_texts_after_the_last_draw_or_before_since_are_excluded(self, database: Database) -> None:
        write_window(database, [sure("old", received_at=NOW - timedelta(days=9)), sure("1"), sure("2")])
        for task in draw(database, random_share=1):
            submit_review(database, task.external_id)
        write_window(database, [sure("late", classified_at=NOW + timedelta(days=900))])

        all_texts, recent_texts = (
            model_accuracy(database, VERSION),
            model_accuracy(database, VERSION, NOW - timedelta(days=1)),
        )

        assert all_texts is not None
        assert recent_texts is not None
        assert (all_texts.texts, recent_texts.texts) == (3, 2)

    def test_a_text_that_changed_after_the_verdict_does_not_count(self, database: Database) -> None:
        write_window(database, [sure("1"), sure("2")])
        for task in draw(database, random_share=1):
            submit_review(database, task.external_id)
        write_window(database, [sure("1", text="another", revised_at=NOW)])

        accuracy = model_accuracy(database, VERSION)

        assert accuracy is not None
        assert accuracy.reviews == 1

    def test_a_previous_version_is_measured_by_its_own_predictions(self, database: Database) -> None:
        write_window(database, [sure(str(n), label="venda") for n in range(9)])
        for task in draw(database, random_share=1):
            submit_review(database, task.external_id, "suporte")
        write_window(database, [sure(str(n), label="suporte", model="v1.1.0", epoch=2) for n in range(9)])
        draw(database, random_share=1, version="v1.1.0")

        previous, current = model_accuracy(database, VERSION), model_accuracy(database, "v1.1.0")

        assert previous is not None
        assert current is not None
        assert (previous.value, current.value, current.reviews) == (0, 1, 9)

    def test_the_latest_verdict_counts(self, database: Database) -> None:
        write_window(database, [sure("1", label="venda"), sure("2", label="venda", band=Band.AUTOMATE)])
        draw(database, random_share=1)
        submit_review(database, "1", "suporte")
        submit_review(database, "1", "venda", "rui")
        submit_review(database, "2", None)

        accuracy = model_accuracy(database, VERSION)

        assert accuracy is not None
        assert (accuracy.value, accuracy.reviews, accuracy.unclear) == (1, 1, 1)
        assert names(draw(database, random_share=1)) == []
