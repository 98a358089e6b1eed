"""Splits labelled rows into four parts: train, dev (chooses the checkpoint), calibration and test. Pure.

Near-duplicates stay together, and each part has its share of each label and language. A row's part depends mostly on
the seed and its own text, so an added row changes the part of few other rows. (scikit-learn's StratifiedGroupKFold
reshuffles all of them.)
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import sqrt
from typing import Final

from triagem.contracts.assessment import describe_rows
from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import SplitDigests
from triagem.contracts.text import digest
from triagem.trainer.data.near_duplicates import MIN_TEXTS, distinct_rows, number_texts, row_groups
from triagem.trainer.data.rows import UNREQUESTED, Corpus, Row

# Shares of the training rows for parts without a file. 200 test rows measure an accuracy of 0.9 to ±0.04 (95 %); dev
# only ranks a few checkpoints; calibration fits one parameter and bounds a precision.
TEST_SHARE: Final = 0.2
SMALL_TEST: Final = 100  # texts; they measure an accuracy of 0.9 to ±0.06
DEV_SHARE: Final = 0.1
CALIBRATION_SHARE: Final = 0.1
CALIBRATION_TEXTS: Final = 100  # even without an error, they prove a precision of only 0.97 (Clopper-Pearson, 95 %)
# A temperature is fitted to the errors, and a good model makes only a few on hundreds of rows. Out-of-fold
# predictions use every row and hold none out, as long as the additional trainings are cheap.
CALIBRATION_TEXTS_OR_FOLDS: Final = 1_000


_HELD_OUT: Final = ("test", "dev", "calibration")
_NO_DEV: Final = "the last checkpoint is kept"


def checkpoint_rows(dev: Sequence[Row]) -> tuple[Row, ...]:
    """One dev row of each different text; empty if there are too few texts to choose a checkpoint."""
    kept = distinct_rows(dev)
    return tuple(dev[index] for index in kept) if len(kept) >= MIN_TEXTS else ()


def split_digests(parts: Corpus) -> SplitDigests:
    """The sorted, distinct digests of each part's texts."""
    train, dev, calibration, test = map(_digests, (parts.train, parts.dev, parts.calibration, parts.test))
    return SplitDigests(train=train, dev=dev, calibration=calibration, test=test)


def split(
    corpus: Corpus,
    *,
    seed: int,
    min_calibration_texts: int = CALIBRATION_TEXTS,
    tested: frozenset[str] = frozenset(),
    trained: frozenset[str] = frozenset(),
    learned: frozenset[str] = frozenset(),
) -> Corpus:
    """Split parts without a file off `train`; `dev` and `calibration` only if they would have enough different texts.

    The limits are `MIN_TEXTS` and `min_calibration_texts`: holding out copies of a few sentences measures little, and
    removes these sentences from training. The split does not depend on the order of the rows.

    Args:
        tested: digests of the texts that earlier versions were tested on. Such training rows, and their
            near-duplicates, become test rows.
        trained: digests of the texts that earlier versions were trained or tuned on. They are never drawn for the
            test part, like texts that people chose to review. A note counts the ones that the test file contains.
        learned: digests of the texts that the parent and its ancestors were trained on. They are never drawn for any
            held-out part.

    Raises:
        InvalidInput: too few different rows for a part, or no training row remains for a label.
    """
    corpus = number_texts(corpus)
    all_groups = _groups(corpus.train, seed)
    moved = {group for group in all_groups if group.digests & tested}
    part_of = dict.fromkeys(moved, "test")
    notes = []

    def draw(part: str, share: float, of: Sequence[_Group], excluded: frozenset[str]) -> list[_Group]:
        remaining = [group for group in all_groups if group not in part_of]
        present = {group.label for group in part_of if part_of[group] == part}
        scarce = {label for label, count in Counter(group.label for group in remaining).items() if count < 2}
        drawn = _draw(share, of, [group for group in remaining if not group.digests & excluded], present | scarce)
        part_of.update(dict.fromkeys(drawn, part))
        return drawn

    if moved:
        count = sum(len(group.rows) for group in moved)
        notes.append(
            f"{count:,} training rows become test rows: earlier versions were tested on them or near-duplicates"
        )
    if not corpus.test:  # test rows are drawn from rows that no version has seen; all other rows keep their part
        fresh = [group for group in all_groups if not group.digests & (tested | trained)]
        chosen = _digests(row for row in corpus.train if row.stratum not in {"", "random", UNREQUESTED})
        draw("test", TEST_SHARE, fresh, trained.union(chosen))
    for part, rows, share, minimum, effect in (
        ("dev", corpus.dev, DEV_SHARE, MIN_TEXTS, f"; {_NO_DEV}"),
        ("calibration", corpus.calibration, CALIBRATION_SHARE, min_calibration_texts, ""),
    ):
        if not rows and len(drawn := draw(part, share, all_groups, learned)) < minimum:
            for group in drawn:
                del part_of[group]
            notes.append(
                f"no {part} part is split off: it would have {len(drawn):,} different texts,"
                f" fewer than {minimum}{effect}"
            )
    off = {part: [group for group in part_of if part_of[group] == part and group not in moved] for part in _HELD_OUT}
    if any(off.values()):
        drawn_rows = {part: [row for group in groups for row in group.rows] for part, groups in off.items()}
        counts = [describe_rows(len(of), len(distinct_rows(of)), part) for part, of in drawn_rows.items() if of]
        notes.append(f"split off train: {', '.join(counts)}")
    parts = _parts(corpus, {row.text: part for group, part in part_of.items() for row in group.rows})
    if seen := sum(not trained.isdisjoint(_digests([row])) for row in parts["test"]):
        notes.append(
            f"test rows that earlier versions were trained or tuned on: {seen} of {len(parts['test'])}; the gate "
            "leaves out those of the versions that it compares"
        )
    return Corpus(corpus.labels, **parts, notes=(*notes, *_weaknesses(parts, corpus.labels)))


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Near-duplicate rows. `label` is their rarest label, so that rare labels are distributed."""

    rows: Sequence[Row]
    digests: frozenset[str]
    label: str
    lang: str
    order: str


def _groups(rows: Sequence[Row], seed: int) -> list[_Group]:
    """Near-duplicate groups, in an order that depends on the seed and not on the rows' order."""
    members: dict[int, list[Row]] = defaultdict(list)
    for row, number in zip(rows, row_groups(rows), strict=True):
        members[number].append(row)
    count = Counter(row.label for row in rows)
    groups = []
    for similar in members.values():
        label, lang = min(((row.label, row.lang) for row in similar), key=lambda pair: (count[pair[0]], pair))
        texts = _digests(similar)
        order = sha256(f"{seed} {texts[0]}".encode()).hexdigest()
        groups.append(_Group(similar, frozenset(texts), label, lang, order))
    return sorted(groups, key=lambda group: group.order)


