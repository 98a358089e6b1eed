"""Accuracy from few verdicts: what is counted, how it is weighted, and whether the interval keeps its promise."""

import random
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf
from statistics import fmean
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.builders import NOW
from triagem.db.estimate import Answer, Estimate, Reach, estimate, wilson

EARLY, LATE = NOW - timedelta(days=20), NOW - timedelta(days=1)
BEGINNING = NOW - timedelta(days=30)


def lot(right: bool | None = True, *, came: datetime = EARLY, inclusion: float = 0.1) -> Answer:
    """The verdict on a text drawn by lot."""
    return Answer(right, came, came, inclusion)


def doubt(right: bool | None = True) -> Answer:
    """The verdict on a text that was asked about because the model was unsure."""
    return Answer(right, EARLY, EARLY, None)


class TestCounting:
    def test_strata_count_by_their_texts_not_by_their_verdicts(self) -> None:
        found = estimate({"unsure": 100, "sure": 900}, {"unsure": [lot(False)] * 50, "sure": [lot()] * 10}, [])

        assert found is not None
        assert found.value == pytest.approx(0.9)
        assert (found.texts, found.reviews) == (1000, 60)

    def test_what_was_asked_for_its_doubt_says_nothing_of_the_others(self) -> None:
        answers = {"unsure": [doubt(False)] * 50 + [lot()] * 10, "sure": [lot()] * 10}

        found = estimate({"unsure": 100, "sure": 900}, answers, [])

        assert found is not None
        assert (found.value, found.reviews, found.uncounted) == (1.0, 20, 50)

    def test_where_all_were_asked_the_share_is_known(self) -> None:
        found = estimate({"asked": 10}, {"asked": [doubt(False)] * 4 + [doubt()] * 5 + [lot()]}, [])

        assert found is not None
        assert found.value == found.low == found.high == pytest.approx(0.6)

    def test_unclear_ones_are_counted_apart(self) -> None:
        found = estimate({"sure": 900}, {"sure": [lot(), lot(False), lot(None)]}, [])

        assert found is not None
        assert (found.value, found.reviews, found.unclear) == (0.5, 2, 1)

    def test_a_stratum_nobody_was_asked_about_may_be_anything(self) -> None:
        found = estimate({"unsure": 500, "sure": 500}, {"sure": [lot()] * 500}, [])

        assert found is not None
        assert (found.value, found.low, found.high) == (0.75, 0.5, 1.0)

    @pytest.mark.parametrize("answers", [{}, {"unsure": [doubt()] * 9}, {"sure": [lot(None)]}])
    def test_without_a_verdict_that_counts_there_is_no_estimate(self, answers: dict[str, list[Answer]]) -> None:
        assert estimate({"unsure": 100, "sure": 900}, answers, []) is None


class TestWeights:
    """Of early texts a tenth was drawn, of late ones a hundredth: each late one stands for ten times as many."""

    REACHES = (Reach(EARLY, BEGINNING, 0.1), Reach(NOW, BEGINNING, 0.01))

    def test_a_text_counts_for_as_many_as_it_stands_for(self) -> None:
        answers = {"sure": [lot()] * 10 + [lot(False, came=LATE, inclusion=0.01)]}

        found = estimate({"sure": 200}, answers, self.REACHES)

        assert found is not None
        assert found.value == pytest.approx(100 / (100 + 100))

    def test_a_later_drawing_that_went_farther_counts_for_earlier_texts_too(self) -> None:
        answers = {"sure": [lot()] * 10 + [lot(False, came=LATE, inclusion=0.2)]}

        found = estimate({"sure": 200}, answers, [*self.REACHES, Reach(NOW, BEGINNING, 0.2)])

        assert found is not None
        assert found.value == pytest.approx(10 / 11)

    def test_a_drawing_among_newer_texts_does_not(self) -> None:
        answers = {"sure": [lot(), lot(False, came=LATE, inclusion=0.2)]}

        found = estimate({"sure": 200}, answers, [*self.REACHES, Reach(NOW, LATE, 0.2)])

        assert found is not None
        assert found.value == pytest.approx(10 / (10 + 5))


