"""The promotion gate: the evidence that a candidate must provide, and the reasons for a rejection."""

import pytest

from tests.support.records import LABELS, answer, record
from triagem.contracts.model import ScoredRow
from triagem.registry.decision import Decision, Promote, Reject, Rule, VersionRecord
from triagem.registry.gate import evaluate_gate

THREE = ("cobranca", "suporte", "venda")


def candidate(**changes: object) -> VersionRecord:
    return record("v1.1.0", **changes)  # type: ignore[arg-type]


def reasons(decision: Decision) -> str:
    """Why it was rejected."""
    assert isinstance(decision, Reject)
    return "\n".join(decision.reasons)


def test_a_first_version_passes_by_the_minimum_requirements() -> None:
    decision = evaluate_gate(record(wrong=range(30)), None)

    assert isinstance(decision, Promote)
    assert decision.evidence.rule is None
    assert decision.evidence.comparison is None


def test_a_first_version_no_better_than_the_most_frequent_label_is_rejected() -> None:
    always_venda = [answer(row, right=row % 2 == 1) for row in range(100)]

    rejection = reasons(evaluate_gate(record(predictions=always_venda), None))

    assert "accuracy 0.500 on 100 rows: always predicting their most frequent label would have 0.500" in rejection
    assert "0 of 50 rows of 'suporte' found" in rejection


def test_a_first_version_that_misses_most_of_a_label_is_rejected() -> None:
    rejection = reasons(evaluate_gate(record(rows=100, wrong=range(0, 52, 2)), None))

    assert rejection == "24 of 50 rows of 'suporte' found, at least half is required"


def test_a_first_version_worse_than_tf_idf_passes_with_a_note() -> None:
    decision = evaluate_gate(record(macro_f1=0.87, baseline_macro_f1=0.9), None)

    assert isinstance(decision, Promote)
    assert "TF-IDF with logistic regression is better: macro-F1 0.900 against 0.870" in decision.evidence.notes


def test_a_better_candidate_is_promoted_with_all_figures() -> None:
    decision = evaluate_gate(candidate(), record(wrong=range(30)))

    assert isinstance(decision, Promote)
    candidate_metrics, comparison = decision.evidence.candidate_metrics, decision.evidence.comparison
    assert candidate_metrics
    assert comparison
    assert (candidate_metrics.rows, candidate_metrics.accuracy, comparison.accuracy) == (300, 1.0, 0.9)
    assert (comparison.gained, comparison.lost) == (30, 0)
    assert comparison.p_value < 1e-8
    assert comparison.lower_bound > 0.05
    assert candidate_metrics.recalls["suporte"].true_positives == 150
    assert candidate_metrics.recalls["suporte"].current_true_positives == 135


def test_a_gain_of_less_than_two_hundredths_is_rejected_even_if_significant() -> None:
    rejection = reasons(evaluate_gate(candidate(rows=2000), record(rows=2000, wrong=range(39))))

    assert "accuracy 1.000 against 0.981 on 2,000 rows: no version can exceed the current one" in rejection

    rejection = reasons(evaluate_gate(candidate(rows=2000, wrong=range(2)), record(rows=2000, wrong=range(41))))

    assert rejection == "accuracy 0.999 against 0.980 on 2,000 rows is +0.019, required is +0.020 or more"


def test_a_gain_of_exactly_two_hundredths_suffices() -> None:
    assert isinstance(evaluate_gate(candidate(rows=300), record(rows=300, wrong=range(6))), Promote)


def test_a_gain_that_may_be_chance_is_rejected_with_the_number_of_rows_needed() -> None:
    rejection = reasons(evaluate_gate(candidate(rows=100), record(rows=100, wrong=range(4))))

    assert rejection == (
        "rows gained (4) and lost (0) may be chance (McNemar's p 0.125, required is under 0.05): 100 test "
        "rows are too few; showing +0.020 takes about 783, showing the observed +0.040 about 194 "
        "(`--rule gain` requires only more than +0.020)"
    )


def test_the_specifications_own_example_passes_by_its_plain_rule_only() -> None:
    """`if new['accuracy'] > old['accuracy'] + 0.02`, with 0.89 and 0.92 on 100 rows."""
    current, new = record(rows=100, wrong=range(11)), candidate(rows=100, wrong=range(8))

    assert isinstance(evaluate_gate(new, current), Reject)
    decision = evaluate_gate(new, current, Rule.GAIN)

    assert isinstance(decision, Promote)
    assert decision.evidence.rule is Rule.GAIN


