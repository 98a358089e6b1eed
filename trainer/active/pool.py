"""A company's texts as embeddings, and the answers of the person who labels them. Pure."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triagem.trainer.active.linear import EmbeddingSpace, LinearHead, description_prior, fading, fit_head
from triagem.trainer.evaluate.metrics import Floats, LabelIndices, Positions, out_of_fold

_FOLDS: Final = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's label for the text at a position in the pool; None if the text does not show which label is right.

    `random`: the text was drawn at random, so estimates for all texts may use it.
    """

    text: int
    label: str | None
    random: bool = False


@dataclass(frozen=True)
class Pool:
    """All answered texts and all texts that may become questions, each text once.

    Args:
        embeddings: `[texts][width]`.
        labels: at least two.
        answers: at most one for each text, oldest first.
        descriptions: `[labels][width]`, the embeddings of a sentence about each label.
    """

    embeddings: NDArray[np.floating]
    labels: tuple[str, ...]
    answers: tuple[Answer, ...] = ()
    descriptions: NDArray[np.floating] | None = None

    @cached_property
    def space(self) -> EmbeddingSpace:
        """The space of all texts."""
        stretch = fading(len(self.labelled))
        return EmbeddingSpace.of(np.asarray(self.embeddings, dtype=np.float64), stretch=stretch)

    @cached_property
    def points(self) -> Floats:
        """The texts in their space, `[texts][width]`."""
        return self.space(self.embeddings)

    @cached_property
    def labelled(self) -> tuple[Answer, ...]:
        """The answers with a label."""
        return tuple(answer for answer in self.answers if answer.label is not None)

    @cached_property
    def positions(self) -> Positions:
        """The positions of the labelled texts."""
        return np.array([answer.text for answer in self.labelled], dtype=np.intp)

    @cached_property
    def truth(self) -> LabelIndices:
        """The label numbers of the labelled texts."""
        numbers = {label: number for number, label in enumerate(self.labels)}
        return np.array([numbers[answer.label] for answer in self.labelled if answer.label], dtype=np.intp)

    @cached_property
    def prior(self) -> Floats | None:
        """The head's weights by the label descriptions."""
        return None if self.descriptions is None else description_prior(self.space(self.descriptions))

    @property
    def unanswered(self) -> Positions:
        """The positions of the texts without an answer."""
        return np.setdiff1d(np.arange(len(self.embeddings)), [answer.text for answer in self.answers])

    def counts(self) -> dict[str, int]:
        """The number of answers of each label."""
        count = Counter(answer.label for answer in self.labelled)
        return {label: count[label] for label in self.labels}

    def answered(self, least: int) -> "Pool":
        """The pool with only the labels that have at least this number of answers, and only their answers."""
        kept = [number for number, count in enumerate(self.counts().values()) if count >= least]
        labels = tuple(self.labels[number] for number in kept)
        return replace(
            self,
            labels=labels,
            answers=tuple(answer for answer in self.answers if answer.label in labels),
            descriptions=None if self.descriptions is None else self.descriptions[kept],
        )

    def fit(self, answers: Positions | None = None) -> LinearHead:
        """The head fitted to all or some labelled texts, for `points`."""
        chosen = slice(None) if answers is None else answers
        positions = self.positions[chosen]
        return fit_head(self.points[positions], self.truth[chosen], len(self.labels), prior=self.prior)

    def out_of_fold(self, seed: int = 0) -> Floats:
        """Logits of the labelled texts, each by a head that was fitted without it: `[answers][labels]`."""
        return out_of_fold(
            lambda train, test: self.fit(train).logits(self.points[self.positions[test]]),
            fold_numbers(self.truth, seed),
        )


def fold_numbers(truth: LabelIndices, seed: int) -> NDArray[np.intp]:
    """A fold for each answer, so that each label is spread evenly."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    folds = np.empty(len(truth), dtype=np.intp)
    folds[order[np.argsort(truth[order], kind="stable")]] = np.arange(len(truth)) % _FOLDS
    return folds
