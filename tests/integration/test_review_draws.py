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
from triagem.db.review_sampling import _RANK, lease_disputed_task
from triagem.db.reviews import ReviewTask, open_leases, release_tasks
from triagem.db.window import write_window


def ranks(database: Database, version: str = VERSION) -> list[tuple[float, str]]:
    """The ranks of all tickets, lowest first."""
    seed = int.from_bytes(sha256(version.encode()).digest()[:8], signed=True)
    query = text(f"SELECT {_RANK} AS rank, external_id FROM tickets t ORDER BY rank")
    with database.autocommit() as connection:
        return [(row.rank, row.external_id) for row in connection.execute(query, {"seed": seed})]


def sampled(database: Database) -> dict[str, float]:
    """The randomly sampled tickets with their thresholds."""
    tickets = {row["id"]: row["external_id"] for row in rows(database, "tickets")}
    drawn = [row for row in rows(database, "review_draws") if row["stratum"] == "random"]
    return {tickets[row["ticket_id"]]: row["inclusion"] for row in drawn}


class TestUnsure:
    def test_the_least_sure_come_first_whatever_kept_them_from_being_automated(self, database: Database) -> None:
        abstained = result("3", confidence=0.6, band=Band.ABSTAIN)
        write_window(database, [unsure("1", 0.66), unsure("2", 0.51), abstained, sure("4")])

        assert names(draw(database)) == ["2", "3", "1"]

    @pytest.mark.parametrize("label", ["suporte", None])
    def test_what_has_a_verdict_is_not_asked_again(self, database: Database, label: str | None) -> None:
        write_window(database, [unsure("1"), unsure("2")])
        submit_review(database, "1", label)

        assert names(draw(database)) == ["2"]

    def test_a_changed_text_is_asked_about_anew(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        submit_review(database, "1")
        write_window(database, [unsure("1", text="another", revised_at=NOW)])

        assert [one.text for one in draw(database)] == ["another"]

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

    def test_a_second_drawing_goes_on_where_the_first_ended(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(40)])

        for _ in range(4):
            draw(database, 5, random_share=1)

        assert set(sampled(database)) == {name for _, name in ranks(database)[:20]}

    def test_when_all_are_drawn_each_was_certain_to_be(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(4)])

        assert len(draw(database, 10, random_share=1)) == 4

        assert max(sampled(database).values()) == 1

    def test_a_text_with_a_verdict_is_drawn_and_not_asked_again(self, database: Database) -> None:
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

    def test_ranks_are_spread_evenly_and_neighbours_have_nothing_in_common(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(2000)])

        found = ranks(database)

        assert max(abs(rank - index / 2000) for index, (rank, _) in enumerate(found)) < 0.04  # 1.63 / √n: 1 in 100
        assert abs(correlation([rank for rank, _ in found], [int(name) for _, name in found])) < 0.06

    def test_of_the_texts_of_a_former_version_none_is_drawn(self, database: Database) -> None:
        write_window(database, [sure("1"), unsure("2")])

        assert names(draw(database, random_share=0.5, version="v1.1.0")) == ["2"]
        assert sampled(database) == {}

    def test_a_text_that_changed_after_it_was_drawn_is_not_asked_about(self, database: Database) -> None:
        write_window(database, [sure(str(n)) for n in range(3)])
        release_tasks(database, "ana", draw(database, 3, random_share=1))
        write_window(database, [sure("1", text="another", model="v1.1.0", revised_at=NOW)])

        assert sorted(names(draw(database, 3, random_share=1))) == ["0", "2"]