class TestInterval:
    @given(st.floats(0, 1), st.floats(0.1, 1e9))
    def test_it_holds_the_share_and_stays_between_0_and_1(self, share: float, rows: float) -> None:
        low, high = wilson(share, rows)

        assert 0 <= low <= share <= high <= 1

    def test_it_is_wilson_s(self) -> None:
        # Newcombe 1998, table I: 81 of 263, and 0 of 20
        assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)

    def test_it_has_no_width_when_everything_is_known_and_the_widest_when_nothing_is(self) -> None:
        assert wilson(0.7, inf) == (0.7, 0.7)
        assert wilson(0.7, 0) == (0.0, 1.0)


class Text(NamedTuple):
    """A text of the simulation."""

    number: int
    came: datetime
    confidence: float
    right: bool
    lot: float

    @property
    def unsure(self) -> bool:
        return self.confidence < 0.7


class People:
    """Who asks about texts, four in five for doubt and one in five by lot, as `triagem.db.draws` does."""

    def __init__(self) -> None:
        self.asked = set[int]()
        self.by_lot = dict[int, float]()
        self.reaches = list[Reach]()

    def ask(self, texts: list[Text], now: datetime, questions: int, chance: random.Random) -> None:
        """A session."""
        by_lot = sum(chance.random() < 0.2 for _ in range(questions))
        waiting = sorted((text.lot, text.number) for text in texts if text.number not in self.by_lot)
        for (_, number), (reach, _) in pairwise(waiting[: by_lot + 1]):
            self.by_lot[number] = reach
            self.reaches.append(Reach(now, BEGINNING, reach))
        self.asked.update(self.by_lot)
        unsure = sorted(
            (text.confidence, text.number) for text in texts if text.unsure and text.number not in self.asked
        )
        self.asked.update(number for _, number in unsure[: questions - by_lot])


def review(chance: random.Random, questions: int) -> tuple[float, Estimate, tuple[float, float]]:
    """Three weeks in which the model gets worse and people ask less and less: the truth, our estimate, and the
    interval of the plain mean."""
    texts, people = list[Text](), People()
    for week in range(3):
        for _ in range(600):
            confidence = 0.5 + 0.5 * chance.betavariate(3, 1)
            right = chance.random() < confidence - 0.05 * week
            came = BEGINNING + timedelta(days=7 * week)
            texts.append(Text(len(texts), came, confidence, right, chance.random()))
        people.ask(texts, BEGINNING + timedelta(days=7 * week + 6), questions * (3 - week) // 6, chance)
    edge = min((text.confidence for text in texts if text.unsure and text.number not in people.asked), default=1.0)
    counts, answers = Counter[str](), defaultdict[str, list[Answer]](list)
    for text in texts:
        stratum = "sure" if not text.unsure else "asked" if text.confidence < edge else "unsure"
        counts[stratum] += 1
        if text.number in people.asked:
            answers[stratum].append(Answer(text.right, text.came, text.came, people.by_lot.get(text.number)))
    found = estimate(counts, answers, people.reaches)
    assert found is not None
    asked = [text.right for text in texts if text.number in people.asked]
    return sum(text.right for text in texts) / len(texts), found, wilson(sum(asked) / len(asked), len(asked))


@pytest.mark.parametrize("questions", [150, 400])
def test_the_interval_holds_the_truth_where_the_plain_mean_of_the_verdicts_does_not(questions: int) -> None:
    reviews = [review(random.Random(seed), questions) for seed in range(100)]

    assert sum(found.low <= truth <= found.high for truth, found, _ in reviews) >= 0.9 * len(reviews)
    assert sum(low <= truth <= high for truth, _, (low, high) in reviews) < 0.2 * len(reviews)
    assert abs(fmean(found.value - truth for truth, found, _ in reviews)) < 0.01