def test_a_gain_of_exactly_two_hundredths_does_not_pass_the_plain_rule() -> None:
    rejection = reasons(evaluate_gate(candidate(rows=300), record(rows=300, wrong=range(6)), Rule.GAIN))

    assert "accuracy 1.000 against 0.980 on 300 rows: no version can exceed the current one" in rejection

    rejection = reasons(evaluate_gate(candidate(wrong=range(2)), record(wrong=range(8)), Rule.GAIN))

    assert rejection == "accuracy 0.993 against 0.973 on 300 rows is +0.020, required is more than +0.020"


@pytest.mark.parametrize("rule", [Rule.IMPROVE, Rule.GAIN])
def test_a_current_version_that_cannot_gain_enough_is_compared_by_another_rule(rule: Rule) -> None:
    rejection = reasons(evaluate_gate(candidate(rows=80), record(rows=80, wrong=range(1)), rule))

    assert rejection == (
        "accuracy 1.000 against 0.988 on 80 rows: no version can exceed the current one by +0.020; "
        "`--rule non-inferior` requires only that this version is hardly worse"
    )


def test_of_equal_predictions_only_the_missing_gain_is_a_reason() -> None:
    rejection = reasons(evaluate_gate(candidate(wrong=range(30)), record(wrong=range(30))))

    assert rejection == "accuracy 0.900 against 0.900 on 300 rows is +0.000, required is +0.020 or more"


def test_the_plain_rule_keeps_the_minimum_requirements() -> None:
    losing_venda = candidate(wrong=range(1, 40, 2))
    decision = evaluate_gate(losing_venda, record(wrong=range(0, 80, 2)), Rule.GAIN)

    assert "a drop of more than 0.05" in reasons(decision)


def test_a_candidate_whose_test_leaked_is_rejected_whatever_its_scores() -> None:
    for current in (None, record(wrong=range(60))):
        rejection = reasons(evaluate_gate(candidate(leaked=3), current))

        assert "3 test rows of v1.1.0 are also training rows, or nearly (--allow-leakage)" in rejection


def test_a_current_version_whose_test_leaked_can_be_replaced() -> None:
    decision = evaluate_gate(candidate(wrong=range(30)), record(leaked=3))

    assert isinstance(decision, Promote)
    assert decision.evidence.comparison is None
    assert "v1.0.0 is not compared: its scores measure memorization (--allow-leakage)" in decision.evidence.notes


def test_a_current_version_whose_test_leaked_keeps_its_labels() -> None:
    current = record(leaked=3, labels=THREE)

    assert "v1.0.0 knows the label 'cobranca', v1.1.0 does not" in reasons(evaluate_gate(candidate(), current))


def test_an_equal_candidate_is_rejected_by_the_default_and_passes_as_non_inferior() -> None:
    current = record(wrong=range(30))
    same = candidate(wrong=range(30))

    assert isinstance(evaluate_gate(same, current), Reject)
    assert isinstance(evaluate_gate(same, current, Rule.NON_INFERIOR), Promote)


def test_with_too_few_rows_an_equal_candidate_is_not_shown_to_be_as_good() -> None:
    rejection = reasons(evaluate_gate(candidate(rows=200), record(rows=200), Rule.NON_INFERIOR))

    assert "the difference is above -0.013 with 95% confidence, required is -0.010" in rejection
    assert "needs about 268 rows" in rejection


def test_a_candidate_that_lost_too_many_rows_is_not_non_inferior() -> None:
    rejection = reasons(evaluate_gate(candidate(rows=1000, wrong=range(12)), record(rows=1000), Rule.NON_INFERIOR))

    assert "accuracy 0.988 against 1.000 on 1,000 rows" in rejection


def test_rows_that_the_candidate_learned_from_do_not_count() -> None:
    # On rows 0 to 99 the candidate is better, because it learned from them.
    decision = evaluate_gate(candidate(trained_on=range(100)), record(wrong=range(100)))

    assert isinstance(decision, Reject)
    assert decision.evidence.excluded_rows == 100
    assert decision.evidence.candidate_metrics
    assert decision.evidence.candidate_metrics.rows == 200


