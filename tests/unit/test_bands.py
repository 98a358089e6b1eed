"""The band of a prediction (INV-18), and the budget that sends the least confident share to review."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.errors import NotFinite
from triagem.contracts.prediction import Band, Thresholds
from triagem.worker.bands import ReviewBudget, decide_band

LABELS = ("suporte", "venda")
REVIEW_BELOW_07 = Thresholds(review=0.7, review_budget=0.0)


def probabilities_with(confidence: float) -> list[float]:
    """Two probabilities, `venda` with this confidence."""
    return [1 - confidence, confidence]


def review_share(budget: ReviewBudget, confidences: list[float]) -> float:
    """The share of a stream that the budget alone sends to a person."""
    bands = []
    for confidence in confidences:
        bands.append(
            decide_band(
                probabilities_with(confidence), LABELS, Thresholds(review=0), budget_cutoff=budget.cutoff
            ).band
        )
        budget.add(confidence)
    return bands.count(Band.REVIEW) / len(bands)


def shifted(count: int, *, seed: int = 1) -> list[float]:
    """The confidences of a shifted input. All are far above every threshold."""
    return [random.Random(seed + number).uniform(0.9, 1.0) for number in range(count)]


@pytest.mark.parametrize(
    ("confidence", "band"),
    [(0.7, Band.AUTOMATE), (math.nextafter(0.7, 0), Band.REVIEW), (1.0, Band.AUTOMATE), (0.5, Band.REVIEW)],
)
def test_a_confidence_at_the_threshold_is_sufficient(confidence: float, band: Band) -> None:
    assert decide_band(probabilities_with(confidence), LABELS, REVIEW_BELOW_07).band is band


@pytest.mark.parametrize(
    ("confidence", "band"), [(0.95, Band.AUTOMATE), (math.nextafter(0.95, 0), Band.REVIEW), (0.8, Band.REVIEW)]
)
def test_a_confidence_under_the_budgets_cutoff_is_reviewed_above_the_threshold(confidence: float, band: Band) -> None:
    assert decide_band(probabilities_with(confidence), LABELS, REVIEW_BELOW_07, budget_cutoff=0.95).band is band


def test_without_a_proved_precision_even_a_certain_prediction_is_reviewed() -> None:
    assert decide_band([0.0, 1.0], LABELS, Thresholds(review=0, automate=False)).band is Band.REVIEW


def test_the_threshold_applies_if_the_cutoff_is_lower() -> None:
    assert decide_band(probabilities_with(0.6), LABELS, REVIEW_BELOW_07, budget_cutoff=0.2).band is Band.REVIEW


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_the_label_is_the_most_probable_and_all_probabilities_are_returned(row: list[float]) -> None:
    labels = [f"label {number}" for number in range(len(row))]

    prediction = decide_band(row, labels, Thresholds())

    assert prediction.confidence == max(row) == prediction.probabilities[prediction.label]
    assert list(prediction.probabilities.items()) == list(zip(labels, row, strict=True))


def test_the_first_of_equally_probable_labels_is_chosen() -> None:
    assert decide_band([0.5, 0.5], LABELS, Thresholds()).label == "suporte"


@pytest.mark.parametrize("invalid", [math.nan, math.inf, -math.inf, -0.1, 1.1])
@pytest.mark.parametrize("index", [0, 1])
def test_an_invalid_probability_never_becomes_a_decision(invalid: float, index: int) -> None:
    row = [0.9, 0.9]
    row[index] = invalid

    with pytest.raises(NotFinite):
        decide_band(row, LABELS, Thresholds(review=0))


@pytest.mark.parametrize("row", [[], [1.0], [0.2, 0.3, 0.5]])
def test_a_wrong_count_of_probabilities_never_becomes_a_decision(row: list[float]) -> None:
    with pytest.raises(NotFinite, match=f"{len(row)} probabilities"):
        decide_band(row, LABELS, Thresholds())


@pytest.mark.parametrize("row", [[1 + 5e-7, 0.0], [1.0, -5e-7]])
def test_a_rounding_error_of_the_softmax_is_a_probability(row: list[float]) -> None:
    assert decide_band(row, LABELS, Thresholds()).label == "suporte"


@pytest.mark.parametrize("share", [0.02, 0.05, 0.2, 0.5])
def test_on_a_shifted_confident_stream_the_budgets_share_is_reviewed(share: float) -> None:
    assert review_share(ReviewBudget(share), shifted(5000)) == pytest.approx(share, rel=0.2)


def test_the_budget_follows_a_stream_that_shifts() -> None:
    budget = ReviewBudget(0.1)
    review_share(budget, [confidence - 0.4 for confidence in shifted(2000)])

    assert review_share(budget, shifted(5000, seed=9000)) == pytest.approx(0.1, rel=0.4)


def test_a_budget_of_0_reviews_nothing() -> None:
    assert review_share(ReviewBudget(0.0), shifted(2000)) == 0


def test_a_budget_of_1_reviews_everything_once_it_has_enough_confidences() -> None:
    budget = ReviewBudget(1.0)
    review_share(budget, shifted(100))

    assert review_share(budget, shifted(500)) == 1


def test_under_fifty_confidences_the_budget_reviews_nothing() -> None:
    assert review_share(ReviewBudget(0.5), shifted(50)) == 0


def test_confidences_from_the_database_count_at_once() -> None:
    assert review_share(ReviewBudget(0.5, recent=shifted(100)), shifted(50)) > 0


@given(st.lists(st.floats(0, 1), min_size=100, max_size=100), st.floats(0, 1))
def test_the_cutoff_separates_the_least_confident_share(confidences: list[float], share: float) -> None:
    budget = ReviewBudget(share)
    for confidence in confidences:
        budget.add(confidence)

    assert sum(confidence < budget.cutoff for confidence in confidences) <= share * 100
    assert sum(confidence <= budget.cutoff for confidence in confidences) >= math.floor(share * 100)


@pytest.mark.parametrize("confidence", [0.99, 0.5])
def test_a_text_without_a_request_gets_no_decision_whatever_the_confidence(confidence: float) -> None:
    decision = decide_band(probabilities_with(confidence), LABELS, Thresholds(), abstain=True)
    assert decision.band is Band.ABSTAIN
    assert decision.confidence == confidence
