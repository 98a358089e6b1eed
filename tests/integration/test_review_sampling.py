"""Selection of texts for review: the least confident and a random sample, one reviewer each, without a hint."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from statistics import correlation

import pytest
from sqlalchemy import text

from tests.support.results import names, result, set_tombstone
from tests.support.reviewing import NOW, SINCE, VERSION, draw, submit_review, sure, unsure
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.db import Database
from triagem.db.reviews import ReviewTask, lease_disputed_task
from triagem.db.tickets.window import write_window


def ranks(database: Database, version: str = VERSION) -> list[tuple[float, str]]:
    """The ranks of all tickets, lowest first."""
    seed = int.from_bytes(sha256(version.encode()).digest()[:8], signed=True)
    rank = "hashint8extended(id, :seed) / 18446744073709551616::float8 + 0.5"
    query = text(f"SELECT {rank} AS rank, external_id FROM tickets ORDER BY rank")
    with database.autocommit() as connection:
        return [(row.rank, row.external_id) for row in connection.execute(query, {"seed": seed})]


def sampled(database: Database) -> dict[str, float]:
    """The randomly sampled tickets with their thresholds."""
    tickets = {row["id"]: row["external_id"] for row in rows(database, "tickets")}
    drawn = [row for row in rows(database, "review_draws") if row["stratum"] == "random"]
    return {tickets[row["ticket_id"]]: row["inclusion"] for row in drawn}


class TestUnsure:
    def test_the_least_confident_come_first_whatever_their_band(self, database: Database) -> None:
        abstained = result("3", confidence=0.6, band=Band.ABSTAIN)
        write_window(database, [unsure("1", 0.66), unsure("2", 0.51), abstained, sure("4")])

        assert names(draw(database)) == ["2", "3", "1"]

    def test_the_least_confident_are_selected(self, database: Database) -> None:
        write_window(database, [unsure("1", 0.66), unsure("2", 0.51), unsure("3", 0.6)])

        assert names(draw(database, 2)) == ["2", "3"]

    @pytest.mark.parametrize("label", ["suporte", None])
    def test_a_reviewed_text_is_not_selected_again(self, database: Database, label: str | None) -> None:
        write_window(database, [unsure("1"), unsure("2")])
        submit_review(database, "1", label)

        assert names(draw(database)) == ["2"]

    def test_a_changed_text_is_selected_again(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        submit_review(database, "1")
        write_window(database, [unsure("1", text="another", revised_at=NOW)])

        assert [task.text for task in draw(database)] == ["another"]

    def test_old_purged_and_forgotten_ones_are_left_out(self, database: Database) -> None:
        write_window(database, [unsure("old", received_at=SINCE - timedelta(days=1))])
        write_window(database, [unsure(name) for name in ("purged", "forgotten", "here")])
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET text = NULL WHERE external_id = 'purged'"))
        set_tombstone(database, "forgotten")

        assert names(draw(database, random_share=0.5)) == ["here"]


class TestRandomSample:
    def test_the_lowest_ranks_of_all_texts_are_sampled_and_the_next_rank_is_the_threshold(
        self, database: Database
    ) -> None:
        write_window(database, [unsure(str(n)) if n % 3 else sure(str(n)) for n in range(40)])
        expected = ranks(database)

        drawn = draw(database, 10, random_share=1)

        assert sorted(names(drawn)) == sorted(name for _, name in expected[:10])
        assert sampled(database) == {
            name: pytest.approx(threshold) for (_, name), (threshold, _) in pairwise(expected[:11])
        }

    def test_a_second_draw_continues_where_the_first_ended(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(40)])

        for _ in range(4):
            draw(database, 5, random_share=1)

        assert set(sampled(database)) == {name for _, name in ranks(database)[:20]}

    def test_when_all_texts_are_drawn_the_sampling_probability_is_one(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(4)])

        assert len(draw(database, 10, random_share=1)) == 4

        assert max(sampled(database).values()) == 1

    def test_a_reviewed_text_is_sampled_but_not_assigned_again(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(20)])
        (_, first), (_, second) = ranks(database)[:2]
        submit_review(database, first)

        assert names(draw(database, 1, random_share=1)) == [second]

        assert first in sampled(database)

    def test_a_text_selected_as_unsure_can_be_sampled_later(self, database: Database) -> None:
        write_window(database, [unsure(str(n)) for n in range(5)])
        draw(database, 5)

        assert draw(database, 5, random_share=1, reviewer="rui") == []

        assert len(sampled(database)) == 5
        assert {row["leased_by"] for row in rows(database, "review_draws")} == {"ana"}

    def test_another_version_has_other_ranks(self, database: Database) -> None:
        write_window(database, [sure(str(n), model="v1.1.0") for n in range(40)])

        drawn = names(draw(database, 10, random_share=1, version="v1.1.0"))

        assert sorted(drawn) == sorted(name for _, name in ranks(database, "v1.1.0")[:10])
        assert sorted(drawn) != sorted(name for _, name in ranks(database, "v1.0.0")[:10])

    def test_ranks_are_uniform_and_not_correlated_with_names(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(2000)])

        ranked = ranks(database)

        assert max(abs(rank - index / 2000) for index, (rank, _) in enumerate(ranked)) < 0.04  # 1.63 / √n: 1 %
        assert abs(correlation([rank for rank, _ in ranked], [int(name) for _, name in ranked])) < 0.06

    def test_texts_of_a_previous_version_are_not_sampled(self, database: Database) -> None:
        write_window(database, [sure("1"), unsure("2")])

        assert names(draw(database, random_share=0.5, version="v1.1.0")) == ["2"]
        assert sampled(database) == {}

    def test_a_text_that_changed_after_it_was_sampled_is_not_assigned(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(3)])
        draw(database, 3, random_share=1, lease=timedelta(seconds=-1))
        write_window(database, [sure("1", text="another", model="v1.1.0", revised_at=NOW)])

        assert sorted(names(draw(database, 3, random_share=1))) == ["0", "2"]


class TestMixed:
    def test_one_in_five_is_randomly_sampled(self, database: Database) -> None:
        write_window(database, [unsure(str(n)) for n in range(300)] + [sure(str(n)) for n in range(300, 600)])

        drawn = names(draw(database, 200, random_share=0.2))

        assert len(set(drawn)) == 200
        assert 25 <= len(set(drawn) & set(sampled(database))) <= 60

    def test_the_position_in_the_order_does_not_reveal_the_stratum(self, database: Database) -> None:
        write_window(database, [unsure(str(n)) for n in range(60)] + [sure(str(n)) for n in range(60, 400)])
        positions = Counter[int]()
        for seed in range(12):
            drawn = names(draw(database, 5, random_share=0.5, rng=random.Random(seed)))
            positions.update(position for position, name in enumerate(drawn) if int(name) >= 60)

        assert len(positions) == 5
        assert max(positions.values()) <= 3 * min(positions.values()) + 3

    def test_when_one_stratum_is_exhausted_the_other_fills_the_draw(self, database: Database) -> None:
        write_window(database, [unsure("1"), *(sure(str(n)) for n in range(2, 30))])

        assert len(draw(database, 20, random_share=0.01)) == 20

    def test_a_task_shows_neither_its_stratum_nor_the_prediction(self) -> None:
        shown = {field.name for field in fields(ReviewTask)}

        assert shown.isdisjoint(
            {"stratum", "label", "model_label", "confidence", "band", "inclusion", "probabilities"}
        )


class TestLeases:
    @pytest.mark.parametrize("random_share", [0, 1])
    def test_a_leased_text_is_not_assigned_to_others_until_the_lease_expires(
        self, database: Database, random_share: float
    ) -> None:
        write_window(database, [unsure("1")])
        assert names(draw(database, 1, random_share=random_share, lease=timedelta(seconds=-1))) == ["1"]

        assert names(draw(database, random_share=random_share, reviewer="rui")) == ["1"]
        assert names(draw(database, random_share=random_share, reviewer="eva")) == []
        assert names(draw(database, random_share=1 - random_share, reviewer="eva")) == []

    @pytest.mark.parametrize("random_share", [0.0, 0.5, 1.0])
    def test_concurrent_reviewers_never_share_a_ticket_and_miss_none(
        self, database: Database, random_share: float
    ) -> None:
        write_window(database, [unsure(str(n)) for n in range(120)])

        def work(person: int) -> list[str]:
            own = list[str]()
            while drawn := draw(database, 3, reviewer=str(person), random_share=random_share):
                own += names(drawn)
            return own

        with ThreadPoolExecutor(3) as pool:
            assigned = [name for own in pool.map(work, range(3)) for name in own]

        assert sorted(assigned) == sorted(str(n) for n in range(120))


def test_a_disputed_text_is_assigned_once_and_to_a_third_reviewer(database: Database) -> None:
    write_window(database, [sure("disputed"), sure("agreed"), sure("once")])
    submit_review(database, "agreed", "venda", "ana")
    submit_review(database, "agreed", "venda", "rui")
    submit_review(database, "once", "venda", "ana")
    submit_review(database, "disputed", "venda", "ana")
    submit_review(database, "disputed", None, "rui")
    assert lease_disputed_task(database, "ana", since=SINCE) is None
    assert lease_disputed_task(database, "rui", since=SINCE) is None
    task = lease_disputed_task(database, "eva", since=SINCE)
    assert task
    assert task.external_id == "disputed"
    assert lease_disputed_task(database, "ivo", since=SINCE) is None  # excluded, because it is leased
    submit_review(database, "disputed", "suporte", "eva")
    database.execute("UPDATE review_draws SET leased_until = now()")
    assert lease_disputed_task(database, "ivo", since=SINCE) is None
