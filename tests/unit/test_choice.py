"""Which checkpoint is kept: the one most often right on dev, of equal ones the one with the lower log loss."""

import numpy as np
import pytest
from transformers import EvalPrediction

from trainer.finetune import CHOICE, metrics

TRUTH = np.array([0, 0, 1, 1])


def choice(*second: float, metric: str = "accuracy") -> float:
    """Of a checkpoint that gives the first label the logit 0 and the second one these."""
    logits = np.array([[0.0, one] for one in second], dtype=np.float32)
    return metrics(EvalPrediction(logits, TRUTH), metric=metric)[CHOICE]


def test_of_two_that_are_right_equally_often_the_surer_one_is_kept() -> None:
    assert choice(-3, -3, 3, -1) > choice(-0.1, -0.1, 0.1, -1)


def test_one_more_right_answer_outweighs_any_loss() -> None:
    assert choice(-0.1, -0.1, 0.1, 0.1) > choice(-9, -9, 9, -0.1)
    assert choice(-0.1, 1000, 0.1, 0.1) > choice(-9, 0.1, 9, -0.1)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_setting_names_what_is_compared(metric: str) -> None:
    said = metrics(
        EvalPrediction(np.array([[0.0, -1], [0, 1], [0, 1], [0, 1]], dtype=np.float32), TRUTH), metric=metric
    )

    assert said[CHOICE] == pytest.approx(said[metric], abs=1e-8)
    assert said["accuracy"] != said["macro_f1"]
