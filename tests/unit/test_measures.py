"""The formulas: what they keep to for any answers, and that scikit-learn's agree where it has one."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from triagem.trainer.measures import (
    BINS,
    Floats,
    Ints,
    bins_of,
    confusion,
    ece_if_exact,
    interval,
    measure,
    resampled,
    risk_coverage,
    scores,
)


class Answers(NamedTuple):
    """True labels and what was said of them."""

    truth: Ints
    said: Floats

    @property
    def guess(self) -> Ints:
        places: Ints = self.said.argmax(axis=1)
        return places

    @property
    def wrong(self) -> Ints:
        return np.where(self.guess == self.truth, 0, 1)


@st.composite
def answers(draw: st.DrawFn, *, least: int = 1, most_labels: int = 4) -> Answers:
    """Up to 30 rows, two to four labels; probabilities in tenths, so that many are equal and some are 0."""
    labels, rows = draw(st.integers(2, most_labels)), draw(st.integers(least, 30))
    parts = draw(arrays(np.int64, (rows, labels), elements=st.integers(0, 10)))
    parts[~parts.any(axis=1)] = 1
    return Answers(
        draw(arrays(np.int64, rows, elements=st.integers(0, labels - 1))), parts / parts.sum(axis=1)[:, None]
    )


def one(given: Answers, name: str) -> float:
    return float(scores(*given)[name][0])


def many(rows: int, *, labels: int = 2, seed: int = 0) -> Answers:
    """Answers whose confidence is exactly how often they are right."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet([0.4] * labels, size=rows)
    return Answers(np.array([rng.choice(labels, p=line) for line in said]), said)


@given(answers())
def test_accuracy_and_error_add_up_to_one(given: Answers) -> None:
    assert one(given, "accuracy") + given.wrong.mean() == pytest.approx(1)


@given(answers())
def test_shares_lie_between_0_and_1_and_brier_between_0_and_2(given: Answers) -> None:
    for name, figures in scores(*given).items():
        most = {"nll": np.inf, "brier": 2.0}.get(name, 1.0)
        defined = figures[~np.isnan(figures)]
        assert ((defined >= -1e-9) & (defined <= most + 1e-9)).all(), name


@given(answers())
def test_a_perfect_model_has_nothing_to_improve(given: Answers) -> None:
    perfect = Answers(given.truth, np.eye(given.said.shape[1])[given.truth])

    for name in ("accuracy", "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1"):
        assert one(perfect, name) == pytest.approx(1)
    for name in ("nll", "brier", "ece", "aurc"):
        assert one(perfect, name) == pytest.approx(0)


@given(answers(), st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(given: Answers, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(given.truth))
    shuffled = Answers(given.truth[order], given.said[order])

    for name, figures in scores(*given).items():
        assert figures == pytest.approx(scores(*shuffled)[name], nan_ok=True), name


@given(answers())
def test_labels_figures_are_scikit_learns(given: Answers) -> None:
    said = scores(*given)
    for average, prefix in (("weighted", ""), ("macro", "macro_")):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            given.truth, given.guess, average=average, zero_division=0
        )
        assert said[f"{prefix}precision"][0] == pytest.approx(precision)
        assert said[f"{prefix}recall"][0] == pytest.approx(recall)
        assert said[f"{prefix}f1"][0] == pytest.approx(f1)
    labels = range(given.said.shape[1])
    each = metrics.precision_recall_fscore_support(given.truth, given.guess, labels=labels, zero_division=0)
    for name, theirs in zip(("precision_of", "recall_of", "f1_of"), each, strict=False):
        assert np.nan_to_num(said[name][0]) == pytest.approx(theirs)


@given(answers())
def test_the_confusion_matrix_is_scikit_learns(given: Answers) -> None:
    labels = given.said.shape[1]

    assert (
        confusion(given.truth, given.guess, labels)
        == metrics.confusion_matrix(given.truth, given.guess, labels=range(labels))
    ).all()


@given(answers())
def test_nll_is_scikit_learns_where_no_probability_is_zero(given: Answers) -> None:
    soft = Answers(given.truth, (given.said + 0.01) / (given.said + 0.01).sum(axis=1, keepdims=True))

    theirs = metrics.log_loss(soft.truth, soft.said, labels=range(soft.said.shape[1]))
    assert one(soft, "nll") == pytest.approx(theirs)


@given(answers(most_labels=2))
def test_brier_of_two_labels_is_twice_scikit_learns_of_one(given: Answers) -> None:
    theirs = metrics.brier_score_loss(given.truth, given.said[:, 1], labels=[0, 1], scale_by_half=True)
    assert one(given, "brier") == pytest.approx(2 * theirs)


