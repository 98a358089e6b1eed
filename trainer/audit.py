"""What is wrong with labelled rows before anything learns from them: copies, contradictions, leaks. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.errors import InvalidInput
from trainer.data import Row
from trainer.neighbours import near_duplicates


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts over training and test rows.

    `copies` and `near_copies` are training rows that repeat an earlier one, letter by letter or nearly;
    `contradictions` are texts that stand there with more than one label; `leaked` and `nearly_leaked` are test rows
    whose text, or nearly, is also a training row.
    """

    rows: int
    test_rows: int
    labels: Mapping[str, int]
    langs: Mapping[str, int]
    copies: int
    near_copies: int
    contradictions: int
    leaked: int
    nearly_leaked: int

    def lines(self) -> list[str]:
        """What a person should know, a line each; the last ones only where there is something to say."""
        total = max(1, self.rows)
        shares = ", ".join(f"{label} {count / total:.0%}" for label, count in self.labels.items())
        said = [f"{self.rows} training rows ({shares}), {self.test_rows} test rows"]
        if named := {lang: count for lang, count in self.langs.items() if lang}:
            said.append("languages: " + ", ".join(f"{lang} {count / total:.0%}" for lang, count in named.items()))
        if self.copies or self.near_copies:
            said.append(f"{self.copies} training rows are copies of another, {self.near_copies} nearly so")
        if self.contradictions:
            said.append(f"{self.contradictions} texts stand there with more than one label")
        if self.leaked or self.nearly_leaked:
            said.append(self.leak)
        return said

    @property
    def leak(self) -> str:
        """How many test rows measure memory."""
        return f"of {self.test_rows} test rows {self.leaked} are also in train, and {self.nearly_leaked} nearly so"


def audit(train: Sequence[Row], test: Sequence[Row]) -> Audit:
    """Compare all rows with each other; time grows with their square, memory does not."""
    first: dict[str, int] = {}
    for place, row in enumerate(train):
        first.setdefault(row.text, place)
    said: dict[str, set[str]] = {}
    for row in train:
        said.setdefault(row.text, set()).add(row.label)
    leaked = {place for place, row in enumerate(test) if row.text in first}
    # Each text once: a sentence that stands there five hundred times has 125,000 pairs.
    texts, fresh = list(first), [place for place in range(len(test)) if place not in leaked]
    pairs = list(near_duplicates(texts + [test[place].text for place in fresh]))
    near_train = {pair.right for pair in pairs if pair.right < len(texts)}
    near_test = {pair.right for pair in pairs if pair.left < len(texts) <= pair.right}
    return Audit(
        rows=len(train),
        test_rows=len(test),
        labels=dict(sorted(Counter(row.label for row in train).items())),
        langs=dict(Counter(row.lang for row in train).most_common()),
        copies=len(train) - len(first),
        near_copies=len(near_train),
        contradictions=sum(len(labels) > 1 for labels in said.values()),
        leaked=len(leaked),
        nearly_leaked=len(near_test),
    )


def refuse_leaks(found: Audit) -> None:
    """Raises InvalidInput if a test row is also a training row, or nearly: the score would prove nothing."""
    if found.leaked or found.nearly_leaked:
        raise InvalidInput(
            f"{found.leak}: their score would prove memory, not judgement; take them out of one of both, "
            "or pass --allow-leakage"
        )
