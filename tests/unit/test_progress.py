"""The estimated quality of a head, its interval, and the answers that deserve a second look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triagem.trainer.active.linear import FULL_ANSWERS, EmbeddingSpace, description_prior, fading, fit_head
from triagem.trainer.active.pool import Answer, Pool
from triagem.trainer.active.progress import (
    TARGET,
    answers_missing,
    estimate_progress,
    fit_platt,
    suspicious_answers,
)

LABELS = ("suporte", "venda")


def company(overlap: float, *, answers: int, texts: int = 400, seed: int = 0) -> tuple[Pool, NDArray[np.intp]]:
    """Two labels whose texts overlap, and the answers to texts drawn at random; also all true labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=texts)
    embeddings = rng.normal(size=(texts, 6)) * overlap
    embeddings[:, 0] += np.where(truth == 1, 1.0, -1.0)
    drawn = rng.permutation(texts)[:answers]
    return Pool(
        embeddings.astype(np.float32), LABELS, tuple(Answer(int(i), LABELS[truth[i]], random=True) for i in drawn)
    ), truth


def true_macro_f1(pool: Pool, truth: NDArray[np.intp]) -> float:
    rest = pool.unanswered
    predicted, expected = pool.fit().logits(pool.points[rest]).argmax(axis=1), truth[rest]
    scores = []
    for label in range(2):
        right = ((predicted == label) & (expected == label)).sum()
        scores.append(2 * right / ((predicted == label).sum() + (expected == label).sum()))
    return float(np.mean(scores))


def test_at_ten_answers_there_is_no_figure() -> None:
    assert estimate_progress(company(0.5, answers=10)[0]) is None


def test_with_answers_of_one_label_there_is_no_figure() -> None:
    pool, _ = company(0.5, answers=60)

    assert estimate_progress(Pool(pool.embeddings, LABELS, pool.labelled[:0])) is None
    sales = tuple(answer for answer in pool.labelled if answer.label == "venda")
    assert len(sales) >= 20
    assert estimate_progress(Pool(pool.embeddings, LABELS, sales)) is None


def test_labels_with_few_answers_are_left_out_of_the_figure() -> None:
    pool, _ = company(0.5, answers=60)
    first, *rest = pool.labelled
    labels = (*LABELS, "elogio", "reclamacao")
    praised = (*rest, Answer(first.text, "elogio"), Answer(int(pool.unanswered[0]), None))

    progress, expected = (
        estimate_progress(Pool(pool.embeddings, chosen, answers))
        for chosen, answers in ((labels, praised), (LABELS, praised[:-2]))
    )

    assert progress
    assert expected
    assert progress.answers == expected.answers == 59
    assert progress.macro_f1 == pytest.approx(expected.macro_f1, abs=0.02)
    assert progress.macro_f1 > 0.8


def test_twenty_answers_count_only_if_they_are_of_labels_in_the_figure() -> None:
    pool, _ = company(0.5, answers=20)
    first, *rest = pool.labelled

    assert estimate_progress(pool)
    praised = (*rest, Answer(first.text, "elogio"))
    assert estimate_progress(Pool(pool.embeddings, (*LABELS, "elogio"), praised)) is None


@pytest.mark.parametrize("overlap", [0.4, 0.8, 1.5])
def test_the_interval_covers_the_truth_in_most_starts(overlap: float) -> None:
    covered, errors = [], []
    for seed in range(8):
        pool, truth = company(overlap, answers=50, seed=seed)
        progress, expected = estimate_progress(pool), true_macro_f1(pool, truth)
        assert progress
        covered.append(progress.low <= expected <= progress.high)
        errors.append(progress.macro_f1 - expected)
    assert sum(covered) >= 6
    assert abs(np.mean(errors)) < 0.05


def test_more_answers_narrow_the_interval() -> None:
    few, many = (estimate_progress(company(0.8, answers=answers)[0]) for answers in (30, 200))

    assert few
    assert many
    assert many.high - many.low < 0.6 * (few.high - few.low)


@pytest.mark.parametrize(
    ("answers", "macro_f1", "missing"), [(50, TARGET, 0), (50, 0.95, 0), (50, 0.8, 150), (20, 0.85, 30)]
)
def test_the_answers_to_the_target_follow_from_the_error(answers: int, macro_f1: float, missing: int) -> None:
    assert answers_missing(answers, macro_f1) == missing


def test_wrong_answers_are_suspicious_and_come_first() -> None:
    pool, _ = company(0.3, answers=60)
    wrong = pool.labelled[7]
    flipped = Answer(wrong.text, "venda" if wrong.label == "suporte" else "suporte")
    pool = Pool(pool.embeddings, LABELS, (*pool.labelled[:7], flipped, *pool.labelled[8:]))

    assert suspicious_answers(pool)[0] == wrong.text


