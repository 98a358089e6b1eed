"""Promotion gate: decides whether a candidate may replace the current version. Pure.

Uses the standard library and contracts only, because the gateway runs it too. `triagem.registry.records` reads the
records; `triagem.registry.promote` acts on the decision.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from triagem.registry.comparison import (
    ALPHA,
    COST_METRIC,
    MIN_GAIN,
    NON_INFERIORITY_MARGIN,
    compare,
    mcnemar_sample_size,
    measure,
    notes,
)
from triagem.registry.decision import (
    CandidateMetrics,
    Comparison,
    Decision,
    GateEvidence,
    Promote,
    Reject,
    Rule,
    VersionRecord,
)

# a model that finds fewer than half of a label's messages has not learned the label
MIN_RECALL: Final = Fraction("0.5")
# The original specification retrains on this drop in accuracy; here it applies to each label's recall.
MAX_RECALL_DROP: Final = Fraction("0.05")
MAX_NLL_INCREASE: Final = 0.05
MAX_COST_RATIO: Final = 1.1


def evaluate_gate(
    candidate: VersionRecord,
    current: VersionRecord | None,
    rule: Rule = Rule.IMPROVE,
    *,
    max_cost_ratio: float = MAX_COST_RATIO,
) -> Decision:
    """Compare a candidate with the current version or, if there is none, with the minimum requirements alone.

    - Only rows count that both versions predicted and that neither, nor an ancestor, was trained on: other scores
      measure memorization.
    - Rows of a label that the current version lacks are not compared: for such a label, only the minimum recall is
      required.
    - A candidate whose test rows leaked into its training is rejected: its scores are invalid. A current version
      whose test rows leaked is not compared: the candidate is judged like a first version.
    - `improve`: accuracy up by 0.02 or more, and McNemar's exact p under 0.05. `gain`: the original specification's
      plain rule, accuracy up by more than 0.02, which may be chance. `non-inferior`: the lower bound of the
      difference above -0.01. A first version: more accurate than always predicting its test's most frequent label.
    - Each label's recall is at least 0.5, and not more than 0.05 below the current version's.
    - The log loss (NLL) is not more than 0.05 above the current version's: confidences stay as reliable. For scale:
      being 0.999 confident and wrong 3 times in 100 costs 0.07. The ECE is not used: on few rows its bins are mostly
      noise, and a right answer can raise it.
    - A token costs at most `max_cost_ratio` times the current version's computation.
    """
    other = current or candidate
    missing_labels = tuple(
        f"{other.version} knows the label {label!r}, {candidate.version} does not: train with rows of it"
        for label in other.labels
        if label not in candidate.labels
    )
    unverified: tuple[str, ...] = ()
    if current and current.leaked:
        unverified = (f"{current.version} is not compared: its scores measure memorization (--allow-leakage)",)
        current = None
    other = current or candidate
    evidence = GateEvidence(
        candidate=candidate.version,
        current=current.version if current else None,
        rule=rule if current else None,
        notes=(*unverified, *notes(candidate, current)),
    )
    if gaps := tuple(dict.fromkeys((*candidate.gaps, *other.gaps))):
        return Reject(evidence, gaps)
    if candidate.leaked:
        leaked = (
            f"{candidate.leaked:,} test rows of {candidate.version} are also training rows, or nearly "
            "(--allow-leakage): its scores measure memorization; train it with test rows that train does not repeat"
        )
        return Reject(evidence, (leaked,))
    common = candidate.predictions.keys() & other.predictions.keys()
    unseen = common - candidate.trained_on - other.trained_on
    # The candidate's labels are newer: a corrected label is used as the truth for both versions.
    rows = sorted(digest for digest in unseen if candidate.predictions[digest].label in other.labels)
    evidence = replace(evidence, excluded_rows=len(common) - len(unseen))
    if not rows:
        return Reject(evidence, (*missing_labels, _no_rows(evidence)))
    metrics = measure(candidate, current, rows)
    comparison = compare(candidate, current, rule, rows) if current else None
    evidence = replace(evidence, candidate_metrics=metrics, comparison=comparison)
    reasons = (
        *missing_labels,
        *_accuracy_reasons(rule, metrics, comparison),
        *_recall_reasons(metrics),
        *_reliability_reasons(metrics, comparison),
    )
    cost, current_cost = metrics.mflops_per_token, comparison.mflops_per_token if comparison else None
    if cost is not None and current_cost:
        ratio = cost / current_cost
        figures = f"{COST_METRIC} {cost:.1f} against {current_cost:.1f}, {ratio:.2f} times as many"
        if ratio > max_cost_ratio:
            limit = f"at most {max_cost_ratio} times is allowed (TRIAGEM_MAX_COST_RATIO)"
            accept = "accept the cost with `triagem models promote --accept-cost`"
            reasons += (f"slower: {figures}; {limit}: {accept}",)
        elif ratio > MAX_COST_RATIO:
            evidence = replace(evidence, notes=(*evidence.notes, f"slower, which is accepted: {figures}"))
    return Reject(evidence, reasons) if reasons else Promote(evidence)


def _no_rows(evidence: GateEvidence) -> str:
    if evidence.excluded_rows:
        versions = f"{evidence.candidate} or {evidence.current}" if evidence.current else evidence.candidate
        return (
            f"{versions} was trained on each of the {evidence.excluded_rows} test rows, so scores would only measure "
            "memorization: test on rows that no version was trained on"
        )
    if evidence.current is None:
        return f"{evidence.candidate} has no test rows: train again with test rows"
    return f"no test row in common with {evidence.current}: train again with the same test rows"


def _accuracy_reasons(rule: Rule, metrics: CandidateMetrics, comparison: Comparison | None) -> Iterator[str]:
    if comparison is None:
        if metrics.accuracy <= metrics.most_frequent:
            yield (
                f"accuracy {metrics.accuracy:.3f} on {metrics.rows:,} rows: always predicting their most frequent "
                f"label would have {metrics.most_frequent:.3f}"
            )
        return
    accuracies = f"accuracy {metrics.accuracy:.3f} against {comparison.accuracy:.3f} on {metrics.rows:,} rows"
    if rule is Rule.NON_INFERIOR:
        if comparison.lower_bound <= -NON_INFERIORITY_MARGIN:
            yield (
                f"{accuracies}: the difference is above {comparison.lower_bound:+.3f} with 95 % confidence, required "
                f"is {-float(NON_INFERIORITY_MARGIN):+.3f}; an equally good version needs about "
                f"{comparison.rows_needed:,} rows"
            )
        return
    gain, smallest = Fraction(comparison.gained - comparison.lost, metrics.rows), f"{float(MIN_GAIN):+.3f}"
    if rule is Rule.GAIN:
        if gain <= MIN_GAIN:
            yield f"{accuracies} is {float(gain):+.3f}, required is more than {smallest}"
        return
    if gain < MIN_GAIN:
        yield f"{accuracies} is {float(gain):+.3f}, required is {smallest} or more"
    if comparison.p_value >= ALPHA:
        needed = f"showing {smallest} takes about {comparison.rows_needed:,}"
        if gain > MIN_GAIN:
            discordance = (comparison.gained + comparison.lost) / metrics.rows
            needed += (
                f", showing the observed {float(gain):+.3f} about {mcnemar_sample_size(discordance, float(gain)):,} "
                f"(`--rule gain` requires only more than {smallest})"
            )
        yield (
            f"{comparison.gained} rows gained and {comparison.lost} lost may be chance (McNemar's p "
            f"{comparison.p_value:.3f}, required is under {ALPHA}): {metrics.rows:,} test rows are too few; {needed}"
        )


def _recall_reasons(metrics: CandidateMetrics) -> Iterator[str]:
    for label, recall in metrics.recalls.items():
        if not recall.rows:
            yield f"no test row is labelled {label!r}: add some"
            continue
        share = Fraction(recall.true_positives, recall.rows)
        summary = f"{recall.true_positives} of {recall.rows} rows of {label!r} found"
        if share < MIN_RECALL:
            yield f"{summary}, at least half is required"
        current = recall.current_true_positives
        if current is not None and share < Fraction(current, recall.rows) - MAX_RECALL_DROP:
            yield f"{summary}, the current version finds {current}: a drop of more than {float(MAX_RECALL_DROP)}"


def _reliability_reasons(metrics: CandidateMetrics, comparison: Comparison | None) -> Iterator[str]:
    if comparison and metrics.nll > comparison.nll + MAX_NLL_INCREASE:
        yield (
            f"confidences are less reliable: NLL {metrics.nll:.3f} against {comparison.nll:.3f}, at most "
            f"{MAX_NLL_INCREASE} more is allowed"
        )
