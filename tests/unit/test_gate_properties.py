"""The promotion gate: properties of any two versions."""

from dataclasses import replace
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.records import LABELS, answer
from triagem.contracts.model import ScoredRow
from triagem.registry.decision import Promote, Reject, Rule, VersionRecord
from triagem.registry.gate import evaluate_gate

RNGS = st.integers(0, 2**32).map(Random)  # hypothesis' own randoms record each number
RULES = st.sampled_from([Rule.IMPROVE, Rule.NON_INFERIOR])


def version_with(version: str, rows: int, accuracy: float, rng: Random) -> VersionRecord:
    """A version with about this accuracy, with all kinds of confidence."""
    predictions = [
        answer(row, right=rng.random() < accuracy, confidence=rng.uniform(0.51, 0.999)) for row in range(rows)
    ]
    return VersionRecord(
        version, LABELS, {prediction.digest: prediction for prediction in predictions}, frozenset(), {}
    )


@st.composite
def versions(draw: st.DrawFn, max_rows: int = 60) -> tuple[VersionRecord, VersionRecord]:
    """A candidate and a current version on the same rows. The candidate tends to be better, so that some pass."""
    rows, rng = draw(st.integers(2, max_rows)), draw(RNGS)
    candidate = version_with("v1.1.0", rows, draw(st.floats(0.5, 1)), rng)
    return candidate, version_with("v1.0.0", rows, draw(st.floats(0.3, 1)), rng)


@st.composite
def clear_cases(draw: st.DrawFn) -> tuple[VersionRecord, VersionRecord]:
    """A candidate that usually passes, but is wrong on some rows."""
    rows, rng = draw(st.integers(60, 120)), draw(RNGS)
    candidate = version_with("v1.1.0", rows, draw(st.floats(0.85, 0.97)), rng)
    return candidate, version_with("v1.0.0", rows, draw(st.floats(0.3, 0.7)), rng)


def flipped(prediction: ScoredRow) -> ScoredRow:
    """The same confidence in the other label."""
    return prediction.model_copy(update={"probabilities": prediction.probabilities[::-1]})


def with_prediction(version: VersionRecord, prediction: ScoredRow) -> VersionRecord:
    return replace(version, predictions={**version.predictions, prediction.digest: prediction})


@given(versions())
def test_a_candidate_equal_to_the_current_version_never_passes_the_default_rule(
    pair: tuple[VersionRecord, VersionRecord],
) -> None:
    _, current = pair

    assert isinstance(evaluate_gate(replace(current, version="v1.1.0"), current), Reject)


@given(st.integers(268, 1000), st.floats(0.75, 1), RNGS)
def test_an_equal_candidate_above_the_minimum_requirements_passes_as_non_inferior(
    rows: int, accuracy: float, rng: Random
) -> None:
    current = version_with("v1.0.0", rows, accuracy, rng)
    assume(isinstance(evaluate_gate(current, None), Promote))

    assert isinstance(evaluate_gate(replace(current, version="v1.1.0"), current, Rule.NON_INFERIOR), Promote)


@given(versions(), RULES)
def test_no_more_than_one_of_two_versions_is_better_than_the_other(
    pair: tuple[VersionRecord, VersionRecord], rule: Rule
) -> None:
    first, second = pair

    passed = [isinstance(evaluate_gate(a, b), Promote) for a, b in ((first, second), (second, first))]
    assert sum(passed) <= 1


@given(clear_cases(), RULES, st.data())
def test_a_corrected_prediction_never_turns_promote_into_reject(
    pair: tuple[VersionRecord, VersionRecord], rule: Rule, data: st.DataObject
) -> None:
    candidate, current = pair
    wrong = [
        digest
        for digest, prediction in candidate.predictions.items()
        if candidate.predicted_label(digest) != prediction.label
    ]
    assume(wrong and isinstance(evaluate_gate(candidate, current, rule), Promote))

    corrected = flipped(candidate.predictions[data.draw(st.sampled_from(wrong))])

    assert isinstance(evaluate_gate(with_prediction(candidate, corrected), current, rule), Promote)


@given(versions(max_rows=120), RULES, st.data())
def test_a_prediction_of_a_row_that_the_current_version_learned_changes_nothing(
    pair: tuple[VersionRecord, VersionRecord], rule: Rule, data: st.DataObject
) -> None:
    candidate, current = pair
    known = data.draw(st.sampled_from(sorted(candidate.predictions)))
    current = replace(current, trained_on={known})

    decision = evaluate_gate(with_prediction(candidate, flipped(candidate.predictions[known])), current, rule)

    assert decision == evaluate_gate(candidate, current, rule)


@given(versions(), RULES)
def test_metrics_add_up(pair: tuple[VersionRecord, VersionRecord], rule: Rule) -> None:
    evidence = evaluate_gate(*pair, rule).evidence
    candidate_metrics, comparison = evidence.candidate_metrics, evidence.comparison

    assert candidate_metrics
    assert comparison
    assert (
        round((candidate_metrics.accuracy - comparison.accuracy) * candidate_metrics.rows)
        == comparison.gained - comparison.lost
    )
    assert sum(recall.rows for recall in candidate_metrics.recalls.values()) == candidate_metrics.rows
    assert sum(recall.true_positives for recall in candidate_metrics.recalls.values()) == round(
        candidate_metrics.accuracy * candidate_metrics.rows
    )
