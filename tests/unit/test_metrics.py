"""The metrics: invariants for any predictions, and agreement with scikit-learn where it has the metric."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from triagem.trainer.evaluate.metrics import (
    BINS,
    Floats,
    Ints,
    bins_of,
    bootstrap,
    compute_metrics,
    confusion,
    ece_if_exact,
    interval,
    label_metrics,
    risk_coverage,
)


class Predictions(NamedTuple):
    """True labels and predicted probabilities."""

    truth: Ints
    probabilities: Floats

    @property
    def predicted(self) -> Ints:
        indices: Ints = self.probabilities.argmax(axis=1)
        return indices

    @property
    def wrong(self) -> Ints:
        return np.where(self.predicted == self.truth, 0, 1)


@st.composite
def predictions(draw: st.DrawFn, *, min_rows: int = 1, max_labels: int = 4) -> Predictions:
    """Up to 30 rows, two to four labels; probabilities in tenths, so that many are equal and some are 0."""
    labels, rows = draw(st.integers(2, max_labels)), draw(st.integers(min_rows, 30))
    tenths = draw(arrays(np.int64, (rows, labels), elements=st.integers(0, 10)))
    tenths[~tenths.any(axis=1)] = 1
    return Predictions(
        draw(arrays(np.int64, rows, elements=st.integers(0, labels - 1))), tenths / tenths.sum(axis=1)[:, None]
    )


def metric(sample: Predictions, name: str) -> float:
    return float(compute_metrics(*sample)[name][0])


def calibrated_predictions(rows: int, *, labels: int = 2, seed: int = 0) -> Predictions:
    """Predictions whose confidence equals their accuracy."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([0.4] * labels, size=rows)
    return Predictions(np.array([rng.choice(labels, p=row) for row in probabilities]), probabilities)


@given(predictions())
def test_accuracy_and_error_add_up_to_one(sample: Predictions) -> None:
    assert metric(sample, "accuracy") + sample.wrong.mean() == pytest.approx(1)


@given(predictions())
def test_shares_lie_between_0_and_1_and_brier_between_0_and_2(sample: Predictions) -> None:
    for name, values in compute_metrics(*sample).items():
        maximum = {"nll": np.inf, "brier": 2.0}.get(name, 1.0)
        defined = values[~np.isnan(values)]
        assert ((defined >= -1e-9) & (defined <= maximum + 1e-9)).all(), name


@given(predictions())
def test_a_perfect_model_has_perfect_metrics(sample: Predictions) -> None:
    perfect = Predictions(sample.truth, np.eye(sample.probabilities.shape[1])[sample.truth])

    for name in ("accuracy", "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1"):
        assert metric(perfect, name) == pytest.approx(1)
    for name in ("nll", "brier", "ece", "aurc"):
        assert metric(perfect, name) == pytest.approx(0)


@given(predictions(), st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(sample: Predictions, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(sample.truth))
    shuffled = Predictions(sample.truth[order], sample.probabilities[order])

    for name, values in compute_metrics(*sample).items():
        assert values == pytest.approx(compute_metrics(*shuffled)[name], nan_ok=True), name


@given(predictions())
def test_metrics_per_label_match_scikit_learn(sample: Predictions) -> None:
    ours = compute_metrics(*sample)
    for average, prefix in (("weighted", ""), ("macro", "macro_")):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            sample.truth, sample.predicted, average=average, zero_division=0
        )
        assert ours[f"{prefix}precision"][0] == pytest.approx(precision)
        assert ours[f"{prefix}recall"][0] == pytest.approx(recall)
        assert ours[f"{prefix}f1"][0] == pytest.approx(f1)
    labels = range(sample.probabilities.shape[1])
    per_label = metrics.precision_recall_fscore_support(
        sample.truth, sample.predicted, labels=labels, zero_division=0
    )
    for name, theirs in zip(("precision_of", "recall_of", "f1_of"), per_label, strict=False):
        assert np.nan_to_num(ours[name][0]) == pytest.approx(theirs)


@given(predictions())
def test_the_confusion_matrix_matches_scikit_learn(sample: Predictions) -> None:
    labels = sample.probabilities.shape[1]

    assert (
        confusion(sample.truth, sample.predicted, labels)
        == metrics.confusion_matrix(sample.truth, sample.predicted, labels=range(labels))
    ).all()


@given(predictions())
def test_nll_matches_scikit_learn_where_no_probability_is_zero(sample: Predictions) -> None:
    soft = Predictions(
        sample.truth, (sample.probabilities + 0.01) / (sample.probabilities + 0.01).sum(axis=1, keepdims=True)
    )

    theirs = metrics.log_loss(soft.truth, soft.probabilities, labels=range(soft.probabilities.shape[1]))
    assert metric(soft, "nll") == pytest.approx(theirs)


@given(predictions(max_labels=2))
def test_brier_of_two_labels_is_twice_scikit_learns_binary_brier(sample: Predictions) -> None:
    theirs = metrics.brier_score_loss(sample.truth, sample.probabilities[:, 1], labels=[0, 1], scale_by_half=True)
    assert metric(sample, "brier") == pytest.approx(2 * theirs)