@given(answers(least=2))
def test_auroc_of_wrong_is_scikit_learns_and_undefined_without_both_kinds(given: Answers) -> None:
    if 0 < given.wrong.sum() < len(given.wrong):
        theirs = metrics.roc_auc_score(given.wrong, 1 - given.said.max(axis=1).round(9))
        assert one(Answers(given.truth, given.said.round(9)), "auroc_wrong") == pytest.approx(theirs)
    else:
        assert np.isnan(one(given, "auroc_wrong"))


@given(answers())
def test_the_risk_of_all_answers_is_the_error_and_coverage_only_grows(given: Answers) -> None:
    confidence, coverage, risk = risk_coverage(*given)

    assert (coverage[-1], risk[-1]) == pytest.approx((1, given.wrong.mean()))
    assert (np.diff(coverage) > 0).all()
    assert (np.diff(confidence) < 0).all()
    for sure, covered, wrong in zip(confidence, coverage, risk, strict=True):
        kept = given.said.max(axis=1) >= sure
        assert (covered, wrong) == pytest.approx((kept.mean(), given.wrong[kept].mean()))


def test_the_area_is_the_mean_risk_over_the_number_of_answers_kept() -> None:
    confidence = np.array([0.95, 0.9, 0.8, 0.7])
    given = Answers(
        np.array([0, 1, 0, 1]), np.stack([confidence, 1 - confidence], axis=1)
    )  # right, wrong, right, wrong

    assert one(given, "aurc") == pytest.approx((0 / 1 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


@given(answers())
def test_a_resample_is_measured_as_the_rows_that_it_holds(given: Answers) -> None:
    """But for ECE, whose bins are those of the rows it was drawn from."""
    times = np.random.default_rng(len(given.truth)).integers(0, 3, size=len(given.truth))
    assume(times.any())
    repeated = Answers(given.truth.repeat(times), given.said.repeat(times, axis=0))

    weighed = scores(*given, times[None].astype(np.float64))
    for name, figures in scores(*repeated).items():
        if name != "ece":
            assert weighed[name] == pytest.approx(figures, nan_ok=True), name


def test_bins_hold_equally_many_rows() -> None:
    confidence = np.random.default_rng(0).random(10 * BINS)

    assert np.bincount(bins_of(confidence)).tolist() == [10] * BINS


@given(answers())
def test_rows_of_one_confidence_share_a_bin_and_bins_keep_the_order(given: Answers) -> None:
    confidence = given.said.max(axis=1)
    order = np.argsort(confidence)
    bins = bins_of(confidence)[order]

    assert (np.diff(bins) >= 0).all()
    assert (np.diff(bins)[np.diff(confidence[order]) == 0] == 0).all()
    assert bins.max() < BINS


def test_ece_is_the_gap_between_confidence_and_accuracy() -> None:
    said = np.tile([0.9, 0.1], (10, 1))
    given = Answers(np.array([0] * 6 + [1] * 4), said)  # one bin: 0.9 said, 0.6 right

    assert one(given, "ece") == pytest.approx(0.3)


def test_an_exact_confidence_gets_the_ece_that_so_many_rows_give() -> None:
    exact = many(3000)
    low, high = interval(ece_if_exact(exact.said.max(axis=1)))

    assert low < one(exact, "ece") < high
    bolder = exact.said**2 / (exact.said**2).sum(axis=1, keepdims=True)
    assert one(Answers(exact.truth, bolder), "ece") > high


def test_intervals_hold_the_true_figure_as_often_as_they_say() -> None:
    """95 %: of 200 draws 190 are expected, and 3 standard deviations are 9."""
    rng, held = np.random.default_rng(1), 0
    for seed in range(200):
        truth = np.zeros(150, dtype=np.int64)
        said = np.where(rng.random(150) < 0.8, 0.9, 0.1)
        low, high = interval(
            resampled(truth, np.stack([said, 1 - said], axis=1), resamples=300, seed=seed)["accuracy"]
        )
        held += low <= 0.8 <= high

    assert held >= 181


def test_the_same_seed_gives_the_same_resamples_and_another_one_others() -> None:
    given = many(200, labels=3)

    first, again, other = (resampled(*given, resamples=20, seed=seed)["nll"] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_resamples_of_two_models_draw_the_same_rows() -> None:
    given = many(100)
    opposite = Answers(given.truth, given.said[:, ::-1])

    both = resampled(*given, resamples=50)["accuracy"] + resampled(*opposite, resamples=50)["accuracy"]
    assert both == pytest.approx(np.ones(50))


def test_more_resamples_than_fit_at_a_time_are_still_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triagem.trainer.measures._AT_A_TIME", 250)
    samples = resampled(*many(100), resamples=9)["nll"]

    assert len(set(samples)) == 9


def test_labels_alone_are_measured_as_the_checkpoints_are_chosen() -> None:
    said = measure(["venda", "suporte", "venda"], ["venda", "venda", "venda"])

    assert said == pytest.approx(
        {"accuracy": 2 / 3, "precision": 4 / 9, "recall": 2 / 3, "f1": 8 / 15, "macro_f1": 0.4}
    )
