"""Which texts people are handed: the least sure and some by lot, never one to two people, never with a hint."""

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

from tests.support.results import forget, names, result
from tests.support.reviewing import NOW, SINCE, VERSION, give, hand_out, sure, unsure
from tests.support.windows import rows
from triagem.contracts.prediction import Band
from triagem.db import Database
from triagem.db.draws import _LOT, third_look
from triagem.db.reviews import Drawn, give_back, holding
from triagem.db.window import write


def lots(database: Database, version: str = VERSION) -> list[tuple[float, str]]:
    """The lots of all tickets, lowest first."""
    seed = int.from_bytes(sha256(version.encode()).digest()[:8], signed=True)
    query = text(f"SELECT {_LOT} AS lot, external_id FROM tickets t ORDER BY lot")
    with database.autocommit() as connection:
        return [(row.lot, row.external_id) for row in connection.execute(query, {"seed": seed})]


def by_lot(database: Database) -> dict[str, float]:
    """What was drawn by lot, with its reach."""
    tickets = {row["id"]: row["external_id"] for row in rows(database, "tickets")}
    drawn = [row for row in rows(database, "review_draws") if row["stratum"] == "random"]
    return {tickets[row["ticket_id"]]: row["inclusion"] for row in drawn}


class TestUnsure:
    def test_the_least_sure_come_first_whatever_kept_them_from_being_automated(self, database: Database) -> None:
        abstained = result("3", confidence=0.6, band=Band.ABSTAIN)
        write(database, [unsure("1", 0.66), unsure("2", 0.51), abstained, sure("4")])

        assert names(hand_out(database)) == ["2", "3", "1"]

    @pytest.mark.parametrize("label", ["suporte", None])
    def test_what_has_a_verdict_is_not_asked_again(self, database: Database, label: str | None) -> None:
        write(database, [unsure("1"), unsure("2")])
        give(database, "1", label)

        assert names(hand_out(database)) == ["2"]

    def test_a_changed_text_is_asked_about_anew(self, database: Database) -> None:
        write(database, [unsure("1")])
        give(database, "1")
        write(database, [unsure("1", words="another", revised_at=NOW)])

        assert [one.text for one in hand_out(database)] == ["another"]

    def test_old_purged_and_forgotten_ones_are_left_out(self, database: Database) -> None:
        write(database, [unsure("old", received_at=SINCE - timedelta(days=1))])
        write(database, [unsure(name) for name in ("purged", "forgotten", "here")])
        with database.autocommit() as connection:
            connection.execute(text("UPDATE tickets SET text = NULL WHERE external_id = 'purged'"))
        forget(database, "forgotten")

        assert names(hand_out(database, random_share=0.5)) == ["here"]


class TestByLot:
    def test_the_lowest_lots_of_all_texts_are_drawn_and_the_next_lot_is_the_reach(self, database: Database) -> None:
        write(database, [unsure(str(n)) if n % 3 else sure(str(n)) for n in range(40)])
        expected = lots(database)

        drawn = hand_out(database, 10, random_share=1)

        assert sorted(names(drawn)) == sorted(name for _, name in expected[:10])
        assert by_lot(database) == {name: pytest.approx(reach) for (_, name), (reach, _) in pairwise(expected[:11])}

    def test_a_second_drawing_goes_on_where_the_first_ended(self, database: Database) -> None:
        write(database, [sure(str(n)) for n in range(40)])

        for _ in range(4):
            hand_out(database, 5, random_share=1)

        assert set(by_lot(database)) == {name for _, name in lots(database)[:20]}

    def test_when_all_are_drawn_each_was_certain_to_be(self, database: Database) -> None:
        write(database, [sure(str(n)) for n in range(4)])

        assert len(hand_out(database, 10, random_share=1)) == 4

        assert max(by_lot(database).values()) == 1

    def test_a_text_with_a_verdict_is_drawn_and_not_asked_again(self, database: Database) -> None:
        write(database, [sure(str(n)) for n in range(20)])
        (_, first), (_, second) = lots(database)[:2]
        give(database, first)

        assert names(hand_out(database, 1, random_share=1)) == [second]

        assert first in by_lot(database)

    def test_what_was_asked_for_its_doubt_can_be_drawn_by_lot_later(self, database: Database) -> None:
        write(database, [unsure(str(n)) for n in range(5)])
        hand_out(database, 5)

        assert hand_out(database, 5, random_share=1, reviewer="rui") == []

        assert len(by_lot(database)) == 5
        assert {row["leased_by"] for row in rows(database, "review_draws")} == {"ana"}

    def test_another_version_has_other_lots(self, database: Database) -> None:
        write(database, [sure(str(n), model="v1.1.0") for n in range(40)])

        drawn = names(hand_out(database, 10, random_share=1, version="v1.1.0"))

        assert sorted(drawn) == sorted(name for _, name in lots(database, "v1.1.0")[:10])
        assert sorted(drawn) != sorted(name for _, name in lots(database, "v1.0.0")[:10])

    def test_lots_are_spread_evenly_and_neighbours_have_nothing_in_common(self, database: Database) -> None:
        write(database, [sure(str(n)) for n in range(2000)])

        found = lots(database)

        assert max(abs(lot - place / 2000) for place, (lot, _) in enumerate(found)) < 0.04  # 1.63 / √n: 1 in 100
        assert abs(correlation([lot for lot, _ in found], [int(name) for _, name in found])) < 0.06

    def test_of_the_texts_of_a_former_version_none_is_drawn(self, database: Database) -> None:
        write(database, [sure("1"), unsure("2")])

        assert names(hand_out(database, random_share=0.5, version="v1.1.0")) == ["2"]
        assert by_lot(database) == {}

    def test_a_text_that_changed_after_it_was_drawn_is_not_asked_about(self, database: Database) -> None:
        write(database, [sure(str(n)) for n in range(3)])
        give_back(database, "ana", hand_out(database, 3, random_share=1))
        write(database, [sure("1", words="another", model="v1.1.0", revised_at=NOW)])

        assert sorted(names(hand_out(database, 3, random_share=1))) == ["0", "2"]


