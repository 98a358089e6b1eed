"""Promotion gate: decides whether a candidate may replace the current version. Pure.

Uses the standard library and contracts only, because the gateway runs it too. `triagem.registry.records` reads the
records; `triagem.registry.promote` acts on the decision.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

from triagem.registry import gate_texts
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
        gate_texts.MISSING_LABEL.format(other=other.version, label=label, version=candidate.version)
        for label in other.labels
        if label not in candidate.labels
    )
    unverified: tuple[str, ...] = ()
    if current and current.leaked:
        unverified = (gate_texts.NOT_COMPARED.format(version=current.version),)
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
        leaked = gate_texts.LEAKED.format(leaked=candidate.leaked, version=candidate.version)
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
        figures: dict[str, Any] = {"metric": COST_METRIC, "cost": cost, "current": current_cost, "ratio": ratio}
        if ratio > max_cost_ratio:
            reasons += (gate_texts.SLOWER.format(limit=max_cost_ratio, **figures),)
        elif ratio > MAX_COST_RATIO:
            accepted = gate_texts.SLOWER_ACCEPTED.format(**figures)
            evidence = replace(evidence, notes=(*evidence.notes, accepted))
    return Reject(evidence, reasons) if reasons else Promote(evidence)


def _no_rows(evidence: GateEvidence) -> str:
    version, current, rows = evidence.candidate, evidence.current, evidence.excluded_rows
    if rows and current:
        return gate_texts.EITHER_SEEN.format(version=version, current=current, rows=rows)
    if rows:
        return gate_texts.ALL_ROWS_SEEN.format(version=version, rows=rows)
    if current is None:
        return gate_texts.NO_ROWS.format(version=version)
    return gate_texts.NO_COMMON_ROWS.format(current=current)


def _accuracy_reasons(rule: Rule, metrics: CandidateMetrics, comparison: Comparison | None) -> Iterator[str]:
    measured = {"accuracy": metrics.accuracy, "rows": metrics.rows}
    if comparison is None:
        if metrics.accuracy <= metrics.most_frequent:
            yield gate_texts.NO_BETTER_THAN_GUESSING.format(guessing=metrics.most_frequent, **measured)
        return
    measured["current"] = comparison.accuracy
    if rule is Rule.NON_INFERIOR:
        if comparison.lower_bound <= -NON_INFERIORITY_MARGIN:
            yield gate_texts.PERHAPS_WORSE.format(
                bound=comparison.lower_bound, required=-float(NON_INFERIORITY_MARGIN),
                needed=comparison.rows_needed, **measured,
            )  # fmt: skip
        return
    gain = Fraction(comparison.gained - comparison.lost, metrics.rows)
    measured |= {"gain": float(gain), "required": float(MIN_GAIN)}
    possible_gain = 1 - Fraction(round(comparison.accuracy * metrics.rows), metrics.rows)
    if possible_gain < MIN_GAIN or (rule is Rule.GAIN and possible_gain == MIN_GAIN):
        yield gate_texts.NO_GAIN_POSSIBLE.format(**measured)
        return
    if rule is Rule.GAIN:
        if gain <= MIN_GAIN:
            yield gate_texts.SMALL_GAIN.format(**measured)
        return
    if gain < MIN_GAIN:
        yield gate_texts.SMALL_IMPROVEMENT.format(**measured)
    if comparison.p_value >= ALPHA and comparison.gained + comparison.lost:
        discordance = (comparison.gained + comparison.lost) / metrics.rows
        larger = {"needed_for_gain": mcnemar_sample_size(discordance, float(gain))} if gain > MIN_GAIN else {}
        template = gate_texts.GAIN_PERHAPS_CHANCE if larger else gate_texts.PERHAPS_CHANCE
        yield template.format(
            gained=comparison.gained, lost=comparison.lost, p_value=comparison.p_value, alpha=ALPHA,
            needed=comparison.rows_needed, **measured, **larger,
        )  # fmt: skip


def _recall_reasons(metrics: CandidateMetrics) -> Iterator[str]:
    for label, recall in metrics.recalls.items():
        if not recall.rows:
            yield gate_texts.LABEL_WITHOUT_ROWS.format(label=label)
            continue
        share = Fraction(recall.true_positives, recall.rows)
        measured = {"found": recall.true_positives, "rows": recall.rows, "label": label}
        if share < MIN_RECALL:
            yield gate_texts.LOW_RECALL.format(**measured)
        current = recall.current_true_positives
        if current is not None and share < Fraction(current, recall.rows) - MAX_RECALL_DROP:
            yield gate_texts.RECALL_DROP.format(current=current, limit=float(MAX_RECALL_DROP), **measured)


def _reliability_reasons(metrics: CandidateMetrics, comparison: Comparison | None) -> Iterator[str]:
    if comparison and metrics.nll > comparison.nll + MAX_NLL_INCREASE:
        yield gate_texts.LESS_RELIABLE.format(nll=metrics.nll, current=comparison.nll, limit=MAX_NLL_INCREASE)
