"""Audits labelled rows before training: copies, contradictory labels, and leaks between parts. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Final

from triagem.contracts.assessment import describe_rows
from triagem.contracts.errors import InvalidInput
from triagem.trainer.data.near_duplicates import distinct_rows, number_texts
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
    label exactly or nearly, so that `texts + copies + near_copies = rows`. `contradictions` are groups of
    near-duplicates, in any part, with more than one label, each as label → file and line.
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

    def lines(self, *, test_leak: bool = True) -> list[str]:
        """The findings as text, one per line; problems only where there are any.

        Args:
            test_leak: include the leak of the test part; the error of `refuse_leaks` describes it too.
        """
        shares = ", ".join(f"{label} {count / self.rows:.0%}" for label, count in self.labels.items())
        held_out = "".join(f", {describe_rows(leak.rows, leak.texts, part)}" for part, leak in self.leaks.items())
        different = "" if self.texts == self.rows else f"{self.texts:,} different texts; "
        lines = [f"{self.rows:,} training rows ({different}{shares}){held_out}"]
        if named := {lang: count for lang, count in self.langs.items() if lang}:
            lines.append(
                "languages: " + ", ".join(f"{lang} {count / self.rows:.0%}" for lang, count in named.items())
            )
        if self.copies or self.near_copies:
            lines.append(
                f"training rows that repeat an earlier row of their label: {self.copies:,} exactly, "
                f"{self.near_copies:,} nearly"
            )
        if self.contradictions:
            texts = [
                " but ".join(f"{where} {label}" for label, where in text.items()) for text in self.contradictions
            ]
            lines.append(f"copies or near-duplicates with different labels: {len(texts):,} ({_examples(texts)})")
        leaks = {part: leak for part, leak in self.leaks.items() if leak.places and (test_leak or part != "test")}
        return lines + [describe_leak(part, leak) for part, leak in leaks.items()]


def audit(corpus: Corpus) -> Audit:
    """Compare all rows with each other; time grows with their square, memory does not."""
    corpus = number_texts(corpus)
    train, held_out = corpus.train, corpus.held_out()
    everything = [*train, *(row for rows in held_out.values() for row in rows)]
    first: dict[object, Row] = {}  # the first training row of each text and of each group
    for row in train:
        first.setdefault(row.text, row)
        first.setdefault(row.text_group, row)
    different, once = len(distinct_rows(train)), len({(row.text, row.label) for row in train})
    return Audit(
        file=train[0].where.rpartition(":")[0],
        rows=len(train),
        texts=different,
        given=len(everything),
        given_texts=len(distinct_rows(everything)),
        labels={label: sum(row.label == label for row in train) for label in corpus.labels},
        langs=dict(Counter(row.lang for row in train).most_common()),
        copies=len(train) - once,
        near_copies=once - different,
        contradictions=_contradictions(everything),
        leaks={part: _leak(rows, first) for part, rows in held_out.items()},
    )


def _leak(rows: Sequence[Row], first: Mapping[object, Row]) -> Leak:
    exact = [(row.where, first[row.text].where) for row in rows if row.text in first]
    others = [row for row in rows if row.text not in first and row.text_group in first]
    near = [(row.where, first[row.text_group].where) for row in others]
    return Leak(len(rows), len(distinct_rows(rows)), len(exact), len(near), exact + near)


def _contradictions(rows: Sequence[Row]) -> list[dict[str, str]]:
    """For each group of near-duplicates with several labels, the first row of each label."""
    labels: dict[int | None, dict[str, str]] = defaultdict(dict)
    for row in rows:
        labels[row.text_group].setdefault(row.label, row.where)
    return [by_label for by_label in labels.values() if len(by_label) > 1]


def describe_leak(part: str, leak: Leak) -> str:
    """A line with the number of leaked rows of a held-out part, and examples."""
    examples = _examples([f"{row} is {source}" for row, source in leak.places])
    return f"of {leak.rows:,} {part} rows, {leak.exact:,} are also in train and {leak.near:,} nearly ({examples})"


def _examples(texts: Sequence[str]) -> str:
    return "; ".join([*texts[:_MAX_EXAMPLES], *(["…"] if len(texts) > _MAX_EXAMPLES else [])])


def refuse_leaks(audited: Audit) -> None:
    """Raise InvalidInput if a test row is a copy or near-copy of a training row: the score would be meaningless."""
    leak = audited.leaks.get("test")
    if not leak or not leak.places:
        return
    cause = ""
    if audited.texts > len(audited.labels):  # else no text of any label can be split off
        steps = [f"leave the test file out: `triagem train {quote(audited.file)}` tests on a fifth of its texts"]
    else:
        steps = [f"add rows with other texts to {audited.file}"]
    if len(leak.places) == leak.rows:
        repeated = "all" if leak.texts >= audited.texts else f"{leak.texts:,}"
        cause = f"train has {audited.texts:,} different texts, and test repeats {repeated} of them, so "
    else:
        steps.append("or remove these rows from the test file: `--check --json` lists all of them")
    steps.append("or add --allow-leakage: then no score counts and the gate cannot promote the version")
    numbered = "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, start=1))
    raise InvalidInput(
        f"{describe_leak('test', leak)}: {cause}a score on them would measure memorization. Next:\n{numbered}"
    )