def test_rows_that_the_current_version_learned_from_do_not_count_either() -> None:
    decision = evaluate_gate(candidate(wrong=range(100)), record(trained_on=range(100)), Rule.NON_INFERIOR)

    assert decision.evidence.candidate_metrics
    assert decision.evidence.candidate_metrics.rows == 200
    assert decision.evidence.candidate_metrics.accuracy == 1.0


def test_with_no_row_left_the_reason_says_what_to_do() -> None:
    rejection = reasons(evaluate_gate(candidate(trained_on=range(300)), record()))

    assert rejection == (
        "v1.1.0 or v1.0.0 was trained on each of the 300 test rows, so scores would only measure memorization: "
        "test on rows that no version was trained on"
    )


def test_without_common_rows_the_reason_says_what_to_do() -> None:
    others = [answer(row, right=True) for row in range(1000, 1300)]

    rejection = reasons(evaluate_gate(candidate(predictions=others), record()))

    assert rejection == "no test row in common with v1.0.0: train again with the same test rows"


def test_missing_facts_about_a_version_reject() -> None:
    decision = evaluate_gate(candidate(), record(gaps=("v1.0.0 has no rows.json",)))

    assert reasons(decision) == "v1.0.0 has no rows.json"


def test_a_label_that_falls_by_more_than_five_hundredths_rejects_a_better_candidate() -> None:
    # Better on all of venda, worse on a tenth of suporte.
    current = record(rows=400, wrong=range(1, 200, 2))
    better = candidate(rows=400, wrong=range(0, 40, 2))

    rejection = reasons(evaluate_gate(better, current))

    assert rejection == "180 of 200 rows of 'suporte' found, the current version finds 200: a drop of more than 0.05"


def test_a_label_without_a_common_row_rejects() -> None:
    only_venda = range(1, 600, 2)
    current = record(predictions=[answer(row, right=True) for row in only_venda])
    same = candidate(predictions=[answer(row, right=True) for row in only_venda])

    assert reasons(evaluate_gate(same, current, Rule.NON_INFERIOR)) == "no test row is labelled 'suporte': add some"


def with_a_new_label(*, correct: int) -> VersionRecord:
    """A version as good as the others on their labels. Of the 20 rows of `cobranca`, it gets `correct` rows right."""
    shared = [answer(row, right=True, labels=THREE, label=LABELS[row % 2]) for row in range(300)]
    new = [answer(row, right=row < 300 + correct, labels=THREE, label="cobranca") for row in range(300, 320)]
    return candidate(labels=THREE, predictions=[*shared, *new])


def test_a_new_label_is_judged_on_the_shared_labels_and_its_own_recall() -> None:
    decision = evaluate_gate(with_a_new_label(correct=15), record(), Rule.NON_INFERIOR)

    assert isinstance(decision, Promote)
    assert decision.evidence.candidate_metrics
    assert decision.evidence.candidate_metrics.rows == 300
    assert decision.evidence.candidate_metrics.recalls["cobranca"].rows == 20
    assert decision.evidence.candidate_metrics.recalls["cobranca"].true_positives == 15
    assert decision.evidence.notes == (
        "rows of labels that v1.0.0 does not know count only in the recall of the label: cobranca",
    )


def test_a_new_label_that_is_not_found_rejects() -> None:
    rejection = reasons(evaluate_gate(with_a_new_label(correct=9), record(), Rule.NON_INFERIOR))

    assert rejection == "9 of 20 rows of 'cobranca' found, at least half is required"


def test_a_new_label_that_takes_rows_from_the_others_is_worse() -> None:
    shared = [answer(row, right=row % 10 > 0, labels=THREE, label=LABELS[row % 2]) for row in range(300)]
    new = [answer(row, right=True, labels=THREE, label="cobranca") for row in range(300, 320)]

    rejection = reasons(
        evaluate_gate(candidate(labels=THREE, predictions=[*shared, *new]), record(), Rule.NON_INFERIOR)
    )

    assert "accuracy 0.900 against 1.000" in rejection


