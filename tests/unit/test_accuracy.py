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
from triagem.db.accuracy import AccuracyEstimate, ReviewedText, SamplingRound, estimate_accuracy, wilson_interval

EARLY, LATE = NOW - timedelta(days=20), NOW - timedelta(days=1)
BEGINNING = NOW - timedelta(days=30)


def sampled(right: bool | None = True, *, came: datetime = EARLY, inclusion: float = 0.1) -> ReviewedText:
    """The review of a randomly sampled text."""
    return ReviewedText(right, came, came, inclusion)


def doubt(right: bool | None = True) -> ReviewedText:
    """The verdict on a text that was asked about because the model was unsure."""
    return ReviewedText(right, EARLY, EARLY, None)


class TestCounting:
    def test_strata_are_weighted_by_their_texts_not_by_their_reviews(self) -> None:
        found = estimate_accuracy(
            {"unsure": 100, "sure": 900}, {"unsure": [sampled(False)] * 50, "sure": [sampled()] * 10}, []
        )

        assert found is not None
        assert found.value == pytest.approx(0.9)
        assert (found.texts, found.reviews) == (1000, 60)

    def test_reviews_of_doubtful_texts_say_nothing_about_the_others(self) -> None:
        answers = {"unsure": [doubt(False)] * 50 + [sampled()] * 10, "sure": [sampled()] * 10}

        found = estimate_accuracy({"unsure": 100, "sure": 900}, answers, [])

        assert found is not None
        assert (found.value, found.reviews, found.uncounted) == (1.0, 20, 50)

    def test_if_all_texts_are_reviewed_the_accuracy_is_exact(self) -> None:
        found = estimate_accuracy({"asked": 10}, {"asked": [doubt(False)] * 4 + [doubt()] * 5 + [sampled()]}, [])

        assert found is not None
        assert found.value == found.low == found.high == pytest.approx(0.6)

    def test_unclear_reviews_are_counted_separately(self) -> None:
        found = estimate_accuracy({"sure": 900}, {"sure": [sampled(), sampled(False), sampled(None)]}, [])

        assert found is not None
        assert (found.value, found.reviews, found.unclear) == (0.5, 2, 1)

    def test_a_stratum_without_reviews_may_have_any_accuracy(self) -> None:
        found = estimate_accuracy({"unsure": 500, "sure": 500}, {"sure": [sampled()] * 500}, [])

        assert found is not None
        assert (found.value, found.low, found.high) == (0.75, 0.5, 1.0)

    @pytest.mark.parametrize("answers", [{}, {"unsure": [doubt()] * 9}, {"sure": [sampled(None)]}])
    def test_without_a_verdict_that_counts_there_is_no_estimate(self, answers: dict[str, list[ReviewedText]]) -> None:
        assert estimate_accuracy({"unsure": 100, "sure": 900}, answers, []) is None


class TestWeights:
    """Of early texts a tenth was drawn, of late ones a hundredth: each late one stands for ten times as many."""

    ROUNDS = (SamplingRound(EARLY, BEGINNING, 0.1), SamplingRound(NOW, BEGINNING, 0.01))

    def test_a_text_is_weighted_by_its_inverse_sampling_probability(self) -> None:
        answers = {"sure": [sampled()] * 10 + [sampled(False, came=LATE, inclusion=0.01)]}

        found = estimate_accuracy({"sure": 200}, answers, self.ROUNDS)

        assert found is not None
        assert found.value == pytest.approx(100 / (100 + 100))

    def test_a_later_round_with_a_higher_threshold_counts_for_earlier_texts_too(self) -> None:
        answers = {"sure": [sampled()] * 10 + [sampled(False, came=LATE, inclusion=0.2)]}

        found = estimate_accuracy({"sure": 200}, answers, [*self.ROUNDS, SamplingRound(NOW, BEGINNING, 0.2)])

        assert found is not None
        assert found.value == pytest.approx(10 / 11)

    def test_a_later_round_among_newer_texts_does_not_count_for_earlier_ones(self) -> None:
        answers = {"sure": [sampled(), sampled(False, came=LATE, inclusion=0.2)]}

        found = estimate_accuracy({"sure": 200}, answers, [*self.ROUNDS, SamplingRound(NOW, LATE, 0.2)])

        assert found is not None
        assert found.value == pytest.approx(10 / (10 + 5))


class TestInterval:
    @given(st.floats(0, 1), st.floats(0.1, 1e9))
    def test_it_holds_the_share_and_stays_between_0_and_1(self, share: float, rows: float) -> None:
        low, high = wilson_interval(share, rows)

        assert 0 <= low <= share <= high <= 1

    def test_it_equals_published_wilson_intervals(self) -> None:
        # Newcombe 1998, table I: 81 of 263, and 0 of 20
        assert wilson_interval(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
        assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)

    def test_it_has_no_width_when_everything_is_known_and_the_widest_when_nothing_is(self) -> None:
        assert wilson_interval(0.7, inf) == (0.7, 0.7)
        assert wilson_interval(0.7, 0) == (0.0, 1.0)


class Text(NamedTuple):
    """A text of the simulation."""

    number: int
    came: datetime
    confidence: float
    right: bool
    rank: float

    @property
    def unsure(self) -> bool:
        return self.confidence < 0.7


class People:
    """Selects texts for review, four in five unsure and one in five at random, like `triagem.db.review_sampling`."""

    def __init__(self) -> None:
        self.asked = set[int]()
        self.sampled = dict[int, float]()
        self.rounds = list[SamplingRound]()

    def ask(self, texts: list[Text], now: datetime, questions: int, chance: random.Random) -> None:
        """A session."""
        random_count = sum(chance.random() < 0.2 for _ in range(questions))
        waiting = sorted((text.rank, text.number) for text in texts if text.number not in self.sampled)
        for (_, number), (threshold, _) in pairwise(waiting[: random_count + 1]):
            self.sampled[number] = threshold
            self.rounds.append(SamplingRound(now, BEGINNING, threshold))
        self.asked.update(self.sampled)
        unsure = sorted(
            (text.confidence, text.number) for text in texts if text.unsure and text.number not in self.asked
        )
        self.asked.update(number for _, number in unsure[: questions - random_count])


def review(chance: random.Random, questions: int) -> tuple[float, AccuracyEstimate, tuple[float, float]]:
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
    counts, answers = Counter[str](), defaultdict[str, list[ReviewedText]](list)
    for text in texts:
        stratum = "sure" if not text.unsure else "asked" if text.confidence < edge else "unsure"
        counts[stratum] += 1
        if text.number in people.asked:
            answers[stratum].append(ReviewedText(text.right, text.came, text.came, people.sampled.get(text.number)))
    found = estimate_accuracy(counts, answers, people.rounds)
    assert found is not None
    asked = [text.right for text in texts if text.number in people.asked]
    return sum(text.right for text in texts) / len(texts), found, wilson_interval(sum(asked) / len(asked), len(asked))


@pytest.mark.parametrize("questions", [150, 400])
def test_the_interval_holds_the_truth_where_the_plain_mean_of_the_verdicts_does_not(questions: int) -> None:
    reviews = [review(random.Random(seed), questions) for seed in range(100)]

    assert sum(found.low <= truth <= found.high for truth, found, _ in reviews) >= 0.9 * len(reviews)
    assert sum(low <= truth <= high for truth, _, (low, high) in reviews) < 0.2 * len(reviews)
    assert abs(fmean(found.value - truth for truth, found, _ in reviews)) < 0.01
