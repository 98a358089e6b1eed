"""What holds for any two versions at the gate."""

from dataclasses import replace
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.records import LABELS, answer
from triagem.contracts.model import ScoredRow
from triagem.registry.decision import Promote, Reject, Rule, VersionRecord
from triagem.registry.gate import evaluate_gate

LUCK = st.integers(0, 2**32).map(Random)  # hypothesis' own randoms remember each number
RULES = st.sampled_from([Rule.IMPROVE, Rule.NON_INFERIOR])


def made(version: str, rows: int, good: float, luck: Random) -> VersionRecord:
    """A version that is right about so often, with all kinds of confidence."""
    said = [answer(row, right=luck.random() < good, confidence=luck.uniform(0.51, 0.999)) for row in range(rows)]
    return VersionRecord(version, LABELS, {one.digest: one for one in said}, frozenset(), {})


@st.composite
def versions(draw: st.DrawFn, most: int = 60) -> tuple[VersionRecord, VersionRecord]:
    """A candidate and a current version on the same rows. The candidate tends to be better, so that some pass."""
    rows, luck = draw(st.integers(2, most)), draw(LUCK)
    candidate = made("v1.1.0", rows, draw(st.floats(0.5, 1)), luck)
    return candidate, made("v1.0.0", rows, draw(st.floats(0.3, 1)), luck)


@st.composite
def clear_cases(draw: st.DrawFn) -> tuple[VersionRecord, VersionRecord]:
    """A candidate that most often passes, and yet is wrong now and then."""
    rows, luck = draw(st.integers(60, 120)), draw(LUCK)
    candidate = made("v1.1.0", rows, draw(st.floats(0.85, 0.97)), luck)
    return candidate, made("v1.0.0", rows, draw(st.floats(0.3, 0.7)), luck)


def turned(said: ScoredRow) -> ScoredRow:
    """The same confidence in the other label."""
    return said.model_copy(update={"probabilities": said.probabilities[::-1]})


def with_answer(one: VersionRecord, said: ScoredRow) -> VersionRecord:
    return replace(one, predictions={**one.predictions, said.digest: said})


@given(versions())
def test_a_candidate_equal_to_the_current_version_never_passes_the_default_rule(
    both: tuple[VersionRecord, VersionRecord],
) -> None:
    _, current = both

    assert isinstance(evaluate_gate(replace(current, version="v1.1.0"), current), Reject)


@given(st.integers(268, 1000), st.floats(0.75, 1), LUCK)
def test_an_equal_candidate_above_the_minimum_requirements_passes_as_non_inferior(rows: int, good: float, luck: Random) -> None:
    current = made("v1.0.0", rows, good, luck)
    assume(isinstance(evaluate_gate(current, None), Promote))

    assert isinstance(evaluate_gate(replace(current, version="v1.1.0"), current, Rule.NON_INFERIOR), Promote)


@given(versions(), RULES)
def test_no_more_than_one_of_two_versions_is_better_than_the_other(
    both: tuple[VersionRecord, VersionRecord], rule: Rule
) -> None:
    one, other = both

    passed = [isinstance(evaluate_gate(a, b), Promote) for a, b in ((one, other), (other, one))]
    assert sum(passed) <= 1


@given(clear_cases(), RULES, st.data())
def test_a_corrected_prediction_never_turns_promote_into_reject(
    both: tuple[VersionRecord, VersionRecord], rule: Rule, data: st.DataObject
) -> None:
    candidate, current = both
    wrong = [
        digest for digest, said in candidate.predictions.items() if candidate.predicted_label(digest) != said.label
    ]
    assume(wrong and isinstance(evaluate_gate(candidate, current, rule), Promote))

    mended = turned(candidate.predictions[data.draw(st.sampled_from(wrong))])

    assert isinstance(evaluate_gate(with_answer(candidate, mended), current, rule), Promote)


@given(versions(most=120), RULES, st.data())
def test_a_prediction_of_a_row_that_the_current_version_learned_changes_nothing(
    both: tuple[VersionRecord, VersionRecord], rule: Rule, data: st.DataObject
) -> None:
    candidate, current = both
    known = data.draw(st.sampled_from(sorted(candidate.predictions)))
    current = replace(current, trained_on={known})

    said = evaluate_gate(with_answer(candidate, turned(candidate.predictions[known])), current, rule)

    assert said == evaluate_gate(candidate, current, rule)


@given(versions(), RULES)
def test_metrics_add_up(both: tuple[VersionRecord, VersionRecord], rule: Rule) -> None:
    evidence = evaluate_gate(*both, rule).evidence
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
