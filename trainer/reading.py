"""What figures mean, in words: the seed document's reading, and whether the simplest model would have done. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from triagem.trainer.report import Figure, Reading, Slice, Verdict

# The seed document's table: over the first share a metric is good, over the second excellent.
SEED_READING: Final = {
    "accuracy": (0.80, 0.90),
    "precision": (0.85, 0.95),
    "recall": (0.85, 0.95),
    "f1": (0.85, 0.95),
}


NAMES: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision, weighted",
    "recall": "Recall, weighted",
    "f1": "F1, weighted",
    "macro_precision": "Precision, macro",
    "macro_recall": "Recall, macro",
    "macro_f1": "F1, macro",
    "nll": "NLL",
    "brier": "Brier score",
    "ece": "ECE",
    "auroc_wrong": "AUROC of “is it wrong”",
    "aurc": "Risk over all coverages",
}


def figure(one: Figure) -> str:
    """A figure with its interval, `0.975 (0.962-0.987)`; a dash where the rows do not define it."""
    if one.value is None or one.low is None or one.high is None:
        return "-"
    return f"{one.value:.3f} ({one.low:.3f}\N{EN DASH}{one.high:.3f})"


def readings(figures: Mapping[str, Figure]) -> Iterator[Reading]:
    """The seed's verdict on each figure that it names, and on the lower end of its interval."""
    for metric in SEED_READING:
        one = figures[metric]
        if one.value is not None and one.low is not None:
            yield Reading(
                metric=metric, value=one.value, verdict=verdict(metric, one.value), surely=verdict(metric, one.low)
            )


def verdict(metric: str, value: float) -> Verdict:
    """The seed's word for a figure; its bounds are exclusive."""
    good, excellent = SEED_READING[metric]
    return "excellent" if value > excellent else "good" if value > good else "not yet good"


def beside_baseline(ours: Slice, theirs: Slice, gain: Figure, langs: Mapping[str, tuple[Slice, Slice]]) -> str:
    """Whether the model was worth its cost, by macro-F1 and the paired interval of the difference; and where not.

    Args:
        ours: the model's figures on all rows.
        theirs: the baseline's.
        gain: the difference of both in macro-F1.
        langs: the same two for the rows of each language.
    """
    model, baseline, low, high = _macro_f1(ours), _macro_f1(theirs), gain.low or 0.0, gain.high or 0.0
    figures = f"macro-F1 {model:.3f} against {baseline:.3f}, difference {low:+.3f} to {high:+.3f}"
    if model <= baseline:
        said = f"The model does not beat TF-IDF with logistic regression, which costs far less ({figures})."
    elif low <= 0:
        said = f"These rows do not show that the model beats TF-IDF with logistic regression ({figures})."
    else:
        said = f"The model beats TF-IDF with logistic regression ({figures})."
    where = behind(langs)
    return f"{said} It is no better in {', '.join(where)}." if where else said


def behind(langs: Mapping[str, tuple[Slice, Slice]]) -> list[str]:
    """In which languages the model's macro-F1 is not above the baseline's, with both."""
    both = {lang: (_macro_f1(ours), _macro_f1(theirs)) for lang, (ours, theirs) in langs.items()}
    return [f"{lang} ({ours:.3f} against {theirs:.3f})" for lang, (ours, theirs) in both.items() if ours <= theirs]


def _macro_f1(one: Slice) -> float:
    return one.figures["macro_f1"].value or 0.0
