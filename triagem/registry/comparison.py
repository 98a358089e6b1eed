"""Compute the gate's metrics from stored predictions. Pure; the thresholds are in `triagem.registry.gate`."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from math import ceil, log, sqrt
from statistics import NormalDist
from typing import Final

from triagem.registry import gate_texts
from triagem.registry.decision import CandidateMetrics, Comparison, Recall, Rule, VersionRecord

MIN_GAIN: Final = Fraction("0.02")  # the original specification: "deploy if it is better by more than 2 %"
NON_INFERIORITY_MARGIN: Final = Fraction("0.01")
ALPHA: Final = 0.05
POWER: Final = 0.8

_NORMAL: Final = NormalDist()
_ONE_SIDED: Final = _NORMAL.inv_cdf(1 - ALPHA)
_TWO_SIDED: Final = _NORMAL.inv_cdf(1 - ALPHA / 2)
_WITH_POWER: Final = _NORMAL.inv_cdf(POWER)
_HALVINGS: Final = 60  # bisection steps over an interval of at most 2: beyond a float's precision


def mcnemar_p_value(gained: int, lost: int) -> float:
    """The two-sided p-value of the exact McNemar test: for equal models each discordant row is a coin toss.

    The test is two-sided, because textbooks and other programs report the two-sided value, and because the gate is
    run on the same rows for each candidate. The gate also requires the right sign, so an equal model passes at most 1
    time in 40, not 1 in 20. Computed with integers, so that thousands of rows lose no precision.
    """
    tosses, fewer = gained + lost, min(gained, lost)
    ways = total = 1
    for heads in range(1, fewer + 1):
        ways = ways * (tosses - heads + 1) // heads
        total += ways
    return min(1.0, 2 * total / (1 << tosses))


def lower_bound(gained: int, lost: int, rows: int, alpha: float = ALPHA) -> float:
    """The lower bound of a one-sided 95 % interval of (candidate's accuracy - current's), by Tango's score statistic.

    Tango (1998), Statistics in Medicine 17:891-908: the difference that the observed counts are just not
    significantly above. Without discordant rows, Wald's interval would have no width; the score interval ends at
    -z²/(rows + z²).

    Args:
        rows: all common rows, at least 1.
    """
    low, high, limit = -1.0, (gained - lost) / rows, _NORMAL.inv_cdf(1 - alpha)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(gained, lost, rows, middle) > limit:
            low = middle
        else:
            high = middle
    return low


def mcnemar_sample_size(discordance: float, difference: float = float(MIN_GAIN)) -> int:
    """The number of rows McNemar's test needs to detect a true difference (here 0.02) with a power of 80 %.

    Connor (1987), Biometrics 43:207-211: n = (z·√ψ + z'·√(ψ - δ²))² / δ², where ψ is the share of discordant rows, at
    least δ, and z, z' are the normal quantiles of the two-sided level and of the power.
    """
    psi = max(discordance, difference)
    return ceil((_TWO_SIDED * sqrt(psi) + _WITH_POWER * sqrt(psi - difference**2)) ** 2 / difference**2)


def non_inferiority_sample_size(discordance: float) -> int:
    """The number of rows that show, with a power of 80 %, that an equally good candidate is not worse by the margin.

    Liu, Hsueh, Hsieh and Chen (2002), Statistics in Medicine 21:231-245, at a true difference of zero:
    n = ψ·((z + z') / margin)². With very few discordant rows, the result is the number that `lower_bound` needs
    without any discordant row: z²·(1 - margin) / margin.
    """
    margin = float(NON_INFERIORITY_MARGIN)
    fewest = _ONE_SIDED**2 * (1 - margin) / margin
    return ceil(max(fewest, discordance * ((_ONE_SIDED + _WITH_POWER) / margin) ** 2))


def _score(gained: int, lost: int, rows: int, difference: float) -> float:
    """By how many standard errors the observed difference exceeds a hypothetical one."""
    # The maximum-likelihood share of lost rows under the hypothetical difference is the root of a quadratic.
    linear = (2 * rows - gained + lost) * difference - gained - lost
    constant = -lost * difference * (1 - difference)
    share = (sqrt(max(0.0, linear**2 - 8 * rows * constant)) - linear) / (4 * rows)
    variance = rows * (2 * share + difference * (1 - difference))
    above = gained - lost - rows * difference
    if variance <= 0:  # the hypothesis allows no difference, so any observed difference is infinitely unlikely
        return above * float("inf") if above else 0.0
    return above / sqrt(variance)


COST_METRIC: Final = "mflops_per_token"
# lower limit of a probability in the log loss, so that a single mislabelled row does not determine the result
MIN_PROBABILITY: Final = 0.001


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
    gained = sum(candidate_right and not current_right for candidate_right, current_right in pairs)
    lost = sum(current_right and not candidate_right for candidate_right, current_right in pairs)
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
    """Notes for a person that do not affect the decision."""
    versions = (candidate, current) if current else (candidate,)
    lines = [
        gate_texts.SPEED_UNKNOWN.format(version=record.version, metric=COST_METRIC)
        for record in versions
        if COST_METRIC not in record.metrics
    ]
    if current and (new := [label for label in candidate.labels if label not in current.labels]):
        lines.append(gate_texts.NEW_LABELS.format(current=current.version, labels=", ".join(new)))
    model, baseline = candidate.metrics.get("macro_f1"), candidate.metrics.get("baseline_macro_f1")
    if model is not None and baseline is not None and baseline > model:
        lines.append(gate_texts.BASELINE_BETTER.format(baseline=baseline, model=model))
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
