"""Measures whether a temperature fitted on few texts is better than none, on simulated texts.

`python docs/measurements/few_texts.py`, about a minute on one core. Two labels are two normal distributions in 100
dimensions; an almost unregularized logistic regression is the overconfident model. As in a training, three folds
predict the calibration texts, and the temperature scales the model of all texts.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from triagem.trainer.evaluate import calibration
from triagem.trainer.evaluate.calibration import apply_temperature, calibrate
from triagem.trainer.evaluate.metrics import Floats, LabelIndices

DIMENSIONS, INFORMATIVE, SEEDS, TEST_TEXTS = 100, 10, 100, 400


def draw(rng: np.random.Generator, number: int, distance: float) -> tuple[Floats, LabelIndices]:
    """Texts as points, half of each label, whose means are `distance` apart."""
    labels = (np.arange(number) % 2).astype(np.intp)
    mean = np.zeros(DIMENSIONS)
    mean[:INFORMATIVE] = distance / 2 / np.sqrt(INFORMATIVE)
    return rng.normal(size=(number, DIMENSIONS)) + np.where(labels[:, None] == 1, mean, -mean), labels


def effect(seed: int, number: int, distance: float) -> tuple[float, float]:
    """The model's accuracy, and the change of the test texts' NLL by the fitted temperature."""
    rng = np.random.default_rng(seed)
    texts, labels = draw(rng, number, distance)
    test, truth = draw(rng, TEST_TEXTS, distance)

    def fit(rows: LabelIndices) -> LogisticRegression:
        return LogisticRegression(C=100.0, solver="liblinear").fit(texts[rows], labels[rows])

    out_of_fold = np.empty((number, 2))
    for train, held_out in StratifiedKFold(3, shuffle=True, random_state=seed).split(texts, labels):
        out_of_fold[held_out] = fit(train).predict_proba(texts[held_out])
    order = rng.permutation(number)
    temperature = calibrate(out_of_fold[order], labels[order], "out-of-fold").temperature
    probabilities = fit(np.arange(number)).predict_proba(test)
    before, after = (
        -float(np.log(scaled[np.arange(TEST_TEXTS), truth].clip(1e-300)).mean())
        for scaled in (probabilities, apply_temperature(probabilities, temperature))
    )
    return float((probabilities.argmax(axis=1) == truth).mean()), after - before


def main() -> None:
    """Print a table row for each distance of the labels and number of calibration texts."""
    calibration.MIN_ROWS = 0  # type: ignore[misc]
    print("accuracy  texts  worse  better  change of NLL: mean, 95th percentile")
    for distance in (3.0, 4.0, 5.0):
        for number in (10, 16, 24, 30, 48, 80):
            accuracy, change = np.array([effect(seed, number, distance) for seed in range(SEEDS)]).T
            worse, better = (change > 0.001).mean(), (change < -0.001).mean()
            print(
                f"{accuracy.mean():8.2f}  {number:5}  {worse:5.0%}  {better:6.0%}  {change.mean():+.3f}, "
                f"{np.quantile(change, 0.95):+.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
