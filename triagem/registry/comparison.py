"""Compute the gate's metrics from stored predictions. Pure; the thresholds are in `triagem.registry.gate`."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Final

from triagem.registry.decision import CandidateMetrics, Comparison, Recall, Rule, VersionRecord
from triagem.registry.paired_tests import (
    lower_bound,
    mcnemar_p_value,
    mcnemar_sample_size,
    non_inferiority_sample_size,
)

COST_METRIC: Final = "mflops_per_token"
MIN_PROBABILITY: Final = 0.001  # in the log loss: a single mislabelled row must not decide


def measure(candidate: VersionRecord, current: VersionRecord | None, rows: Sequence[str]) -> CandidateMetrics:
    """The candidate's metrics on `rows` (at least one).

    The recall of a label that the current version lacks counts all of the candidate's unseen test rows.
    """
    labels = Counter(candidate.predictions[digest].label for digest in rows)
    recalls = {}
    for label in candidate.labels:
        shared = current is not None and label in current.labels
        eligible = rows if shared or current is None else sorted(candidate.predictions.keys() - candidate.trained_on)
        labelled = [digest for digest in eligible if candidate.predictions[digest].label == label]
        recalls[label] = Recall(
            rows=len(labelled),
            true_positives=sum(_correct(candidate, candidate, labelled)),
            current_true_positives=sum(_correct(current, candidate, labelled)) if current and shared else None,
        )
    return CandidateMetrics(
        rows=len(rows),
        accuracy=sum(_correct(candidate, candidate, rows)) / len(rows),
        most_frequent=max(labels.values()) / len(rows),
        recalls=recalls,
        nll=_nll(candidate, candidate, rows),
        mflops_per_token=candidate.metrics.get(COST_METRIC),
    )


def compare(candidate: VersionRecord, current: VersionRecord, rule: Rule, rows: Sequence[str]) -> Comparison:
    """The current version's metrics on `rows` (at least one), and how the two versions differ."""
    candidate_correct, current_correct = _correct(candidate, candidate, rows), _correct(current, candidate, rows)
    pairs = list(zip(candidate_correct, current_correct, strict=True))
    gained = sum(ours and not theirs for ours, theirs in pairs)
    lost = sum(theirs and not ours for ours, theirs in pairs)
    discordance = (gained + lost) / len(rows)
    sample_size = non_inferiority_sample_size if rule is Rule.NON_INFERIOR else mcnemar_sample_size
    return Comparison(
        accuracy=sum(current_correct) / len(rows),
        nll=_nll(current, candidate, rows),
        mflops_per_token=current.metrics.get(COST_METRIC),
        gained=gained,
        lost=lost,
        p_value=mcnemar_p_value(gained, lost),
        lower_bound=lower_bound(gained, lost, len(rows)),
        rows_needed=sample_size(discordance),
    )


def notes(candidate: VersionRecord, current: VersionRecord | None) -> tuple[str, ...]:
    """Facts worth showing to a person that do not affect the decision."""
    versions = (candidate, current) if current else (candidate,)
    lines = [
        f"{record.version} has no {COST_METRIC}: its speed is not checked"
        for record in versions
        if COST_METRIC not in record.metrics
    ]
    model, baseline = candidate.metrics.get("macro_f1"), candidate.metrics.get("baseline_macro_f1")
    if model is not None and baseline is not None and baseline > model:
        lines.append(f"TF-IDF with logistic regression is better: macro-F1 {baseline:.3f} against {model:.3f}")
    return tuple(lines)


def _correct(record: VersionRecord, truth: VersionRecord, rows: Sequence[str]) -> list[bool]:
    return [record.predicted_label(digest) == truth.predictions[digest].label for digest in rows]


def _nll(record: VersionRecord, truth: VersionRecord, rows: Sequence[str]) -> float:
    distributions = (
        dict(zip(record.labels, record.predictions[digest].probabilities, strict=True)) for digest in rows
    )
    true_probabilities = (
        distribution.get(truth.predictions[digest].label, 0.0)
        for digest, distribution in zip(rows, distributions, strict=True)
    )
    return -sum(log(max(probability, MIN_PROBABILITY)) for probability in true_probabilities) / len(rows)
