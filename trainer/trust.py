"""How far a trained model's confidences can be trusted: ask it, give it its temperature and thresholds.

Not here: the arithmetic (`trainer.calibrate`, `trainer.thresholds`), and which rows may be asked (`trainer.folds`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triagem.contracts.prediction import Thresholds
from triagem.engine.classify import LoadedModel, classify
from triagem.trainer.calibrate import Floats, Places, at_temperature, calibrate
from triagem.trainer.data import Row
from triagem.trainer.folds import Plan
from triagem.trainer.report import Calibration, Threshold
from triagem.trainer.settings import TrainSettings
from triagem.trainer.thresholds import review_budget, review_threshold


@dataclass(frozen=True, slots=True)
class Trusted:
    """The model with its temperature and thresholds, and what stands behind them."""

    model: LoadedModel
    calibration: Calibration
    threshold: Threshold


def settle(
    model: LoadedModel,
    plan: Plan,
    dev: Sequence[Row],
    settings: TrainSettings,
    *,
    out_of_fold: Floats | None = None,
    otherwise: float = 1.0,
) -> Trusted:
    """Calibrate, and set the thresholds, by the rows that the plan asks.

    Args:
        model: its temperature is 1.
        dev: the rows that chose the checkpoint; they set the review budget where the plan asks nobody.
        out_of_fold: the answers of the folds' models; without them the model itself is asked.
        otherwise: the temperature that stands where there are too few rows.
    """
    said = answers(model, plan.asked) if out_of_fold is None else out_of_fold
    labels = truth(model, plan.asked)
    calibration = calibrate(said, labels, plan.way, otherwise=otherwise)
    said = at_temperature(said, calibration.temperature)
    correct = said.argmax(axis=1) == labels
    threshold = review_threshold(said.max(axis=1), correct, settings.precision)
    if not len(correct):
        correct = answers(model, dev).argmax(axis=1) == truth(model, dev)
    learned = {
        "temperature": calibration.temperature,
        "thresholds": Thresholds(review=threshold.review, review_budget=review_budget(1 - float(correct.mean()))),
    }
    return Trusted(replace(model, manifest=model.manifest.model_copy(update=learned)), calibration, threshold)


def answers(model: LoadedModel, rows: Sequence[Row]) -> Floats:
    """`[rows][labels]`: probabilities by the engine that serves."""
    said = np.asarray(classify(model, [row.text for row in rows]), dtype=np.float64)
    return said.reshape(len(rows), len(model.labels))


def truth(model: LoadedModel, rows: Sequence[Row]) -> Places:
    """`[rows]`: each row's place among the model's labels."""
    return np.asarray([model.labels.index(row.label) for row in rows], dtype=np.intp)
