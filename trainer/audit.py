"""What is wrong with labelled rows before anything learns from them: copies, contradictions, leaks. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from triagem.contracts.errors import InvalidInput
from triagem.trainer.data import Corpus, Row
from triagem.trainer.neighbours import near_duplicates

_SHOWN: Final = 3  # examples in a line for people; --json has all


@dataclass(frozen=True, slots=True)
class Leak:
    """Rows of a held-out part whose text, or nearly, is also a training row. `places`: each with that row."""

    rows: int
    exact: int
    near: int
    places: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Audit:
    """What there is to say of the training rows and of the held-out parts that have a file.

    `copies` and `near_copies` are training rows that repeat an earlier one, letter by letter or nearly;
    `contradictions` are texts that stand there with more than one label, each as label → file and line.
    """

    rows: int
    labels: Mapping[str, int]
    langs: Mapping[str, int]
    copies: int
    near_copies: int
    contradictions: Sequence[Mapping[str, str]]
    leaks: Mapping[str, Leak]

    def lines(self) -> list[str]:
        """What a person should know, a line each; the last ones only where there is something to say."""
        shares = ", ".join(f"{label} {count / self.rows:.0%}" for label, count in self.labels.items())
        held_out = "".join(f", {leak.rows} {part} rows" for part, leak in self.leaks.items())
        said = [f"{self.rows} training rows ({shares}){held_out}"]
        if named := {lang: count for lang, count in self.langs.items() if lang}:
            said.append("languages: " + ", ".join(f"{lang} {count / self.rows:.0%}" for lang, count in named.items()))
        if self.copies or self.near_copies:
            said.append(f"{self.copies} training rows are copies of another, {self.near_copies} nearly so")
        if self.contradictions:
            texts = [" but ".join(f"{where} {label}" for label, where in one.items()) for one in self.contradictions]
            said.append(f"{len(texts)} texts stand there with more than one label: {_some(texts)}")
        return said + [told(part, leak) for part, leak in self.leaks.items() if leak.places]


def audit(corpus: Corpus) -> Audit:
    """Compare all rows with each other; time grows with their square, memory does not."""
    train, given = corpus.train, corpus.given()
    first: dict[str, Row] = {}  # each text once: a sentence that stands there five hundred times has 125,000 pairs
    for row in train:
        first.setdefault(row.text, row)
    fresh = {row.text for rows in given.values() for row in rows} - set(first)
    texts = [*first, *sorted(fresh)]
    earlier: dict[str, str] = {}  # a text → the first one, of train or before it in train, that it nearly repeats
    for pair in near_duplicates(texts):
        if pair.left < len(first):
            earlier.setdefault(texts[pair.right], texts[pair.left])
    leaks = {part: _leak(rows, first, earlier) for part, rows in given.items()}
    return Audit(
        rows=len(train),
        labels={label: sum(row.label == label for row in train) for label in corpus.labels},
        langs=dict(Counter(row.lang for row in train).most_common()),
        copies=len(train) - len(first),
        near_copies=sum(text in first for text in earlier),
        contradictions=_contradictions(train),
        leaks=leaks,
    )


def _leak(rows: Sequence[Row], first: Mapping[str, Row], earlier: Mapping[str, str]) -> Leak:
    exact = [(row.where, first[row.text].where) for row in rows if row.text in first]
    others = [row for row in rows if row.text not in first and row.text in earlier]
    near = [(row.where, first[earlier[row.text]].where) for row in others]
    return Leak(len(rows), len(exact), len(near), exact + near)


def _contradictions(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The first row of each label, of each text that has several."""
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        said[row.text].setdefault(row.label, row.where)
    return [one for one in said.values() if len(one) > 1]


def told(part: str, leak: Leak) -> str:
    """How many rows of a held-out part measure memory, and where some of them are."""
    examples = _some([f"{row} is {other}" for row, other in leak.places])
    return f"of {leak.rows} {part} rows {leak.exact} are also in train, and {leak.near} nearly so ({examples})"


def _some(texts: Sequence[str]) -> str:
    return "; ".join([*texts[:_SHOWN], *(["…"] if len(texts) > _SHOWN else [])])


def refuse_leaks(found: Audit) -> None:
    """Raises InvalidInput if a test row is also a training row, or nearly: the score would prove nothing."""
    leak = found.leaks.get("test")
    if leak and leak.places:
        raise InvalidInput(
            f"{told('test', leak)}: their score would prove memory, not judgement; take them out of one of both, "
            "or pass --allow-leakage"
        )