def _draw(share: float, of: Sequence[_Group], pool: Sequence[_Group], optional: set[str]) -> list[_Group]:
    """Draw groups from `pool` with about `share` of the rows of `of`, for each label and language.

    A group larger than the remaining target is skipped: a part full of copies measures little. If a label would get
    no group, it gets its smallest one, unless the part is `optional`.
    """
    drawn = []
    for label in sorted({group.label for group in pool}):
        candidates = [group for group in pool if group.label == label]
        target, taken = 0.0, 0
        for lang in sorted({group.lang for group in candidates}):
            target += share * sum(len(group.rows) for group in of if (group.label, group.lang) == (label, lang))
            for group in candidates:
                if group.lang == lang and taken + len(group.rows) <= round(target):
                    drawn.append(group)
                    taken += len(group.rows)
        if not taken and label not in optional:
            drawn.append(min(candidates, key=lambda group: (len(group.rows), group.order)))
    return drawn


def _parts(corpus: Corpus, part_of: dict[str, str]) -> dict[str, tuple[Row, ...]]:
    """The rows of each part, from its file and from train by the part of their text, in the file's order."""
    test_texts = {row.text for row in corpus.test}
    parts = {"train": [], "dev": [*corpus.dev], "calibration": [*corpus.calibration], "test": [*corpus.test]}
    for row in corpus.train:
        part = part_of.get(row.text, "train")
        if part != "test" or row.text not in test_texts:
            parts[part].append(row)
    return {part: tuple(rows) for part, rows in parts.items()}


def _weaknesses(parts: dict[str, tuple[Row, ...]], labels: Sequence[str]) -> Iterator[str]:
    """Notes on the limits of each held-out part. Raises InvalidInput if training or testing is impossible."""
    for part, rows in parts.items():
        missing = [label for label in labels if label not in {row.label for row in rows}]
        if part == "train" and missing:
            raise InvalidInput(
                f"no training row remains with the label {missing[0]!r}: all are test rows of earlier versions or "
                "near-duplicates of them; add others"
            )
        if part == "test" and not rows:
            given = [row for others in parts.values() for row in others]
            different = Counter(given[index].label for index in distinct_rows(given))
            if max(different.values()) < 2:
                raise InvalidInput(
                    f"too few different texts: the {len(given):,} rows have only {different.total():,}, one of each "
                    "label (near-duplicates count as one); add rows with other texts, or a file test.jsonl"
                )
            raise InvalidInput(
                "no row remains for test: add a file test.jsonl, or rows that no earlier version was trained on, at "
                "least two of a label that are not near-duplicates; of reviews, only random ones are tested on"
            )
        if rows and missing:
            yield f"no {part} row has the label {' or '.join(missing)}"
        texts = len(distinct_rows(rows)) if part != "train" else len(rows)
        if part == "dev" and rows and texts < MIN_TEXTS:
            yield f"dev has {texts} different texts, fewer than {MIN_TEXTS}: {_NO_DEV}"
        elif rows and texts <= len(rows) / 2:
            yield (
                f"the {len(rows):,} {part} rows have only {texts:,} different texts: a score on them is not "
                "informative"
            )
        if part == "test" and texts < SMALL_TEST:
            points = 1.96 * sqrt(0.9 * 0.1 / texts) * 100
            yield f"only {texts} different test texts: they measure an accuracy of 90% to ±{points:.0f} points"


def _digests(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(sorted({digest(row.text).hex() for row in rows}))