class TestMixed:
    def test_one_in_five_is_drawn_by_lot(self, database: Database) -> None:
        write(database, [unsure(str(n)) for n in range(300)] + [sure(str(n)) for n in range(300, 600)])

        drawn = names(hand_out(database, 200, random_share=0.2))

        assert len(set(drawn)) == 200
        assert 25 <= len(set(drawn) & set(by_lot(database))) <= 60

    def test_the_place_in_the_order_gives_nothing_away(self, database: Database) -> None:
        write(database, [unsure(str(n)) for n in range(60)] + [sure(str(n)) for n in range(60, 400)])
        places = Counter[int]()
        for seed in range(12):
            drawn = names(hand_out(database, 5, random_share=0.5, chance=random.Random(seed)))
            places.update(place for place, name in enumerate(drawn) if int(name) >= 60)

        assert len(places) == 5
        assert max(places.values()) <= 3 * min(places.values()) + 3

    def test_where_one_kind_is_used_up_the_other_takes_its_place(self, database: Database) -> None:
        write(database, [unsure("1"), *(sure(str(n)) for n in range(2, 30))])

        assert len(hand_out(database, 20, random_share=0.01)) == 20

    def test_nothing_says_why_a_text_is_asked_about_or_what_the_model_said(self) -> None:
        shown = {field.name for field in fields(Drawn)}

        assert shown.isdisjoint(
            {"stratum", "label", "model_label", "confidence", "band", "inclusion", "probabilities"}
        )


class TestLeases:
    @pytest.mark.parametrize("random_share", [0, 1])
    def test_what_one_holds_the_other_does_not_get_until_the_lease_ends(
        self, database: Database, random_share: float
    ) -> None:
        write(database, [unsure("1")])
        assert names(hand_out(database, 1, random_share=random_share, lease=timedelta(seconds=-1))) == ["1"]

        assert names(hand_out(database, random_share=random_share, reviewer="rui")) == ["1"]
        assert names(hand_out(database, random_share=random_share, reviewer="eva")) == []
        assert names(hand_out(database, random_share=1 - random_share, reviewer="eva")) == []

        assert [(held.external_id, held.reviewer) for held in holding(database)] == [("1", "rui")]

    def test_what_is_given_back_can_be_had_at_once(self, database: Database) -> None:
        write(database, [unsure("1"), unsure("2")])
        first, second = hand_out(database)

        give_back(database, "ana", [second])
        give_back(database, "rui", [first])

        assert names(hand_out(database, reviewer="rui")) == [second.external_id]

    def test_a_verdict_ends_it(self, database: Database) -> None:
        write(database, [unsure("1")])
        hand_out(database)
        give(database, "1")

        assert holding(database) == []

    @pytest.mark.parametrize("random_share", [0.0, 0.5, 1.0])
    def test_people_who_draw_at_once_never_share_a_ticket_and_miss_none(
        self, database: Database, random_share: float
    ) -> None:
        write(database, [unsure(str(n)) for n in range(120)])

        def work(person: int) -> list[str]:
            mine = list[str]()
            while drawn := hand_out(database, 3, reviewer=str(person), random_share=random_share):
                mine += names(drawn)
            return mine

        with ThreadPoolExecutor(3) as pool:
            held = [name for mine in pool.map(work, range(3)) for name in mine]

        assert sorted(held) == sorted(str(n) for n in range(120))


def test_where_two_disagree_a_third_is_asked_once_and_none_of_the_two(database: Database) -> None:
    write(database, [sure("disputed"), sure("agreed"), sure("once")])
    give(database, "agreed", "venda", "ana")
    give(database, "agreed", "venda", "rui")
    give(database, "once", "venda", "ana")
    give(database, "disputed", "venda", "ana")
    give(database, "disputed", None, "rui")
    assert third_look(database, "ana", since=SINCE) is None
    assert third_look(database, "rui", since=SINCE) is None
    asked = third_look(database, "eva", since=SINCE)
    assert asked
    assert asked.external_id == "disputed"
    assert third_look(database, "ivo", since=SINCE) is None  # it is in hand
    give(database, "disputed", "suporte", "eva")
    give_back(database, "eva", [asked])
    assert third_look(database, "ivo", since=SINCE) is None