def test_a_row_that_was_relabelled_with_the_new_label_is_not_compared() -> None:
    # The current version was tested on these 20 rows too, when they still had one of its labels.
    decision = evaluate_gate(with_a_new_label(correct=15), record(rows=320), Rule.NON_INFERIOR)

    assert decision.evidence.candidate_metrics
    assert decision.evidence.candidate_metrics.rows == 300


def test_a_label_that_the_candidate_lacks_rejects_it() -> None:
    three = [answer(row, right=True, labels=THREE) for row in range(900)]
    two = [answer(row, right=True, label=THREE[row % 3]) for row in range(900) if row % 3]

    rejection = reasons(
        evaluate_gate(candidate(predictions=two), record(labels=THREE, predictions=three), Rule.NON_INFERIOR)
    )

    assert rejection == "v1.0.0 knows the label 'cobranca', v1.1.0 does not: train with rows of it"


def test_labels_are_compared_by_name_whatever_their_order() -> None:
    reversed_labels = tuple(reversed(LABELS))
    same = [answer(row, right=True, labels=reversed_labels, label=LABELS[row % 2]) for row in range(300)]

    assert isinstance(
        evaluate_gate(candidate(labels=reversed_labels, predictions=same), record(), Rule.NON_INFERIOR), Promote
    )


def test_a_label_corrected_in_the_candidates_data_is_the_truth_for_both() -> None:
    corrected: list[ScoredRow] = [
        answer(row, right=True, label=LABELS[(row + (row < 30)) % 2]) for row in range(300)
    ]  # the first 30 rows were labelled wrongly when the current version was tested

    decision = evaluate_gate(candidate(predictions=corrected), record())

    assert isinstance(decision, Promote)
    assert decision.evidence.comparison
    assert decision.evidence.comparison.accuracy == 0.9


def test_less_reliable_confidences_reject() -> None:
    # Equal labels, but the candidate is almost certain of its mistakes too.
    wrong = range(30)
    rejection = reasons(
        evaluate_gate(candidate(wrong=wrong, confidence=0.999), record(wrong=wrong), Rule.NON_INFERIOR)
    )

    assert rejection == "confidences are less reliable: NLL 0.692 against 0.325, at most 0.05 more is allowed"


def test_uninformative_confidences_reject_too() -> None:
    rejection = reasons(evaluate_gate(candidate(confidence=0.51), record(), Rule.NON_INFERIOR))

    assert "confidences are less reliable" in rejection


def test_one_more_confident_mistake_does_not_make_confidences_less_reliable() -> None:
    mistake = answer(0, right=False, confidence=1.0)
    decision = evaluate_gate(
        candidate(predictions=[mistake, *(answer(row, right=True) for row in range(1, 300))]), record()
    )

    assert "confidences" not in reasons(decision)


@pytest.mark.parametrize(("cost", "passes"), [(22.0, True), (22.5, False)])
def test_a_candidate_may_cost_a_tenth_more(cost: float, passes: bool) -> None:
    decision = evaluate_gate(candidate(mflops_per_token=cost), record(wrong=range(30)))

    assert isinstance(decision, Promote) is passes
    assert passes or reasons(decision) == (
        "slower: mflops_per_token 22.5 against 20.0, 1.12 times as many; at most 1.1 times is allowed "
        "(TRIAGEM_MAX_COST_RATIO): accept the cost with `triagem models promote --accept-cost`"
    )


def test_a_higher_limit_lets_a_larger_model_pass_and_reports_its_cost() -> None:
    larger, current = candidate(mflops_per_token=40.0), record(wrong=range(30))

    decision = evaluate_gate(larger, current, max_cost_ratio=2.0)

    assert isinstance(decision, Promote)
    assert decision.evidence.notes[-1] == (
        "slower, which is accepted: mflops_per_token 40.0 against 20.0, 2.00 times as many"
    )
    assert "2.00 times as many; at most 1.9 times is allowed" in reasons(
        evaluate_gate(larger, current, max_cost_ratio=1.9)
    )


def test_speed_is_not_checked_if_a_manifest_lacks_it() -> None:
    current = record(wrong=range(30))
    unknown = VersionRecord(current.version, current.labels, current.predictions, current.trained_on, metrics={})

    decision = evaluate_gate(candidate(mflops_per_token=900.0), unknown)

    assert isinstance(decision, Promote)
    assert decision.evidence.notes == ("v1.0.0 has no mflops_per_token: its speed is not checked",)
