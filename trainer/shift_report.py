"""The tables of docs/model-quality.md from what `trainer.shift` wrote: `python -m trainer.shift_report RESULTS.json`.

A fold's choice of recipe and score is made on its inner folds only, so the last line is what choosing is worth.
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

LEAST_SURE: Final = 0.25
SCORES: Final = ("softmax", "energy", "neighbours agree", "neighbours near", "mahalanobis", "softmax + agree")


@dataclass(frozen=True, slots=True)
class Seen:
    """One model on the rows of a domain that it never saw. `errors_held[score]` is a share of the errors."""

    recipe: str
    held: str
    also_out: str
    macro_f1: float
    wrong: float
    nll: float
    under: float
    errors_held: dict[str, float]
    auroc: float


def seen(run: dict[str, Any]) -> Seen:
    """A run's figures."""
    probabilities, truth = np.array(run["probabilities"]), np.array(run["truth"])
    guess = probabilities.argmax(axis=1)
    wrong = guess != truth
    scores = {name: np.array(run[name]) for name in SCORES if name in run}
    scores["softmax + agree"] = _rank(scores["softmax"]) + _rank(scores["neighbours agree"])
    return Seen(
        run["recipe"],
        run["held"],
        run["also_out"],
        macro_f1=float(f1_score(truth, guess, average="macro")),
        wrong=float(wrong.mean()),
        nll=float(-np.log(probabilities[np.arange(len(truth)), truth] + 1e-6).mean()),
        under=float((probabilities.max(axis=1) < 0.7).mean()),
        errors_held={name: _errors_held(wrong, score) for name, score in scores.items()},
        auroc=float(roc_auc_score(wrong, -scores["softmax"])),
    )


def _errors_held(wrong: Any, score: Any) -> float:
    least = np.argsort(score, kind="stable")[: round(LEAST_SURE * len(wrong))]
    return float(wrong[least].sum() / max(1, wrong.sum()))


def _rank(score: Any) -> Any:
    return np.argsort(np.argsort(score, kind="stable"), kind="stable") / len(score)


def tables(runs: Sequence[Seen]) -> str:
    """Markdown: by recipe and score, by fold, and the nested choice."""
    recipes = list(dict.fromkeys(run.recipe for run in runs))
    folds = list(dict.fromkeys(run.held for run in runs))
    outer = [run for run in runs if not run.also_out]
    lines = [
        f"| recipe | macro-F1 | wrong | NLL | under 0.7 | AUROC | {' | '.join(SCORES)} |",
        "|---|" + "---|" * (5 + len(SCORES)),
    ]
    for recipe in recipes:
        some = [[run for run in outer if (run.recipe, run.held) == (recipe, fold)] for fold in folds]
        figures = [
            mean(mean(float(getattr(run, name)) for run in one) for one in some)
            for name in ("macro_f1", "wrong", "nll", "under", "auroc")
        ]
        figures += [mean(mean(run.errors_held[score] for run in one) for one in some) for score in SCORES]
        lines.append(f"| {recipe} | {' | '.join(f'{figure:.2f}' for figure in figures)} |")
    lines += [
        "",
        "| domain left out | wrong | the most that 25 % can hold | plain, softmax | chosen inside | of it |",
        "|---|---|---|---|---|---|",
    ]
    for fold in folds:
        plain = [run for run in outer if (run.recipe, run.held) == (recipes[0], fold)]
        recipe, score = _choice([run for run in runs if run.also_out == fold], recipes)
        chosen = [run for run in outer if (run.recipe, run.held) == (recipe, fold)]
        most = mean(min(1.0, LEAST_SURE / run.wrong) for run in plain)
        lines.append(
            f"| {fold} | {mean(run.wrong for run in plain):.2f} | {most:.2f} | "
            f"{mean(run.errors_held['softmax'] for run in plain):.2f} | {recipe}, {score} | "
            f"{mean(run.errors_held[score] for run in chosen):.2f} |"
        )
    return "\n".join(lines)


def _choice(inner: Sequence[Seen], recipes: Sequence[str]) -> tuple[str, str]:
    worth = {
        (recipe, score): mean(run.errors_held[score] for run in inner if run.recipe == recipe)
        for recipe in recipes
        for score in SCORES
    }
    return max(worth, key=worth.__getitem__)


if __name__ == "__main__":
    print(tables([seen(run) for run in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))]))