@given(predictions(min_rows=2))
def test_auroc_of_errors_matches_scikit_learn_and_is_undefined_without_both_classes(sample: Predictions) -> None:
    if 0 < sample.wrong.sum() < len(sample.wrong):
        theirs = metrics.roc_auc_score(sample.wrong, 1 - sample.probabilities.max(axis=1).round(9))
        assert metric(Predictions(sample.truth, sample.probabilities.round(9)), "auroc_wrong") == pytest.approx(
            theirs
        )
    else:
        assert np.isnan(metric(sample, "auroc_wrong"))


@given(predictions())
def test_the_risk_at_full_coverage_is_the_error_and_coverage_only_grows(sample: Predictions) -> None:
    confidence, coverage, risk = risk_coverage(*sample)

    assert (coverage[-1], risk[-1]) == pytest.approx((1, sample.wrong.mean()))
    assert (np.diff(coverage) > 0).all()
    assert (np.diff(confidence) < 0).all()
    for cutoff, covered, error in zip(confidence, coverage, risk, strict=True):
        kept = sample.probabilities.max(axis=1) >= cutoff
        assert (covered, error) == pytest.approx((kept.mean(), sample.wrong[kept].mean()))


def test_aurc_is_the_mean_risk_over_the_number_of_predictions_kept() -> None:
    confidence = np.array([0.95, 0.9, 0.8, 0.7])
    sample = Predictions(
        np.array([0, 1, 0, 1]), np.stack([confidence, 1 - confidence], axis=1)
    )  # right, wrong, right, wrong

    assert metric(sample, "aurc") == pytest.approx((0 / 1 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


@given(predictions())
def test_a_resample_has_the_metrics_of_the_rows_it_contains(sample: Predictions) -> None:
    """ECE is an exception: a resample has the bins of the original rows."""
    counts = np.random.default_rng(len(sample.truth)).integers(0, 3, size=len(sample.truth))
    assume(counts.any())
    repeated = Predictions(sample.truth.repeat(counts), sample.probabilities.repeat(counts, axis=0))

    weighted = compute_metrics(*sample, counts[None].astype(np.float64))
    for name, values in compute_metrics(*repeated).items():
        if name != "ece":
            assert weighted[name] == pytest.approx(values, nan_ok=True), name


def test_bins_hold_equally_many_rows() -> None:
    confidence = np.random.default_rng(0).random(10 * BINS)

    assert np.bincount(bins_of(confidence)).tolist() == [10] * BINS


@given(predictions())
def test_rows_of_one_confidence_share_a_bin_and_bins_keep_the_order(sample: Predictions) -> None:
    confidence = sample.probabilities.max(axis=1)
    order = np.argsort(confidence)
    bins = bins_of(confidence)[order]

    assert (np.diff(bins) >= 0).all()
    assert (np.diff(bins)[np.diff(confidence[order]) == 0] == 0).all()
    assert bins.max() < BINS


def test_ece_is_the_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.tile([0.9, 0.1], (10, 1))
    sample = Predictions(np.array([0] * 6 + [1] * 4), probabilities)  # one bin: confidence 0.9, accuracy 0.6

    assert metric(sample, "ece") == pytest.approx(0.3)


def test_a_calibrated_model_has_the_ece_expected_for_its_number_of_rows() -> None:
    exact = calibrated_predictions(3000)
    low, high = interval(ece_if_exact(exact.probabilities.max(axis=1)))

    assert low < metric(exact, "ece") < high
    overconfident = exact.probabilities**2 / (exact.probabilities**2).sum(axis=1, keepdims=True)
    assert metric(Predictions(exact.truth, overconfident), "ece") > high


def test_intervals_contain_the_true_value_at_their_nominal_rate() -> None:
    """95 %: of 200 intervals 190 are expected, and 3 standard deviations are 9."""
    rng, covering = np.random.default_rng(1), 0
    for seed in range(200):
        truth = np.zeros(150, dtype=np.int64)
        first_label = np.where(rng.random(150) < 0.8, 0.9, 0.1)
        low, high = interval(
            bootstrap(truth, np.stack([first_label, 1 - first_label], axis=1), resamples=300, seed=seed)["accuracy"]
        )
        covering += low <= 0.8 <= high

    assert covering >= 181


def test_resamples_depend_only_on_the_seed() -> None:
    sample = calibrated_predictions(200, labels=3)

    first, again, other = (bootstrap(*sample, resamples=20, seed=seed)["nll"] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_resamples_of_two_models_draw_the_same_rows() -> None:
    sample = calibrated_predictions(100)
    opposite = Predictions(sample.truth, sample.probabilities[:, ::-1])

    both = bootstrap(*sample, resamples=50)["accuracy"] + bootstrap(*opposite, resamples=50)["accuracy"]
    assert both == pytest.approx(np.ones(50))


def test_more_resamples_than_fit_at_a_time_are_still_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagem.trainer.evaluate.metrics._CHUNK", 250)
    samples = bootstrap(*calibrated_predictions(100), resamples=9)["nll"]

    assert len(set(samples)) == 9


def test_label_metrics_are_those_that_select_checkpoints() -> None:
    label_only = label_metrics(["venda", "suporte", "venda"], ["venda", "venda", "venda"])

    assert label_only == pytest.approx(
        {"accuracy": 2 / 3, "precision": 4 / 9, "recall": 2 / 3, "f1": 8 / 15, "macro_f1": 0.4}
    )
