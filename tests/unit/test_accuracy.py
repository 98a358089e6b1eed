"""Accuracy from few reviews: which reviews count, their weights, and whether the interval covers the true value."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf
from statistics import fmean
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.builders import NOW
from triagem.db.reviews.accuracy import (
    FEWEST_REVIEWS,
    AccuracyEstimate,
    ReviewedText,
    SamplingRound,
    estimate_accuracy,
    wilson_interval,
)
from triagem.db.reviews.expected import MIN_SAMPLED, diverges

EARLY, LATE = NOW - timedelta(days=20), NOW - timedelta(days=1)
START = NOW - timedelta(days=30)


def sampled(right: bool | None = True, *, received_at: datetime = EARLY, inclusion: float = 0.1) -> ReviewedText:
    """The review of a randomly sampled text."""
    return ReviewedText(right, received_at, received_at, inclusion)


def doubtful(right: bool | None = True) -> ReviewedText:
    """The review of a text that was selected because the model was unsure."""
    return ReviewedText(right, EARLY, EARLY, None)


class TestCounting:
    def test_strata_are_weighted_by_their_texts_not_by_their_reviews(self) -> None:
        estimate = estimate_accuracy(
            {"unsure": 100, "sure": 900}, {"unsure": [sampled(False)] * 50, "sure": [sampled()] * 10}, []
        )

        assert estimate is not None
        assert estimate.value == pytest.approx(0.9)
        assert (estimate.texts, estimate.reviews) == (1000, 60)

    @pytest.mark.parametrize(("reviews", "missing"), [(5, 20), (20, 0), (300, 0)])
    def test_an_interval_wider_than_twenty_points_needs_more_reviews(self, reviews: int, missing: int) -> None:
        estimate = estimate_accuracy({"sure": 9000}, {"sure": [sampled()] * reviews}, [])

        assert estimate is not None
        assert estimate.reviews_missing == missing

    def test_reviews_of_doubtful_texts_say_nothing_about_the_others(self) -> None:
        reviews = {"unsure": [doubtful(False)] * 50 + [sampled()] * 10, "sure": [sampled()] * 10}

        estimate = estimate_accuracy({"unsure": 100, "sure": 900}, reviews, [])

        assert estimate is not None
        assert (estimate.value, estimate.reviews, estimate.uncounted) == (1.0, 20, 50)

    def test_if_all_texts_are_reviewed_the_accuracy_is_exact(self) -> None:
        estimate = estimate_accuracy(
            {"asked": 10}, {"asked": [doubtful(False)] * 4 + [doubtful()] * 5 + [sampled()]}, []
        )

        assert estimate is not None
        assert estimate.value == estimate.low == estimate.high == pytest.approx(0.6)

    def test_unclear_reviews_are_counted_separately(self) -> None:
        estimate = estimate_accuracy({"sure": 900}, {"sure": [sampled(), sampled(False), sampled(None)]}, [])

        assert estimate is not None
        assert (estimate.value, estimate.reviews, estimate.unclear) == (0.5, 2, 1)

    def test_a_stratum_without_reviews_may_have_any_accuracy(self) -> None:
        estimate = estimate_accuracy({"unsure": 500, "sure": 500}, {"sure": [sampled()] * 500}, [])

        assert estimate is not None
        assert (estimate.value, estimate.low, estimate.high) == (0.75, 0.5, 1.0)

    @pytest.mark.parametrize("reviews", [{}, {"unsure": [doubtful()] * 9}, {"sure": [sampled(None)]}])
    def test_without_a_verdict_that_counts_there_is_no_estimate(self, reviews: dict[str, list[ReviewedText]]) -> None:
        assert estimate_accuracy({"unsure": 100, "sure": 900}, reviews, []) is None


class TestWeights:
    """One in 10 early texts and one in 100 late texts was sampled, so a late text has ten times the weight."""

    ROUNDS = (SamplingRound(EARLY, START, 0.1), SamplingRound(NOW, START, 0.01))

    def test_a_text_is_weighted_by_its_inverse_sampling_probability(self) -> None:
        reviews = {"sure": [sampled()] * 10 + [sampled(False, received_at=LATE, inclusion=0.01)]}

        estimate = estimate_accuracy({"sure": 200}, reviews, self.ROUNDS)

        assert estimate is not None
        assert estimate.value == pytest.approx(100 / (100 + 100))

    def test_a_later_round_with_a_higher_threshold_counts_for_earlier_texts_too(self) -> None:
        reviews = {"sure": [sampled()] * 10 + [sampled(False, received_at=LATE, inclusion=0.2)]}

        estimate = estimate_accuracy({"sure": 200}, reviews, [*self.ROUNDS, SamplingRound(NOW, START, 0.2)])

        assert estimate is not None
        assert estimate.value == pytest.approx(10 / 11)

    def test_a_later_round_among_newer_texts_does_not_count_for_earlier_ones(self) -> None:
        reviews = {"sure": [sampled(), sampled(False, received_at=LATE, inclusion=0.2)]}

        estimate = estimate_accuracy({"sure": 200}, reviews, [*self.ROUNDS, SamplingRound(NOW, LATE, 0.2)])

        assert estimate is not None
        assert estimate.value == pytest.approx(10 / (10 + 5))


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
    received_at: datetime
    confidence: float
    right: bool
    rank: float

    @property
    def unsure(self) -> bool:
        return self.confidence < 0.7


class Reviewers:
    """Selects texts for review, four in five unsure and one in five at random, like `triagem.db.reviews.sampling`."""

    def __init__(self) -> None:
        self.selected = set[int]()
        self.sampled = dict[int, float]()
        self.rounds = list[SamplingRound]()

    def select(self, texts: list[Text], now: datetime, size: int, rng: random.Random) -> None:
        """One review session."""
        random_count = sum(rng.random() < 0.2 for _ in range(size))
        by_rank = sorted((text.rank, text.number) for text in texts if text.number not in self.sampled)
        for (_, number), (threshold, _) in pairwise(by_rank[: random_count + 1]):
            self.sampled[number] = threshold
            self.rounds.append(SamplingRound(now, START, threshold))
        self.selected.update(self.sampled)
        unsure = sorted(
            (text.confidence, text.number) for text in texts if text.unsure and text.number not in self.selected
        )
        self.selected.update(number for _, number in unsure[: size - random_count])


def simulate(rng: random.Random, questions: int) -> tuple[float, AccuracyEstimate, tuple[float, float]]:
    """Simulate three weeks in which the model gets worse and people review less. Returns the true accuracy, Triagem's
    estimate, and the interval of the plain mean."""
    texts, reviewers = list[Text](), Reviewers()
    for week in range(3):
        for _ in range(600):
            confidence = 0.5 + 0.5 * rng.betavariate(3, 1)
            right = rng.random() < confidence - 0.05 * week
            received_at = START + timedelta(days=7 * week)
            texts.append(Text(len(texts), received_at, confidence, right, rng.random()))
        reviewers.select(texts, START + timedelta(days=7 * week + 6), questions * (3 - week) // 6, rng)
    confidence_limit = min(
        (text.confidence for text in texts if text.unsure and text.number not in reviewers.selected), default=1.0
    )
    counts, reviews = Counter[str](), defaultdict[str, list[ReviewedText]](list)
    for text in texts:
        stratum = "sure" if not text.unsure else "asked" if text.confidence < confidence_limit else "unsure"
        counts[stratum] += 1
        if text.number in reviewers.selected:
            reviews[stratum].append(
                ReviewedText(text.right, text.received_at, text.received_at, reviewers.sampled.get(text.number))
            )
    estimate = estimate_accuracy(counts, reviews, reviewers.rounds)
    assert estimate is not None
    selected = [text.right for text in texts if text.number in reviewers.selected]
    return (
        sum(text.right for text in texts) / len(texts),
        estimate,
        wilson_interval(sum(selected) / len(selected), len(selected)),
    )


@pytest.mark.parametrize("questions", [150, 400])
def test_the_interval_holds_the_truth_where_the_plain_mean_of_the_verdicts_does_not(questions: int) -> None:
    simulations = [simulate(random.Random(seed), questions) for seed in range(100)]

    assert sum(estimate.low <= truth <= estimate.high for truth, estimate, _ in simulations) >= 0.9 * len(simulations)
    assert sum(low <= truth <= high for truth, _, (low, high) in simulations) < 0.2 * len(simulations)
    assert abs(fmean(estimate.value - truth for truth, estimate, _ in simulations)) < 0.01


class History:
    """A simulated population of texts in random order, and reviewers who answer texts that were sampled in rounds of
    ten, and the 40 least confident ones."""

    def __init__(self, seed: int, *, size: int = 1500, overconfidence: float) -> None:
        self.rng, self.size = np.random.default_rng(seed), size
        self.confidence = 0.5 + 0.5 * self.rng.beta(3, 1, size)
        self.right = self.rng.random(size) < self.confidence - overconfidence
        self.ranks = np.sort(self.rng.random(size))  # a text's number is its place in the random order

    def estimate(self, sampled: int, answered: int, corrected: NDArray[np.bool_] | None = None) -> AccuracyEstimate:
        """The estimate after `answered` of `sampled` texts; `corrected` texts count as reviewed."""
        rounds = [SamplingRound(NOW, START, self.ranks[end]) for end in range(10, sampled + 1, 10)]
        unsure = np.flatnonzero(self.confidence < 0.7)
        reviewed = np.arange(self.size) < answered
        reviewed[unsure[np.argsort(self.confidence[unsure])][:40]] = True
        reviewed |= corrected if corrected is not None else False
        limit = self.confidence[unsure][~reviewed[unsure]].min(initial=1)
        strata = np.where(self.confidence >= 0.7, "sure", np.where(self.confidence < limit, "asked", "unsure"))
        reviews = defaultdict[str, list[ReviewedText]](list)
        for number in np.flatnonzero(reviewed):
            inclusion = self.ranks[number // 10 * 10 + 10] if number < sampled else None
            reviews[strata[number]].append(ReviewedText(bool(self.right[number]), EARLY, EARLY, inclusion))
        estimate = estimate_accuracy(
            Counter(strata.tolist()), reviews, rounds, mean_confidence=float(self.confidence.mean())
        )
        assert estimate is not None
        return estimate


def simulate_corrections(seed: int, *, counted: bool) -> bool:
    """Whether the interval covers the true value if agents change half of the wrong labels and 1 % of the right ones.

    Reviewers answer 100 of 150 sampled texts.

    Args:
        counted: count corrections as reviews, which Triagem must not do.
    """
    history = History(seed, overconfidence=0.05)
    corrected = history.rng.random(1500) < np.where(history.right, 0.01, 0.5)
    estimate = history.estimate(150 if counted else 100, 100, corrected if counted else None)
    return bool(estimate.low <= history.right.mean() <= estimate.high)


def test_corrections_in_the_crm_leave_the_interval_honest() -> None:
    apart = sum(simulate_corrections(seed, counted=False) for seed in range(200))
    counted = sum(simulate_corrections(seed, counted=True) for seed in range(200))

    assert apart >= 0.93 * 200, apart
    assert counted < 0.9 * 200, counted


def alarms(histories: Iterable[History]) -> int:
    """The number of histories with an alarm, which is looked for after each tenth sampled text, from 60 to 300."""
    return sum(any(diverges(history.estimate(count, count)) for count in range(60, 301, 10)) for history in histories)


class TestDivergence:
    """Reviews contradict the confidences: see `diverges`."""

    def test_calibrated_confidences_seldom_raise_an_alarm(self) -> None:
        alarmed = alarms(History(seed, size=3000, overconfidence=0) for seed in range(1000, 1040))

        assert alarmed <= 0.08 * 40, alarmed

    def test_confidences_ten_points_too_high_nearly_always_do(self) -> None:
        alarmed = alarms(History(seed, size=3000, overconfidence=0.1) for seed in range(1000, 1020))

        assert alarmed >= 0.9 * 20, alarmed

    @pytest.mark.parametrize(("expected", "alarm"), [(0.75, True), (0.79, False), (0.9, False), (0.94, True)])
    def test_the_mean_confidence_may_be_outside_the_interval_by_the_margin(
        self, expected: float, *, alarm: bool
    ) -> None:
        estimate = AccuracyEstimate(0.85, 0.8, 0.9, 1000, MIN_SAMPLED, MIN_SAMPLED, 0, 0, (), expected)

        assert diverges(estimate) is alarm
        assert not diverges(replace(estimate, sampled=MIN_SAMPLED - 1))
        assert not diverges(replace(estimate, mean_confidence=None))

    def test_only_reviews_of_sampled_texts_with_a_label_count(self) -> None:
        reviews = {"asked": [doubtful(), sampled()], "sure": [sampled(False), sampled(None)]}

        estimate = estimate_accuracy({"asked": 2, "sure": 900}, reviews, [])

        assert estimate is not None
        assert (estimate.sampled, estimate.reviews) == (2, 3)


def test_the_fewest_reviews_that_make_the_accuracy_known() -> None:
    missing = [
        estimate.reviews_missing > 0
        for reviews in (FEWEST_REVIEWS - 1, FEWEST_REVIEWS)
        if (estimate := estimate_accuracy({"sure": 9000}, {"sure": [sampled()] * reviews}, []))
    ]
    assert missing == [True, False]
