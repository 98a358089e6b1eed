"""The choice of the next questions: cluster centres, then half random and half uncertain texts; rare labels first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triagem.trainer.active.pool import Answer, Pool
from triagem.trainer.active.selection import BATCH, ENOUGH_ANSWERS, MAX_CANDIDATES, k_means, next_questions

LABELS = ("suporte", "venda")


def clusters(*sizes: int, width: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """Texts around one point for each size."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(sizes), width)) * 5
    rows = [centre + rng.normal(size=(size, width)) * 0.3 for centre, size in zip(centres, sizes, strict=True)]
    return np.concatenate(rows).astype(np.float32)


def answered(embeddings: NDArray[np.float32], *positions_by_label: list[int], **fields: object) -> Pool:
    answers = [
        Answer(text, label) for label, positions in zip(LABELS, positions_by_label, strict=True) for text in positions
    ]
    return Pool(embeddings, LABELS, tuple(answers), **fields)  # type: ignore[arg-type]


@given(
    texts=st.integers(1, 60),
    distinct=st.integers(1, 60),
    labels=st.integers(2, 6),
    given_answers=st.integers(0, 40),
    seed=st.integers(0, 9),
)
def test_any_pool_gets_different_unanswered_texts_as_many_as_there_are(
    texts: int, distinct: int, labels: int, given_answers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(distinct, 4)).astype(np.float32)[rng.integers(distinct, size=texts)]
    names = tuple(f"label {number}" for number in range(labels))
    taken = rng.permutation(texts)[: min(given_answers, texts)]
    answers = [Answer(int(text), (*names, None)[rng.integers(labels + 1)], bool(rng.integers(2))) for text in taken]
    pool = Pool(embeddings, names, tuple(answers))

    chosen = [question.text for question in next_questions(pool, seed=seed)]

    assert len(set(chosen)) == len(chosen) == min(BATCH, texts - len(taken))
    assert not set(chosen) & set(taken.tolist())


def test_the_same_seed_asks_the_same_questions() -> None:
    pool = answered(clusters(30, 30), [0, 1, 2], [30, 31, 32])

    assert next_questions(pool, seed=3) == next_questions(pool, seed=3) != next_questions(pool, seed=4)


def test_the_first_questions_come_from_almost_all_clusters_and_none_is_random() -> None:
    sizes = (5, 200, 30, 12, 40, 8, 60, 9, 15, 21)
    questions = next_questions(Pool(clusters(*sizes), LABELS))

    ends = np.cumsum(sizes)
    clusters_asked = {int(np.searchsorted(ends, question.text, side="right")) for question in questions}
    assert len(clusters_asked) >= 9  # of 10; drawn at random, half of them would be of the largest
    assert not any(question.random for question in questions)


def test_later_half_of_the_questions_is_random_and_the_others_are_uncertain() -> None:
    rng = np.random.default_rng(0)
    position = rng.uniform(-1, 1, 400)
    embeddings = np.stack([position, rng.normal(size=400) * 0.01], axis=1).astype(np.float32)
    order = np.argsort(position)
    pool = answered(embeddings, order[:3].tolist(), order[-3:].tolist())

    questions = next_questions(pool)

    uncertain = [question.text for question in questions if not question.random]
    assert len(uncertain) == BATCH // 2
    assert np.abs(position[uncertain]).max() < 0.2
    assert np.abs(position[[question.text for question in questions if question.random]]).max() > 0.2


def test_random_questions_are_drawn_uniformly_from_the_unanswered_texts() -> None:
    pool = answered(clusters(30, 30), [0, 1, 2], [30, 31, 32])
    drawn = [question.text for seed in range(300) for question in next_questions(pool, seed=seed) if question.random]

    counts = np.bincount(drawn, minlength=60)

    assert not counts[[0, 1, 2, 30, 31, 32]].any()
    assert counts[counts > 0].min() > 10  # 28 expected
    assert counts.max() < 55


def test_texts_like_the_only_answer_of_a_rare_label_come_first() -> None:
    embeddings = clusters(500, 20)
    pool = answered(embeddings, list(range(9)), [500])

    questions = next_questions(pool)

    assert sum(question.text > 500 for question in questions) >= 6
    assert sum(question.random for question in questions) == 3


def test_a_label_without_an_answer_is_found_by_its_description() -> None:
    embeddings = clusters(500, 8, 20)
    descriptions = np.stack([embeddings[:500].mean(axis=0), embeddings[508:].mean(axis=0)])
    pool = answered(embeddings, list(range(10)), [], descriptions=descriptions)

    chosen = [question.text for question in next_questions(pool)]

    assert sum(text >= 508 for text in chosen) >= 6


def test_texts_that_are_like_a_description_but_have_another_label_are_not_asked_again() -> None:
    embeddings = clusters(400, 100, 20)
    descriptions = np.stack([embeddings[:400].mean(axis=0), embeddings[400:500].mean(axis=0)])
    pool = answered(embeddings, [*range(10), *range(400, 406)], [], descriptions=descriptions)

    chosen = [question.text for question in next_questions(pool) if not question.random]

    assert sum(text >= 500 for text in chosen) >= 6


def test_a_label_with_enough_answers_is_not_rare() -> None:
    pool = answered(clusters(500, 20), list(range(9)), list(range(500, 503)))

    assert sum(question.random for question in next_questions(pool)) == 5


def test_a_label_with_a_small_share_of_the_answers_is_rare_until_it_has_enough() -> None:
    embeddings = clusters(500, 40)

    def random_share(sales: int) -> int:
        pool = answered(embeddings, list(range(100)), list(range(500, 500 + sales)))
        return sum(question.random for question in next_questions(pool))

    assert random_share(ENOUGH_ANSWERS - 1) == 3
    assert random_share(ENOUGH_ANSWERS) == 5


def test_copies_of_answered_texts_are_not_asked() -> None:
    embeddings = np.repeat(clusters(10, 10), 5, axis=0)
    pool = answered(embeddings, [0, 5, 10], [50, 55, 60])

    groups = {question.text // 5 for question in next_questions(pool)}

    assert len(groups) == BATCH
    assert not groups & {0, 1, 2, 10, 11, 12}


def test_a_large_pool_is_sampled_for_the_chosen_part() -> None:
    embeddings = np.random.default_rng(0).normal(size=(20 * MAX_CANDIDATES, 4)).astype(np.float32)

    assert len(next_questions(Pool(embeddings, LABELS))) == BATCH


def test_k_means_finds_separate_clusters() -> None:
    members, distances = k_means(clusters(10, 20, 30).astype(float), 3, np.random.default_rng(0))

    assert sorted(np.bincount(members)) == [10, 20, 30]
    assert (distances.argmin(axis=1) == members).all()
