"""From stored answers to the gate's figures. Pure; the thresholds are the gate's."""

from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Final

from triagem.registry.decision import Compared, Measured, Recall, Record, Rule
from triagem.registry.paired import lower_bound, mcnemar, rows_to_clear, rows_to_see

SPEED: Final = "mflops_per_token"
LEAST_SHARE: Final = 0.001  # in the log loss: one row that is labelled wrongly must not decide


def measure(candidate: Record, current: Record | None, rows: Sequence[str]) -> Measured:
    """The candidate on these rows, at least one; a label that the current version lacks on all rows of its own."""
    labels = Counter(candidate.answers[one].label for one in rows)
    recalls = {}
    for label in candidate.labels:
        shared = current is not None and label in current.labels
        own = rows if shared or current is None else sorted(candidate.answers.keys() - candidate.learned)
        of_it = [one for one in own if candidate.answers[one].label == label]
        recalls[label] = Recall(
            rows=len(of_it),
            found=sum(_right(candidate, candidate, of_it)),
            found_by_current=sum(_right(current, candidate, of_it)) if current and shared else None,
        )
    return Measured(
        rows=len(rows),
        accuracy=sum(_right(candidate, candidate, rows)) / len(rows),
        most_frequent=max(labels.values()) / len(rows),
        recalls=recalls,
        nll=_nll(candidate, candidate, rows),
        mflops_per_token=candidate.metrics.get(SPEED),
    )


def compare(candidate: Record, current: Record, rule: Rule, rows: Sequence[str]) -> Compared:
    """The current version on these rows, at least one, and how the two differ."""
    right, right_now = _right(candidate, candidate, rows), _right(current, candidate, rows)
    gained = sum(one and not other for one, other in zip(right, right_now, strict=True))
    lost = sum(other and not one for one, other in zip(right, right_now, strict=True))
    discordance = (gained + lost) / len(rows)
    return Compared(
        accuracy=sum(right_now) / len(rows),
        nll=_nll(current, candidate, rows),
        mflops_per_token=current.metrics.get(SPEED),
        gained=gained,
        lost=lost,
        p_value=mcnemar(gained, lost),
        lower_bound=lower_bound(gained, lost, len(rows)),
        rows_needed=rows_to_clear(discordance) if rule is Rule.NON_INFERIOR else rows_to_see(discordance),
    )


def notes(candidate: Record, current: Record | None) -> tuple[str, ...]:
    """What a person should know and the decision does not rest on."""
    both = (candidate, current) if current else (candidate,)
    said = [f"{one.version} has no {SPEED}: its speed is not looked at" for one in both if SPEED not in one.metrics]
    model, simplest = candidate.metrics.get("macro_f1"), candidate.metrics.get("baseline_macro_f1")
    if model is not None and simplest is not None and simplest > model:
        said.append(f"TF-IDF with logistic regression is better: macro-F1 {simplest:.3f} against {model:.3f}")
    return tuple(said)


def _right(record: Record, truth: Record, rows: Sequence[str]) -> list[bool]:
    return [record.said(one) == truth.answers[one].label for one in rows]


def _nll(record: Record, truth: Record, rows: Sequence[str]) -> float:
    said = (dict(zip(record.labels, record.answers[one].probabilities, strict=True)) for one in rows)
    true = (share.get(truth.answers[one].label, 0.0) for one, share in zip(rows, said, strict=True))
    return -sum(log(max(share, LEAST_SHARE)) for share in true) / len(rows)
