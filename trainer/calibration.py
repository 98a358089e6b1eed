"""Calibrates a trained model: sets its temperature, review threshold and review budget.

The arithmetic is in `trainer.temperature_scaling` and `trainer.thresholds`; `trainer.cross_validation` chooses the
rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from triagem.contracts.prediction import Thresholds
from triagem.engine.classify import LoadedModel, classify
from triagem.trainer.cross_validation import CalibrationPlan
from triagem.trainer.data import Row
from triagem.trainer.report import CalibrationResult, ReviewThreshold
from triagem.trainer.settings import TrainSettings
from triagem.trainer.temperature_scaling import Floats, LabelIndices, apply_temperature, calibrate
from triagem.trainer.thresholds import review_budget, review_threshold


@dataclass(frozen=True, slots=True)
class CalibratedModel:
    """The model with its temperature and thresholds, and how they were chosen."""

    model: LoadedModel
    calibration: CalibrationResult
    threshold: ReviewThreshold


def calibrate_model(
    model: LoadedModel,
    plan: CalibrationPlan,
    dev: Sequence[Row],
    settings: TrainSettings,
    *,
    out_of_fold: Floats | None = None,
    fallback_temperature: float = 1.0,
) -> CalibratedModel:
    """Fit the temperature and set the thresholds on the plan's calibration rows.

    Args:
        model: its temperature is 1.
        dev: the rows that chose the checkpoint; they set the review budget if the plan has no calibration rows.
        out_of_fold: the fold models' probabilities for the calibration rows; without them the model itself predicts.
        fallback_temperature: used where there are too few rows.
    """
    probabilities = probabilities_of(model, plan.calibration_rows) if out_of_fold is None else out_of_fold
    labels = label_indices(model, plan.calibration_rows)
    calibration = calibrate(probabilities, labels, plan.source, fallback_temperature=fallback_temperature)
    probabilities = apply_temperature(probabilities, calibration.temperature)
    correct = probabilities.argmax(axis=1) == labels
    threshold = review_threshold(probabilities.max(axis=1), correct, settings.precision)
    if not len(correct):
        correct = probabilities_of(model, dev).argmax(axis=1) == label_indices(model, dev)
    fitted = {
        "temperature": calibration.temperature,
        "thresholds": Thresholds(review=threshold.review, review_budget=review_budget(1 - float(correct.mean()))),
    }
    return CalibratedModel(replace(model, manifest=model.manifest.model_copy(update=fitted)), calibration, threshold)


def probabilities_of(model: LoadedModel, rows: Sequence[Row]) -> Floats:
    """`[rows][labels]`: probabilities from the engine that serves."""
    probabilities = np.asarray(classify(model, [row.text for row in rows]), dtype=np.float64)
    return probabilities.reshape(len(rows), len(model.labels))


def label_indices(model: LoadedModel, rows: Sequence[Row]) -> LabelIndices:
    """`[rows]`: the index of each row's label among the model's labels."""
    return np.asarray([model.labels.index(row.label) for row in rows], dtype=np.intp)
