"""The gate: may a candidate take the current version's place? Pure, over what both answered on test rows.

Standard library and contracts only: the gateway runs it too. `registry.evidence` reads, others act on the decision.
"""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from triagem.registry.decision import Compared, Decision, Figures, Measured, Promote, Record, Reject, Rule
from triagem.registry.figures import SPEED, compare, measure, notes
from triagem.registry.paired import ALPHA, GAIN, MARGIN

LEAST_RECALL: Final = Fraction("0.5")  # who finds fewer than half of a label's messages has not learned the label
RECALL_FALL: Final = Fraction("0.05")  # the seed's fall in accuracy that calls for retraining, here of each label
NLL_RISE: Final = 0.05
SLOWER: Final = 1.1


def judge(candidate: Record, current: Record | None, rule: Rule = Rule.IMPROVE) -> Decision:
    """Compare a candidate with the current version, or, where there is none, with the floors alone.

    - Only rows count that both answered and that neither, nor an ancestor, learned from: other scores are memory.
    - Rows of a label that the current version lacks compare nothing: such a label has a floor of its own.
    - `improve`: accuracy up by 0.02 or more, and McNemar's exact p under 0.05. `non-inferior`: the lower bound of the
      difference above -0.01. A first version: right more often than its test's most frequent label would be.
    - Each label's recall is at least 0.5, and not more than 0.05 below the current version's.
    - The log loss (NLL) is not more than 0.05 above the current version's: confidences mean no less. For scale: being
      0.999 sure and wrong 3 times in 100 costs 0.07. Not the ECE: on few rows its bins are mostly noise, and a right
      answer can raise it.
    - A token costs at most 1.1 times the current version's computation.
    """
    figures = Figures(
        candidate=candidate.version,
        current=current.version if current else None,
        rule=rule if current else None,
        notes=notes(candidate, current),
    )
    other = current or candidate
    if gaps := tuple(dict.fromkeys((*candidate.gaps, *other.gaps))):
        return Reject(figures, gaps)
    common = candidate.answers.keys() & other.answers.keys()
    fresh = common - candidate.learned - other.learned
    # The candidate's labels are the younger ones: where one was mended meanwhile, it is the truth for both.
    rows = sorted(one for one in fresh if candidate.answers[one].label in other.labels)
    figures = replace(figures, left_out=len(common) - len(fresh))
    lacking = tuple(
        f"{other.version} knows the label {label!r}, {candidate.version} does not: train with rows of it"
        for label in other.labels
        if label not in candidate.labels
    )
    if not rows:
        return Reject(figures, (*lacking, _nothing_to_go_by(figures)))
    measured = measure(candidate, current, rows)
    compared = compare(candidate, current, rule, rows) if current else None
    figures = replace(figures, measured=measured, compared=compared)
    wrong = (*lacking, *_shown(rule, measured, compared), *_recalls(measured), *_prices(measured, compared))
    return Reject(figures, wrong) if wrong else Promote(figures)


def _nothing_to_go_by(figures: Figures) -> str:
    if figures.left_out:
        both = f"{figures.candidate} or {figures.current}" if figures.current else figures.candidate
        return (
            f"{both} learned from each of the {figures.left_out} test rows, so that the scores would prove memory: "
            "test on rows that nobody learned from"
        )
    if figures.current is None:
        return f"{figures.candidate} was tested on no row: train again with test rows"
    return f"no test row in common with {figures.current}: train again with the same test rows"


def _shown(rule: Rule, measured: Measured, compared: Compared | None) -> Iterator[str]:
    if compared is None:
        if measured.accuracy <= measured.most_frequent:
            yield (
                f"accuracy {measured.accuracy:.3f} on {measured.rows:,} rows: their most frequent label alone would "
                f"have {measured.most_frequent:.3f}"
            )
        return
    both = f"accuracy {measured.accuracy:.3f} against {compared.accuracy:.3f} on {measured.rows:,} rows"
    if rule is Rule.NON_INFERIOR:
        if compared.lower_bound <= -MARGIN:
            yield (
                f"{both}: with 95 % confidence the difference is above {compared.lower_bound:+.3f}, wanted is "
                f"{-float(MARGIN):+.3f}; for a version just as good that takes about {compared.rows_needed:,} rows"
            )
        return
    gain = Fraction(compared.gained - compared.lost, measured.rows)
    if gain < GAIN:
        yield f"{both} is {float(gain):+.3f}, wanted is {float(GAIN):+.3f} or more"
    if compared.p_value >= ALPHA:
        yield (
            f"{compared.gained} rows gained and {compared.lost} lost are not told from chance (McNemar's p "
            f"{compared.p_value:.3f}, wanted is under {ALPHA}); to see {float(GAIN):+.3f} it takes about "
            f"{compared.rows_needed:,} rows"
        )


def _recalls(measured: Measured) -> Iterator[str]:
    for label, recall in measured.recalls.items():
        if not recall.rows:
            yield f"no test row is labelled {label!r}: add some"
            continue
        share, found = Fraction(recall.found, recall.rows), f"{recall.found} of {recall.rows} rows of {label!r} found"
        if share < LEAST_RECALL:
            yield f"{found}, wanted is half of them or more"
        former = recall.found_by_current
        if former is not None and share < Fraction(former, recall.rows) - RECALL_FALL:
            yield f"{found}, the current version finds {former}: a fall of more than {float(RECALL_FALL)}"


def _prices(measured: Measured, compared: Compared | None) -> Iterator[str]:
    if compared is None:
        return
    if measured.nll > compared.nll + NLL_RISE:
        both = f"NLL {measured.nll:.3f} against {compared.nll:.3f}"
        yield f"its confidences mean less: {both}, {NLL_RISE} more is borne"
    cost, former = measured.mflops_per_token, compared.mflops_per_token
    if cost is not None and former is not None and cost > former * SLOWER:
        yield f"slower: {SPEED} {cost:.1f} against {former:.1f}, over {SLOWER} times as many"
