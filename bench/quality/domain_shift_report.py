"""Makes the tables of docs/explanation/model-quality.md from the results of `bench.quality.domain_shift`.

`python -m bench.quality.domain_shift_report RESULTS.json`. In the last table, each fold's recipe and score are
chosen on its inner folds only, so the table shows the gain of a choice without knowledge of the test domain.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

REVIEWED_SHARE: Final = 0.25
SCORES: Final = ("softmax", "energy", "kNN agreement", "kNN similarity", "mahalanobis", "softmax + kNN agreement")


@dataclass(frozen=True, slots=True)
class UnseenDomainResult:
    """One model's results on an unseen domain. `errors_found[score]` is a share of the errors."""

    recipe: str
    test_domain: str
    excluded_domain: str
    macro_f1: float
    wrong: float
    nll: float
    below_threshold: float
    errors_found: dict[str, float]
    auroc: float


def summarize(run: dict[str, Any]) -> UnseenDomainResult:
    """A run's figures."""
    probabilities, truth = np.array(run["probabilities"]), np.array(run["truth"])
    guess = probabilities.argmax(axis=1)
    wrong = guess != truth
    scores = {name: np.array(run[name]) for name in SCORES if name in run}
    scores["softmax + kNN agreement"] = _rank(scores["softmax"]) + _rank(scores["kNN agreement"])
    return UnseenDomainResult(
        run["recipe"],
        run["test_domain"],
        run["excluded_domain"],
        macro_f1=float(f1_score(truth, guess, average="macro")),
        wrong=float(wrong.mean()),
        nll=float(-np.log(probabilities[np.arange(len(truth)), truth] + 1e-6).mean()),
        below_threshold=float((probabilities.max(axis=1) < 0.7).mean()),
        errors_found={name: _errors_found(wrong, score) for name, score in scores.items()},
        auroc=float(roc_auc_score(wrong, -scores["softmax"])),
    )


def _errors_found(wrong: Any, score: Any) -> float:
    lowest = np.argsort(score, kind="stable")[: round(REVIEWED_SHARE * len(wrong))]
    return float(wrong[lowest].sum() / max(1, wrong.sum()))


def _rank(score: Any) -> Any:
    return np.argsort(np.argsort(score, kind="stable"), kind="stable") / len(score)


def tables(runs: Sequence[UnseenDomainResult]) -> str:
    """Markdown: by recipe and score, by fold, and the nested choice."""
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    folds = list(dict.fromkeys(run.test_domain for run in runs))
    outer = [run for run in runs if not run.excluded_domain]
    lines = [
        f"| recipe | macro-F1 | error rate | NLL | below 0.7 | AUROC | {' | '.join(SCORES)} |",
        "|---|" + "---|" * (5 + len(SCORES)),
    ]
    for recipe in recipes:
        by_fold = [[run for run in outer if (run.recipe, run.test_domain) == (recipe, fold)] for fold in folds]
        figures = [
            mean(mean(float(getattr(run, name)) for run in results) for results in by_fold)
            for name in ("macro_f1", "wrong", "nll", "below_threshold", "auroc")
        ]
        figures += [mean(mean(run.errors_found[score] for run in results) for results in by_fold) for score in SCORES]
        lines.append(f"| {recipe} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")
    lines += [
        "",
        "| domain left out | error rate | maximum in 25 % | plain, softmax | chosen on inner folds | its result |",
        "|---|---|---|---|---|---|",
    ]
    for fold in folds:
        plain = [run for run in outer if (run.recipe, run.test_domain) == (recipes[0], fold)]
        recipe, score = _choice([run for run in runs if run.excluded_domain == fold], recipes)
        chosen = [run for run in outer if (run.recipe, run.test_domain) == (recipe, fold)]
        most = mean(min(1.0, REVIEWED_SHARE / run.wrong) for run in plain)
        lines.append(
            f"| {fold} | {mean(run.wrong for run in plain):.2f} | {most:.2f} | "
            f"{mean(run.errors_found['softmax'] for run in plain):.2f} | {recipe}, {score} | "
            f"{mean(run.errors_found[score] for run in chosen):.2f} |"
        )
    return "\n".join(lines)


def _choice(inner: Sequence[UnseenDomainResult], recipes: Sequence[str]) -> tuple[str, str]:
    results = {
        (recipe, score): mean(run.errors_found[score] for run in inner if run.recipe == recipe)
        for recipe in recipes
        for score in SCORES
    }
    return max(results, key=results.__getitem__)


if __name__ == "__main__":
    print(tables([summarize(run) for run in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]))
