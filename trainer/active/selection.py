"""Chooses the texts that a person labels next. Pure, and deterministic by seed.

The first texts are the centres of k-means clusters. After that, half of the texts are random, because only random
texts can prove a precision; the other half are uncertain and diverse. While a label has few answers, texts that
probably have this label come first.
"""

from dataclasses import dataclass
from typing import Final
from warnings import catch_warnings

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.special import softmax

from triagem.trainer.active.linear import one_blas_thread
from triagem.trainer.active.pool import Pool
from triagem.trainer.evaluate.metrics import Floats, Positions

BATCH: Final = 10
# A label is rare if it has fewer answers than this and less than this fraction of an equal share of the answers.
ENOUGH_ANSWERS: Final = 10
RARE_SHARE: Final = 0.4
MAX_CANDIDATES: Final = 5000  # sampled from a larger pool, for speed; random texts come from the whole pool
_SHORTLIST: Final = 5  # uncertain candidates per chosen text
_NEAREST: Final = 3  # answered texts that a candidate is compared with
_ITERATIONS: Final = 20
_STARTS: Final = 4  # runs of k-means; the best run is kept


@dataclass(frozen=True, slots=True)
class Question:
    """A text to label, by its position in the pool. Its `Answer` keeps `random`."""

    text: int
    random: bool


@one_blas_thread
def next_questions(pool: Pool, count: int = BATCH, *, seed: int = 0) -> list[Question]:
    """The next texts to label, fewer than `count` if the pool has no more. Copies of answered texts come last."""
    rng = np.random.default_rng([seed, len(pool.answers)])
    left = _without_copies(pool)
    if len(left) <= count:
        left = rng.permutation(pool.unanswered)[:count]
        return [Question(int(text), random=True) for text in left]
    candidates = rng.choice(left, MAX_CANDIDATES, replace=False) if len(left) > MAX_CANDIDATES else left
    if not len(pool.positions):
        return [Question(int(text), random=False) for text in _centres(pool.points, candidates, count, rng)]
    fewest = min(ENOUGH_ANSWERS, RARE_SHARE * len(pool.labelled) / len(pool.labels))
    rare = [number for number, answers in enumerate(pool.counts().values()) if answers < fewest]
    likely, at_random = (round(0.6 * count), round(0.3 * count)) if rare else (0, count // 2)
    chosen = list(map(int, rng.choice(left, at_random, replace=False)))
    questions = [Question(text, random=True) for text in chosen]
    logits = pool.fit().logits(pool.points)
    if rare:
        chosen += [text for text in _likely(pool, logits, rare, candidates) if text not in chosen][:likely]
    rest = np.setdiff1d(candidates, chosen)
    chosen += _uncertain(pool.points, logits, rest, count - len(chosen), rng)
    return questions + [Question(text, random=False) for text in chosen[at_random:]]


def _without_copies(pool: Pool) -> Positions:
    """The unanswered texts without copies: texts with the embedding of an answered or an earlier text."""
    rows = np.ascontiguousarray(pool.embeddings)
    embeddings = {rows[answer.text].tobytes() for answer in pool.answers}
    texts = []
    for text in pool.unanswered:
        if (key := rows[text].tobytes()) not in embeddings:
            embeddings.add(key)
            texts.append(text)
    return np.array(texts, dtype=np.intp)


def _likely(pool: Pool, logits: Floats, rare: list[int], candidates: Positions) -> list[int]:
    """The candidates by the probability of a rare label; the rare labels take turns.

    Candidates for a label without answers are ranked by `_unlike_others`.
    """
    counts = pool.counts()
    probabilities = softmax(logits[candidates], axis=1)
    columns = []
    for number in rare:
        score = probabilities[:, number] if counts[pool.labels[number]] else _unlike_others(pool, number, candidates)
        columns.append(candidates[np.argsort(-score, kind="stable")])
    return list(dict.fromkeys(int(text) for turn in zip(*columns, strict=True) for text in turn))


def _unlike_others(pool: Pool, number: int, candidates: Positions) -> Floats:
    """Dissimilarity to the nearest answered texts, which have other labels, plus similarity to the description.

    A description alone can mislead: then the texts most similar to it would be asked again and again. Not in the
    pool's space: its stretched directions are those of the frequent topics.
    """
    centred = pool.embeddings - pool.space.mean
    directions = centred / np.maximum(1e-9, np.linalg.norm(centred, axis=1, keepdims=True))
    cosines = np.sort(directions[candidates] @ directions[pool.positions].T, axis=1)
    score: Floats = -_standardised(cosines[:, -_NEAREST:].mean(axis=1))
    if pool.descriptions is not None:
        difference = pool.descriptions[number] - pool.descriptions.mean(axis=0)
        score += _standardised(directions[candidates] @ difference)
    return score


def _standardised(values: Floats) -> Floats:
    standardised: Floats = (values - values.mean()) / max(1e-9, float(values.std()))
    return standardised


def _uncertain(
    points: Floats, logits: Floats, candidates: Positions, count: int, rng: np.random.Generator
) -> list[int]:
    """The least certain text of each of `count` clusters of the uncertain texts."""
    highest = np.sort(softmax(logits[candidates], axis=1), axis=1)
    margin = highest[:, -1] - highest[:, -2]
    shortlist = candidates[np.argsort(margin, kind="stable")[: _SHORTLIST * count]]
    clusters, _ = k_means(points[shortlist], count, rng)
    first = [int(np.flatnonzero(clusters == cluster)[0]) for cluster in np.unique(clusters)]
    order = [*first, *(index for index in range(len(shortlist)) if index not in first)]  # a cluster may be empty
    return [int(shortlist[index]) for index in order[:count]]


def _centres(points: Floats, candidates: Positions, count: int, rng: np.random.Generator) -> list[int]:
    """The text nearest to each centre."""
    starts = [k_means(points[candidates], count, rng)[1] for _ in range(_STARTS)]
    distances = min(starts, key=lambda squares: float(squares.min(axis=1).sum()))
    chosen: list[int] = []
    for cluster in range(count):
        nearest = candidates[np.argsort(distances[:, cluster], kind="stable")[: count + 1]]
        chosen.append(next(int(text) for text in nearest if text not in chosen))
    return chosen


def k_means(points: Floats, clusters: int, rng: np.random.Generator) -> tuple[Positions, Floats]:
    """Each point's cluster, and the squared distances to all centres: Lloyd's algorithm from k-means++ centres."""
    centres = points[rng.integers(len(points))][None]
    while len(centres) < clusters:
        nearest = _squared_distances(points, centres).min(axis=1)
        total = nearest.sum()
        drawn = rng.choice(len(points), p=nearest / total if total > 0 else None)
        centres = np.concatenate([centres, points[drawn][None]])
    with catch_warnings(action="ignore"):  # of empty clusters, which keep their centre
        centres, _ = kmeans2(points, centres, iter=_ITERATIONS, minit="matrix")
    distances = _squared_distances(points, centres)
    return distances.argmin(axis=1), distances


def _squared_distances(points: Floats, centres: Floats) -> Floats:
    squares: Floats = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T + (centres**2).sum(axis=1)
    return np.maximum(squares, 0.0)
