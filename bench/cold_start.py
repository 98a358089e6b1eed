"""Simulates companies that start without labels: a person answers Triagem's questions, and a head is evaluated.

Each domain of a JSONL file is a company. A third of its near-duplicate groups is held out to evaluate the heads; the
person labels texts of the other two thirds. No constant of `triagem.trainer.active` was chosen on the held-out thirds
of the four companies. But the other domains and the samples in Portuguese were among the texts used to choose them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from bench.companies import ALL, COMPANIES, LABELS, PORTUGUESE, Company, read_companies, thin_sales
from triagem.trainer.active.embeddings import frozen_base
from triagem.trainer.active.linear import one_blas_thread
from triagem.trainer.active.pool import Answer, Pool
from triagem.trainer.active.progress import estimate_progress
from triagem.trainer.active.selection import BATCH, next_questions

RARE_COMPANIES: Final = ("airline", "insurance-calls", "software", ALL)  # `media` has only 59 support messages
STAGES: Final = (10, 20, 50, 100)
WRONG_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Stage:
    """The head after a number of answers: macro-F1 on the held-out third, and the number of sales answered."""

    answers: int
    macro_f1: float
    sales: int


@dataclass(frozen=True, slots=True)
class CompanyScore:
    """Mean macro-F1 by number of answers."""

    company: str
    chosen: Mapping[int, float]
    at_random: Mapping[int, float]
    wrong_answers: float


@dataclass(frozen=True, slots=True)
class Gain:
    """Gain in macro-F1 of chosen over random questions, with its 95 % interval over the starts."""

    answers: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RareSales:
    """A company with 4 % sales: macro-F1 after 100 answers, and the pool's sales found within 50 answers.

    `all_labels`: macro-F1 of a head fitted to the labels of all texts in the pool.
    """

    company: str
    macro_f1: float
    all_labels: float
    sales: float
    in_pool: int


@dataclass(frozen=True, slots=True)
class Goal:
    """A mean over companies and the least value that is good enough."""

    figure: str
    value: float
    goal: float


@dataclass(frozen=True, slots=True)
class ColdStartReport:
    """All figures. `coverage` is the share of starts whose interval contains the held-out macro-F1 at 50 answers."""

    goals: tuple[Goal, ...]
    base: str
    starts: int
    companies: tuple[CompanyScore, ...]
    gains: tuple[Gain, ...]
    rare: tuple[RareSales, ...]
    coverage: float
    progress_starts: int
    progress_bias: float
    progress_error: float


def run(
    data: Path, samples: Path, cache: Path, *, starts: int, estimates: int, on_progress: Callable[[str], None]
) -> ColdStartReport:
    """Simulate `starts` starts of each company, with right and with wrong answers, and `estimates` for the interval.

    Args:
        data: JSON lines with `prompt`, `completion` and `domain`.
        samples: a folder with `train.jsonl` and `test.jsonl`, whose rows also have `lang`. The rows in Portuguese are
            one company.
        cache: a folder for embeddings.
    """
    base = frozen_base()
    companies = read_companies(data, samples, base, cache)
    scores, differences = [], []
    for company in (company for company in companies if company.name != ALL):
        on_progress(company.name)
        chosen = [simulate(company, seed) for seed in range(starts)]
        drawn = [simulate(company, seed, at_random=True) for seed in range(starts)]
        wrong = [simulate(company, seed, wrong=WRONG_SHARE, answers=50)[-1].macro_f1 for seed in range(starts)]
        scores.append(CompanyScore(company.name, _means(chosen), _means(drawn), float(np.mean(wrong))))
        if company.name in COMPANIES:
            differences += [_macro_f1(left) - _macro_f1(right) for left, right in zip(chosen, drawn, strict=True)]
    rare = []
    for company in (company for company in companies if company.name in RARE_COMPANIES):
        on_progress(f"{company.name} with 4 % sales")
        thinned = [thin_sales(company, seed) for seed in range(starts)]
        rows = [simulate(few, seed) for seed, few in enumerate(thinned)]
        sales_found = float(np.mean([row[STAGES.index(50)].sales for row in rows]))
        in_pool = int(thinned[0].truth[thinned[0].pool].sum())
        reached = float(np.mean([row[-1].macro_f1 for row in rows]))
        limit = float(np.mean([with_all_labels(few).macro_f1 for few in thinned]))
        rare.append(RareSales(company.name, reached, limit, sales_found, in_pool))
    on_progress("the progress figure")
    figures = progress_figures([company for company in companies if company.name != ALL], starts=estimates)
    errors = np.array([estimate - truth for estimate, _, truth in figures])
    coverage = float(np.mean([covered for _, covered, _ in figures]))
    gains = tuple(_gain(np.array(differences), answers) for answers in (20, 50))
    return ColdStartReport(
        goals=_goals(scores, gains, rare, coverage),
        base=base,
        starts=starts,
        companies=tuple(scores),
        gains=gains,
        rare=tuple(rare),
        coverage=coverage,
        progress_starts=len(figures),
        progress_bias=float(errors.mean()),
        progress_error=float(np.abs(errors).mean()),
    )


@one_blas_thread
def simulate(
    company: Company, seed: int, *, at_random: bool = False, wrong: float = 0.0, answers: int = STAGES[-1]
) -> list[Stage]:
    """Answer questions, and evaluate the head at each of `STAGES` up to `answers`."""
    return [
        _evaluate(company, pool)
        for pool in _pools(company, seed, answers, at_random, wrong)
        if len(pool.answers) in STAGES
    ]


@one_blas_thread
def with_all_labels(company: Company) -> Stage:
    """Evaluate the head fitted to the labels of all texts in the pool."""
    answers = tuple(Answer(text, LABELS[label]) for text, label in enumerate(company.truth[company.pool]))
    return _evaluate(company, Pool(company.embeddings[company.pool], LABELS, answers, company.descriptions))


@one_blas_thread
def progress_figures(companies: Sequence[Company], starts: int) -> list[tuple[float, bool, float]]:
    """Per start: the estimate at 50 answers, whether its interval covers the true value, and the true value."""
    figures = []
    for start in range(starts):
        company = companies[start % len(companies)]
        *_, pool = _pools(company, 1000 + start, 50, False, 0.0)
        truth = _evaluate(company, pool).macro_f1
        if progress := estimate_progress(pool):
            figures.append((progress.macro_f1, progress.low <= truth <= progress.high, truth))
    return figures


def _pools(company: Company, seed: int, answers: int, at_random: bool, wrong: float) -> Any:
    """The pool after each batch of answers."""
    rng = np.random.default_rng(seed)
    pool = Pool(company.embeddings[company.pool], LABELS, descriptions=company.descriptions)
    truth = company.truth[company.pool]
    while len(pool.answers) < answers:
        if at_random:
            questions = [(int(text), True) for text in rng.choice(pool.unanswered, BATCH, replace=False)]
        else:
            questions = [(question.text, question.random) for question in next_questions(pool, seed=seed)]
        labels = [truth[text] ^ (rng.random() < wrong) for text, _ in questions]
        new = [Answer(text, LABELS[label], drawn) for (text, drawn), label in zip(questions, labels, strict=True)]
        pool = Pool(pool.embeddings, LABELS, (*pool.answers, *new), pool.descriptions)
        yield pool


def _evaluate(company: Company, pool: Pool) -> Stage:
    predicted = pool.fit().logits(pool.space(company.embeddings[company.held_out])).argmax(axis=1)
    macro_f1 = f1_score(company.truth[company.held_out], predicted, average="macro", sample_weight=company.weights)
    return Stage(len(pool.answers), float(macro_f1), pool.counts()["venda"])


def _macro_f1(stages: Sequence[Stage]) -> NDArray[np.float64]:
    return np.array([stage.macro_f1 for stage in stages])


def _means(starts: Sequence[Sequence[Stage]]) -> dict[int, float]:
    return dict(zip(STAGES, np.mean([_macro_f1(stages) for stages in starts], axis=0).tolist(), strict=True))


def _goals(
    scores: Sequence[CompanyScore], gains: Sequence[Gain], rare: Sequence[RareSales], coverage: float
) -> tuple[Goal, ...]:
    def mean(answers: int) -> float:
        return float(np.mean([score.chosen[answers] for score in scores if score.company in COMPANIES]))

    portuguese = next(score for score in scores if score.company == PORTUGUESE)
    one_company = float(np.mean([row.macro_f1 for row in rare if row.company != ALL]))
    many = next(row for row in rare if row.company == ALL)
    lost = float(np.mean([score.wrong_answers - score.chosen[50] for score in scores]))
    return (
        Goal(f"macro-F1 after 20 answers, mean of {len(COMPANIES)} companies", mean(20), 0.93),
        Goal(f"macro-F1 after 50 answers, mean of {len(COMPANIES)} companies", mean(50), 0.96),
        *(Goal(f"gain over random choice after {gain.answers} answers", gain.mean, 0.01) for gain in gains),
        Goal(f"macro-F1 after 50 answers, {PORTUGUESE}", portuguese.chosen[50], 0.8),
        Goal("macro-F1 after 50 answers, change by one wrong answer in ten", lost, -0.05),
        Goal(f"macro-F1 after 100 answers, 4 % sales, mean of {len(rare) - 1} companies", one_company, 0.9),
        Goal(f"macro-F1 after 100 answers, 4 % sales in {ALL}", many.macro_f1, 0.9),
        Goal(f"sales within 50 answers, 4 % sales in {ALL}", many.sales, 10),
        Goal("coverage of the 90 % interval at 50 answers", coverage, 0.85),
    )


def _gain(differences: NDArray[np.float64], answers: int) -> Gain:
    """The mean gain and its 95 % interval after `answers` answers. `differences` has an index per start and stage."""
    column = differences[:, STAGES.index(answers)]
    margin = 1.96 * column.std(ddof=1) / np.sqrt(len(column))
    return Gain(answers, float(column.mean()), float(column.mean() - margin), float(column.mean() + margin))
