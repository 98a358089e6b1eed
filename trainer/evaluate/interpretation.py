"""Interprets metrics: the original specification's quality levels, and whether the model beats the baseline. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from triagem.contracts.assessment import MetricEstimate, MetricVerdict, Slice, Verdict

# The original specification's table: above the first value a metric is good, above the second excellent.
QUALITY_LEVELS: Final = {
    "accuracy": (0.80, 0.90),
    "precision": (0.85, 0.95),
    "recall": (0.85, 0.95),
    "f1": (0.85, 0.95),
}


METRIC_NAMES: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision, weighted",
    "recall": "Recall, weighted",
    "f1": "F1, weighted",
    "macro_precision": "Precision, macro",
    "macro_recall": "Recall, macro",
    "macro_f1": "F1, macro",
    "nll": "Log loss (NLL)",
    "brier": "Brier score",
    "ece": "Calibration error (ECE)",
    "auroc_wrong": "AUROC of error detection",
    "aurc": "AURC (mean risk over all coverages)",
}


def format_estimate(estimate: MetricEstimate) -> str:
    """A metric with its interval, `0.975 (0.962-0.987)`; a dash where the rows do not define it."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.value:.3f} ({estimate.low:.3f}\N{EN DASH}{estimate.high:.3f})"


def metric_verdicts(metrics: Mapping[str, MetricEstimate]) -> Iterator[MetricVerdict]:
    """The specification's verdict on each metric that it names, and on the lower bound of its interval."""
    for metric in QUALITY_LEVELS:
        estimate = metrics[metric]
        if estimate.value is not None and estimate.low is not None:
            yield MetricVerdict(
                metric=metric,
                value=estimate.value,
                verdict=verdict(metric, estimate.value),
                lower_bound_verdict=verdict(metric, estimate.low),
            )


def verdict(metric: str, value: float) -> Verdict:
    """The specification's quality level for a value; its limits are exclusive."""
    good, excellent = QUALITY_LEVELS[metric]
    return "excellent" if value > excellent else "good" if value > good else "not yet good"


def compare_with_baseline(
    model: Slice, baseline: Slice, gain: MetricEstimate, langs: Mapping[str, tuple[Slice, Slice]]
) -> str:
    """A sentence on whether the model beats the baseline in macro-F1, by the paired interval of the difference.

    Languages in which it does not are named.

    Args:
        model: the model's metrics on all rows.
        baseline: the baseline's.
        gain: the model's macro-F1 minus the baseline's.
        langs: the model's and the baseline's metrics on the rows of each language.
    """
    model_f1, baseline_f1, low, high = _macro_f1(model), _macro_f1(baseline), gain.low or 0.0, gain.high or 0.0
    figures = f"macro-F1 {model_f1:.3f} against {baseline_f1:.3f}, difference {low:+.3f} to {high:+.3f}"
    if model_f1 <= baseline_f1:
        sentence = f"The model does not beat TF-IDF with logistic regression, which costs far less ({figures})."
    elif low <= 0:
        sentence = f"These rows do not show that the model beats TF-IDF with logistic regression ({figures})."
    else:
        sentence = f"The model beats TF-IDF with logistic regression ({figures})."
    behind = languages_behind(langs)
    return f"{sentence} It is not better in {', '.join(behind)}." if behind else sentence


def languages_behind(langs: Mapping[str, tuple[Slice, Slice]]) -> list[str]:
    """The languages in which the model's macro-F1 is not above the baseline's, with both values."""
    scores = {lang: (_macro_f1(model), _macro_f1(baseline)) for lang, (model, baseline) in langs.items()}
    return [
        f"{lang} ({model_f1:.3f} against {baseline_f1:.3f})"
        for lang, (model_f1, baseline_f1) in scores.items()
        if model_f1 <= baseline_f1
    ]


def _macro_f1(scored: Slice) -> float:
    return scored.metrics["macro_f1"].value or 0.0
