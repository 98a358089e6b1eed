"""Finds exact and near-duplicate texts, block by block, without n² memory; counts different texts; makes folds.

A test row with a near-duplicate in training measures memorization, not generalization. Copies add no information: a
model that classifies a sentence correctly also classifies its hundred copies correctly. So everything that is
measured or fitted on held-out rows uses one row of each different text.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedGroupKFold

from triagem.trainer.data.rows import Corpus, Row

# of character n-grams; sentences with this similarity or more differ only in a word, a number or a typo
MIN_COSINE: Final = 0.8
MIN_TEXTS: Final = 10  # with fewer different texts, no checkpoint is chosen and no error rate is estimated
_PARTS: Final = ("train", "dev", "calibration", "test")
_BLOCK: Final = 256
_NUMBER: Final = re.compile(r"\d+")


def near_duplicate_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of indices `left < right` of texts whose cosine is at least `MIN_COSINE`.

    Each block of rows is compared with all rows after it: memory grows with the number of texts, time with its square
    (10,000 real tickets, median 26 words: 12 s on one core and 160 MB; 3,000: 1.5 s).
    """
    if len(texts) < 2:
        return
    # Lower-cased, and n-grams within words: the order of sentences hardly matters. All numbers are one: those of
    # orders and invoices are rare, so the weights would make two texts of one template differ.
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32)
    vectors = csr_matrix(grams.fit_transform([_NUMBER.sub("0", f" {text} ") for text in texts]))
    for start in range(0, len(texts), _BLOCK):
        cosines = (vectors[start : start + _BLOCK] @ vectors[start:].T).tocoo()
        # 1e-6: a text's cosine with its own copy may be computed as 0.9999999
        matches = (cosines.data >= MIN_COSINE - 1e-6) & (cosines.row < cosines.col)
        yield from zip((cosines.row[matches] + start).tolist(), (cosines.col[matches] + start).tolist(), strict=True)


def duplicate_groups(texts: Sequence[str]) -> list[int]:
    """A group number for each text: near-duplicates share one, transitively."""
    distinct = tuple(dict.fromkeys(texts))  # 500 copies of a sentence would make 125,000 pairs
    numbers = dict(zip(distinct, _group_numbers(distinct), strict=True))
    return [numbers[text] for text in texts]


@lru_cache(maxsize=8)  # split, folds, calibration and report ask for the same rows
def _group_numbers(texts: tuple[str, ...]) -> tuple[int, ...]:
    joined = DisjointSet(range(len(texts)))
    for left, right in near_duplicate_pairs(texts):
        joined.merge(left, right)
    return tuple(int(joined[index]) for index in range(len(texts)))


def number_texts(corpus: Corpus) -> Corpus:
    """The corpus with the `text_group` of each row, from a single comparison of all rows.

    The weights of the n-grams depend on the compared texts. Compared within its part, a pair may be near-duplicates
    that it is not among all rows, and the different texts of the parts would not add up.
    """
    rows = [row for part in _PARTS for row in getattr(corpus, part)]
    groups = iter(duplicate_groups([row.text for row in rows]))
    numbered = {
        part: tuple(replace(row, text_group=next(groups)) for row in getattr(corpus, part)) for part in _PARTS
    }
    return replace(corpus, **numbered)


def row_groups(rows: Sequence[Row]) -> list[int]:
    """The group number of each row: its `text_group`, or by a comparison of these rows if one has none."""
    groups = [row.text_group for row in rows if row.text_group is not None]
    return groups if len(groups) == len(rows) else duplicate_groups([row.text for row in rows])


def distinct_rows(rows: Sequence[Row]) -> list[int]:
    """The position of the first row of each different text. Near-duplicates with the same label are one text."""
    first: dict[tuple[int, str], int] = {}
    for index, (row, group) in enumerate(zip(rows, row_groups(rows), strict=True)):
        first.setdefault((group, row.label), index)
    return list(first.values())


def fold_numbers(rows: Sequence[Row], folds: int, seed: int) -> list[int]:
    """A number from 0 to `folds - 1` for each row: near-duplicates share one, and each label is spread evenly.

    There are fewer folds if a label has fewer different texts than `folds`; all numbers are 0 if a label has a single
    one.
    """
    groups = row_groups(rows)
    distinct = distinct_rows(rows)  # copies get the fold of their text: only different texts are spread evenly
    labels = [rows[index].label for index in distinct]
    fold_of = dict.fromkeys(groups, 0)
    if (folds := min([folds, *Counter(labels).values()])) > 1:
        splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, [groups[index] for index in distinct])):
            fold_of.update((groups[distinct[position]], number) for position in held_out)
    return [fold_of[group] for group in groups]
