"""Detection of rows whose label is probably wrong."""

import dataclasses
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import EXAMPLES
from triagem.trainer.data.rows import Row, load
from triagem.trainer.evaluate.baseline import label_errors, suspected


def test_most_labels_that_were_changed_on_purpose_are_found_among_few_others() -> None:
    corpus = load(EXAMPLES)
    rows = list(corpus.train)
    wrong = random.Random(1).sample(range(len(rows)), 38)
    for index in wrong:
        other = next(label for label in corpus.labels if label != rows[index].label)
        rows[index] = dataclasses.replace(rows[index], label=other)

    errors = label_errors(rows, corpus.labels, seed=42)

    hits = {error.where for error in errors} & {rows[index].where for index in wrong}
    assert len(hits) > 38 / 2
    assert len(errors) < len(rows) / 10
    assert [error.confidence for error in errors] == sorted((error.confidence for error in errors), reverse=True)
    assert all(error.suggested_label != error.label for error in errors)


def test_a_probability_is_compared_with_the_mean_of_its_label() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.45, 0.55], [0.3, 0.7], [0.86, 0.14]])
    labels = np.array([0, 0, 0, 1, 1, 1])

    rows, suggested_label = suspected(probabilities, labels)

    # Rows of label 0 get 0.7 on average, rows of label 1 0.46.
    assert list(zip(rows.tolist(), suggested_label.tolist(), strict=True)) == [(2, 1), (5, 0)]


def test_with_a_label_of_one_row_no_row_is_suspected() -> None:
    rows = [Row("minha internet caiu", "suporte"), Row("sem sinal", "suporte"), Row("quero um plano", "venda")]

    assert label_errors(rows, ("suporte", "venda"), seed=0) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=30))
def test_the_suggested_label_differs_from_the_rows_own(drawn: list[tuple[float, int]]) -> None:
    labels = np.array([0, 1, *(label for _, label in drawn)])
    first = np.array([0.9, 0.1, *(share for share, _ in drawn)])

    rows, suggested_label = suspected(np.stack([first, 1 - first], axis=1), labels)

    assert (suggested_label != labels[rows]).all()