def test_answers_of_one_label_are_not_suspicious() -> None:
    assert (
        suspicious_answers(Pool(np.eye(3, dtype=np.float32), LABELS, (Answer(0, "venda"), Answer(1, "venda")))) == []
    )


def test_platts_scaling_recovers_a_known_slope_and_bias() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=4000) * 2
    truth = (rng.random(4000) < 1 / (1 + np.exp(-(3 * score + 1)))).astype(np.intp)

    slope, bias = fit_platt(np.stack([np.zeros(4000), score], axis=1), truth, np.ones(4000), 0.0)

    assert slope == pytest.approx(3, rel=0.1)
    assert bias[1] - bias[0] == pytest.approx(1, abs=0.2)


def test_a_head_gives_the_same_logits_inside_and_outside_of_its_space() -> None:
    embeddings = np.random.default_rng(0).normal(loc=5, scale=0.2, size=(40, 6))
    space = EmbeddingSpace.of(embeddings, stretch=1.0)
    head = fit_head(space(embeddings), np.arange(40) % 3, 3)

    assert np.allclose(head.logits(space(embeddings)), head.outside(space).logits(embeddings))


@given(
    texts=st.integers(2, 60),
    width=st.integers(1, 8),
    scale=st.floats(1e-2, 1e3),
    stretch=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_in_their_space_any_texts_have_the_mean_zero_and_the_mean_squared_length_one(
    texts: int, width: int, scale: float, stretch: float, seed: int
) -> None:
    embeddings = np.random.default_rng(seed).normal(loc=5 * scale, scale=scale, size=(texts, width))

    points = EmbeddingSpace.of(embeddings, stretch=stretch)(embeddings)

    assert np.allclose(points.mean(axis=0), 0)
    assert (points**2).sum(axis=1).mean() == pytest.approx(1)


def test_equal_texts_have_a_space() -> None:
    embeddings = np.full((5, 3), 0.1)

    assert np.allclose(EmbeddingSpace.of(embeddings, stretch=1.0)(embeddings), 0, atol=1e-3)


def test_assumptions_count_in_full_at_first_then_fade_but_never_vanish() -> None:
    assert fading(0) == fading(FULL_ANSWERS) == 1
    assert fading(2 * FULL_ANSWERS) == pytest.approx(0.5)
    assert 0 < fading(1_000_000) == fading(5 * FULL_ANSWERS) < 0.5


@pytest.mark.parametrize(("answers", "decides"), [(2, 0), (FULL_ANSWERS, 0), (5 * FULL_ANSWERS, 1)])
def test_among_two_directions_that_explain_few_answers_the_one_in_which_texts_differ_more_decides(
    answers: int, decides: int
) -> None:
    others = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]] * 1000)
    embeddings = np.concatenate([[[0.1, 0.1], [-0.1, -0.1]] * (answers // 2), others])
    pool = Pool(embeddings, LABELS, tuple(Answer(text, LABELS[text % 2]) for text in range(answers)))

    assert pool.fit().logits(pool.space(np.array([[1.0, -1.5]]))).argmax() == decides


def test_descriptions_decide_where_the_answers_say_little() -> None:
    texts = np.array([[1.0, 0.1, 0.0], [1.0, 0.0, 0.1]])
    descriptions = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

    head = fit_head(texts, np.array([0, 1]), 2, prior=description_prior(descriptions))

    margin = head.logits(descriptions) @ np.array([1.0, -1.0])
    assert margin[0] > 1 > -1 > margin[1]


def test_descriptions_lose_influence_as_answers_are_added() -> None:
    texts = np.array([[1.0, 0.1, 0.0], [1.0, 0.0, 0.1]])
    descriptions = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])

    def margin(copies: int) -> float:
        head = fit_head(
            np.repeat(texts, copies, axis=0) * [1, 0, 0],
            np.repeat([0, 1], copies),
            2,
            prior=description_prior(descriptions),
        )
        return float(head.logits(descriptions)[0] @ [1.0, -1.0])

    assert margin(5 * FULL_ANSWERS // 2) == pytest.approx(fading(5 * FULL_ANSWERS) * margin(1))


def test_each_label_counts_as_much_whatever_the_number_of_its_answers() -> None:
    embeddings = np.array([[-1.0]] * 50 + [[1.0]])
    head = fit_head(embeddings, np.array([0] * 50 + [1]), 2)

    assert head.logits(np.array([[0.0]]))[0] == pytest.approx([0, 0], abs=0.1)
