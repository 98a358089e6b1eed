"""Audits labelled rows before training: copies, contradictory labels, and leaks between parts. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Final

from triagem.contracts.assessment import describe_rows
from triagem.contracts.errors import InvalidInput
from triagem.trainer.data.near_duplicates import distinct_rows, near_duplicate_pairs
from triagem.trainer.data.rows import Corpus, Row

_MAX_EXAMPLES: Final = 3  # in a line for people; --json has all


@dataclass(frozen=True, slots=True)
class Leak:
    """Rows of a held-out part that are copies or near-copies of training rows.

    `places` pairs each row with its training row. `texts` counts the different texts of the part.
    """

    rows: int
    texts: int
    exact: int
    near: int
    places: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Audit:
    """Findings on the training rows and on the held-out parts that have a file.

    `file` holds the training rows, and `texts` counts their different texts; `given` and `given_texts` count the rows
    and different texts of all parts. `copies` and `near_copies` are training rows that repeat an earlier one of their
    label exactly or nearly, so that `texts + copies + near_copies = rows`. `contradictions` are texts that occur with
    more than one label, each as label → file and line.
    """

    file: str
    rows: int
    texts: int
    given: int
    given_texts: int
    labels: Mapping[str, int]
    langs: Mapping[str, int]
    copies: int
    near_copies: int
    contradictions: Sequence[Mapping[str, str]]
    leaks: Mapping[str, Leak]

    def lines(self) -> list[str]:
        """The findings as text, one per line; problems only where there are any."""
        shares = ", ".join(f"{label} {count / self.rows:.0%}" for label, count in self.labels.items())
        held_out = "".join(f", {describe_rows(leak.rows, leak.texts, part)}" for part, leak in self.leaks.items())
        different = "" if self.texts == self.rows else f"{self.texts:,} different texts; "
        lines = [f"{self.rows} training rows ({different}{shares}){held_out}"]
        if named := {lang: count for lang, count in self.langs.items() if lang}:
            lines.append(
                "languages: " + ", ".join(f"{lang} {count / self.rows:.0%}" for lang, count in named.items())
            )
        if self.copies or self.near_copies:
            lines.append(
                f"{self.copies} training rows are copies of an earlier row, {self.near_copies} are near-duplicates"
            )
        if self.contradictions:
            texts = [
                " but ".join(f"{where} {label}" for label, where in text.items()) for text in self.contradictions
            ]
            lines.append(f"{len(texts)} texts have more than one label: {_examples(texts)}")
        return lines + [describe_leak(part, leak) for part, leak in self.leaks.items() if leak.places]


def audit(corpus: Corpus) -> Audit:
    """Compare all rows with each other; time grows with their square, memory does not."""
    train, held_out = corpus.train, corpus.held_out()
    first: dict[str, Row] = {}  # each text once: 500 copies of a sentence would make 125,000 pairs
    for row in train:
        first.setdefault(row.text, row)
    fresh = {row.text for rows in held_out.values() for row in rows} - set(first)
    texts = [*first, *sorted(fresh)]
    earlier: dict[str, str] = {}  # a text → the first training text that it nearly repeats
    for left, right in near_duplicate_pairs(texts):
        if left < len(first):
            earlier.setdefault(texts[right], texts[left])
    leaks = {part: _leak(rows, first, earlier) for part, rows in held_out.items()}
    others = [row for rows in held_out.values() for row in rows if row.text not in first and row.text not in earlier]
    different = len(distinct_rows(train))
    once = len({(row.text, row.label) for row in train})
    return Audit(
        file=train[0].where.rpartition(":")[0],
        rows=len(train),
        texts=different,
        given=len(train) + sum(map(len, held_out.values())),
        given_texts=different + len(distinct_rows(others)),
        labels={label: sum(row.label == label for row in train) for label in corpus.labels},
        langs=dict(Counter(row.lang for row in train).most_common()),
        copies=len(train) - once,
        near_copies=once - different,
        contradictions=_contradictions(train),
        leaks=leaks,
    )


def _leak(rows: Sequence[Row], first: Mapping[str, Row], earlier: Mapping[str, str]) -> Leak:
    exact = [(row.where, first[row.text].where) for row in rows if row.text in first]
    others = [row for row in rows if row.text not in first and row.text in earlier]
    near = [(row.where, first[earlier[row.text]].where) for row in others]
    return Leak(len(rows), len(distinct_rows(rows)), len(exact), len(near), exact + near)


def _contradictions(rows: Sequence[Row]) -> list[dict[str, str]]:
    """For each text with several labels, the first row of each label."""
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        labels[row.text].setdefault(row.label, row.where)
    return [by_label for by_label in labels.values() if len(by_label) > 1]


def describe_leak(part: str, leak: Leak) -> str:
    """A line with the number of leaked rows of a held-out part, and examples."""
    examples = _examples([f"{row} is {source}" for row, source in leak.places])
    return f"of {leak.rows} {part} rows, {leak.exact} are also in train and {leak.near} nearly ({examples})"


def _examples(texts: Sequence[str]) -> str:
    return "; ".join([*texts[:_MAX_EXAMPLES], *(["…"] if len(texts) > _MAX_EXAMPLES else [])])


def refuse_leaks(audited: Audit) -> None:
    """Raise InvalidInput if a test row is a copy or near-copy of a training row: the score would be meaningless."""
    leak = audited.leaks.get("test")
    if not leak or not leak.places:
        return
    cause, steps = (
        "",
        [f"leave the test file out: `triagem train {quote(audited.file)}` tests on a fifth of its texts"],
    )
    if len(leak.places) == leak.rows:
        repeated = "all" if leak.texts >= audited.texts else str(leak.texts)
        cause = f"train has {audited.texts:,} different texts, and test repeats {repeated} of them, so "
    else:
        steps.append("or remove these rows from the test file: `--check --json` lists all of them")
    steps.append("or add --allow-leakage: then no score counts and the gate cannot promote the version")
    numbered = "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, start=1))
    raise InvalidInput(
        f"{describe_leak('test', leak)}: {cause}a score on them would measure memorization. Next:\n{numbered}"
    )
