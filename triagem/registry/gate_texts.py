"""The reasons and notes of the promotion gate. `triagem/contracts/portuguese.toml` has them in Portuguese."""

from typing import Final

# Reasons for a rejection.
MISSING_LABEL: Final = "{other} knows the label {label!r}, {version} does not: train with rows of it"
LEAKED: Final = (
    "{leaked:,} test rows of {version} are also training rows, or nearly (--allow-leakage): its scores measure "
    "memorization; train it with test rows that train does not repeat"
)
ALL_ROWS_SEEN: Final = (
    "{version} was trained on each of the {rows} test rows, so scores would only measure memorization: test on rows "
    "that no version was trained on"
)
EITHER_SEEN: Final = (
    "{version} or {current} was trained on each of the {rows} test rows, so scores would only measure memorization: "
    "test on rows that no version was trained on"
)
NO_ROWS: Final = "{version} has no test rows: train again with test rows"
NO_COMMON_ROWS: Final = "no test row in common with {current}: train again with the same test rows"
NO_BETTER_THAN_GUESSING: Final = (
    "accuracy {accuracy:.3f} on {rows:,} rows: always predicting their most frequent label would have {guessing:.3f}"
)
PERHAPS_WORSE: Final = (
    "accuracy {accuracy:.3f} against {current:.3f} on {rows:,} rows: the difference is above {bound:+.3f} with 95% "
    "confidence, required is {required:+.3f}; an equally good version needs about {needed:,} rows"
)
SMALL_GAIN: Final = (
    "accuracy {accuracy:.3f} against {current:.3f} on {rows:,} rows is {gain:+.3f}, required is more than "
    "{required:+.3f}"
)
SMALL_IMPROVEMENT: Final = (
    "accuracy {accuracy:.3f} against {current:.3f} on {rows:,} rows is {gain:+.3f}, required is {required:+.3f} or "
    "more"
)
NO_GAIN_POSSIBLE: Final = (
    "accuracy {accuracy:.3f} against {current:.3f} on {rows:,} rows: no version can exceed the current one by "
    "{required:+.3f}; `--rule non-inferior` requires only that this version is hardly worse"
)
PERHAPS_CHANCE: Final = (
    "rows gained ({gained}) and lost ({lost}) may be chance (McNemar's p {p_value:.3f}, required is under {alpha}): "
    "{rows:,} test rows are too few; showing {required:+.3f} takes about {needed:,}"
)
GAIN_PERHAPS_CHANCE: Final = (
    PERHAPS_CHANCE + ", showing the observed {gain:+.3f} about {needed_for_gain:,} (`--rule gain` requires only more "
    "than {required:+.3f})"
)
LABEL_WITHOUT_ROWS: Final = "no test row is labelled {label!r}: add some"
LOW_RECALL: Final = "{found} of {rows} rows of {label!r} found, at least half is required"
RECALL_DROP: Final = (
    "{found} of {rows} rows of {label!r} found, the current version finds {current}: a drop of more than {limit}"
)
LESS_RELIABLE: Final = (
    "confidences are less reliable: NLL {nll:.3f} against {current:.3f}, at most {limit} more is allowed"
)
SLOWER: Final = (
    "slower: {metric} {cost:.1f} against {current:.1f}, {ratio:.2f} times as many; at most {limit} times is allowed "
    "(TRIAGEM_MAX_COST_RATIO): accept the cost with `triagem models promote --accept-cost`"
)

# Notes.
NOT_COMPARED: Final = "{version} is not compared: its scores measure memorization (--allow-leakage)"
SLOWER_ACCEPTED: Final = (
    "slower, which is accepted: {metric} {cost:.1f} against {current:.1f}, {ratio:.2f} times as many"
)
SPEED_UNKNOWN: Final = "{version} has no {metric}: its speed is not checked"
NEW_LABELS: Final = "rows of labels that {current} does not know count only in the recall of the label: {labels}"
BASELINE_BETTER: Final = "TF-IDF with logistic regression is better: macro-F1 {baseline:.3f} against {model:.3f}"