class TestMixed:
    def test_one_in_five_is_randomly_sampled(self, database: Database) -> None:
        write_window(database, [unsure(str(n)) for n in range(300)] + [sure(str(n)) for n in range(300, 600)])

        drawn = names(draw(database, 200, random_share=0.2))

        assert len(set(drawn)) == 200
        assert 25 <= len(set(drawn) & set(sampled(database))) <= 60

    def test_the_place_in_the_order_gives_nothing_away(self, database: Database) -> None:
        write_window(database, [unsure(str(n)) for n in range(60)] + [sure(str(n)) for n in range(60, 400)])
        places = Counter[int]()
        for seed in range(12):
            drawn = names(draw(database, 5, random_share=0.5, rng=random.Random(seed)))
            places.update(place for place, name in enumerate(drawn) if int(name) >= 60)

        assert len(places) == 5
        assert max(places.values()) <= 3 * min(places.values()) + 3

    def test_where_one_kind_is_used_up_the_other_takes_its_place(self, database: Database) -> None:
        write_window(database, [unsure("1"), *(sure(str(n)) for n in range(2, 30))])

        assert len(draw(database, 20, random_share=0.01)) == 20

    def test_nothing_says_why_a_text_is_asked_about_or_what_the_model_said(self) -> None:
        shown = {field.name for field in fields(ReviewTask)}

        assert shown.isdisjoint(
            {"stratum", "label", "model_label", "confidence", "band", "inclusion", "probabilities"}
        )


class TestLeases:
    @pytest.mark.parametrize("random_share", [0, 1])
    def test_what_one_holds_the_other_does_not_get_until_the_lease_ends(
        self, database: Database, random_share: float
    ) -> None:
        write_window(database, [unsure("1")])
        assert names(draw(database, 1, random_share=random_share, lease=timedelta(seconds=-1))) == ["1"]

        assert names(draw(database, random_share=random_share, reviewer="rui")) == ["1"]
        assert names(draw(database, random_share=random_share, reviewer="eva")) == []
        assert names(draw(database, random_share=1 - random_share, reviewer="eva")) == []

        assert [(held.external_id, held.reviewer) for held in open_leases(database)] == [("1", "rui")]

    def test_what_is_given_back_can_be_had_at_once(self, database: Database) -> None:
        write_window(database, [unsure("1"), unsure("2")])
        first, second = draw(database)

        release_tasks(database, "ana", [second])
        release_tasks(database, "rui", [first])

        assert names(draw(database, reviewer="rui")) == [second.external_id]

    def test_a_verdict_ends_it(self, database: Database) -> None:
        write_window(database, [unsure("1")])
        draw(database)
        submit_review(database, "1")

        assert open_leases(database) == []

    @pytest.mark.parametrize("random_share", [0.0, 0.5, 1.0])
    def test_people_who_draw_at_once_never_share_a_ticket_and_miss_none(
        self, database: Database, random_share: float
    ) -> None:
        write_window(database, [unsure(str(n)) for n in range(120)])

        def work(person: int) -> list[str]:
            mine = list[str]()
            while drawn := draw(database, 3, reviewer=str(person), random_share=random_share):
                mine += names(drawn)
            return mine

        with ThreadPoolExecutor(3) as pool:
            held = [name for mine in pool.map(work, range(3)) for name in mine]

        assert sorted(held) == sorted(str(n) for n in range(120))


def test_where_two_disagree_a_third_is_asked_once_and_none_of_the_two(database: Database) -> None:
    write_window(database, [sure("disputed"), sure("agreed"), sure("once")])
    submit_review(database, "agreed", "venda", "ana")
    submit_review(database, "agreed", "venda", "rui")
    submit_review(database, "once", "venda", "ana")
    submit_review(database, "disputed", "venda", "ana")
    submit_review(database, "disputed", None, "rui")
    assert lease_disputed_task(database, "ana", since=SINCE) is None
    assert lease_disputed_task(database, "rui", since=SINCE) is None
    asked = lease_disputed_task(database, "eva", since=SINCE)
    assert asked
    assert asked.external_id == "disputed"
    assert lease_disputed_task(database, "ivo", since=SINCE) is None  # it is in hand
    submit_review(database, "disputed", "suporte", "eva")
    release_tasks(database, "eva", [asked])
    assert lease_disputed_task(database, "ivo", since=SINCE) is None
