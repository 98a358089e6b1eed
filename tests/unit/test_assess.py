"""The training report: its metrics, its wording, and the files of a version's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest
from tests.support.rows import texts
from triagem.contracts.assessment import Assessment, CurvePoint, MetricEstimate, Slice
from triagem.contracts.model import HTML_REPORT_FILE, HTML_REPORT_PT_FILE, PREDICTIONS_FILE, REPORT_FILE, ScoredRow
from triagem.contracts.text import digest
from triagem.trainer.data.rows import Row
from triagem.trainer.evaluate.assess import (
    assess,
    manifest_metrics,
    mflops_per_token,
    write_html_report,
    write_report,
)
from triagem.trainer.evaluate.interpretation import QUALITY_LEVELS, compare_with_baseline, metric_verdicts, verdict


def value(metric: MetricEstimate) -> float:
    assert metric.value is not None
    return metric.value


def scored_slice(macro_f1: float) -> Slice:
    return Slice(rows=100, metrics={"macro_f1": MetricEstimate(value=macro_f1, low=None, high=None)})


def test_each_metric_lies_in_its_interval() -> None:
    for name, metric in report().overall.metrics.items():
        if name != "ece":  # ECE measures spread, and a resample of few rows has more spread than the rows
            assert metric.value is not None, name
            assert (metric.low or 0) - 1e-9 <= metric.value <= (metric.high or 0) + 1e-9, name


def test_languages_and_labels_are_measured_on_their_own_rows() -> None:
    assessment = report()

    assert {lang: group.rows for lang, group in assessment.by_lang.items()} == {"en": 3, "pt": 3}
    assert value(assessment.by_lang["pt"].metrics["accuracy"]) == pytest.approx(2 / 3)
    assert {label: group.rows for label, group in assessment.by_label.items()} == {"suporte": 3, "venda": 3}
    assert value(assessment.by_label["suporte"].metrics["recall"]) == pytest.approx(2 / 3)
    assert value(assessment.by_label["venda"].metrics["precision"]) == pytest.approx(3 / 4)
    assert assessment.confusion == ((2, 1), (0, 3))


def test_a_labels_rows_are_those_that_have_it_not_those_predicted_as_it() -> None:
    assessment = assess(rows("a", "b", "c"), LABELS, sure(0.9, 0.9, 0.9))

    assert {label: group.rows for label, group in assessment.by_label.items()} == {"suporte": 2, "venda": 1}


def test_a_label_without_test_rows_has_no_metrics_and_is_left_out_of_means() -> None:
    assessment = assess(rows("a", "b"), ("cobranca", *LABELS), [[0, 1, 0], [0, 0, 1]])

    assert set(assessment.by_label["cobranca"].metrics.values()) == {MetricEstimate(value=None, low=None, high=None)}
    assert value(assessment.overall.metrics["macro_f1"]) == 1


def test_a_label_that_is_only_predicted_has_no_recall_and_a_precision_of_0() -> None:
    assessment = assess(rows("a", "b"), ("cobranca", *LABELS), [[1, 0, 0], [0, 0, 1]])
    metrics = assessment.by_label["cobranca"].metrics

    assert (metrics["recall"].value, metrics["precision"].value, metrics["f1"].value) == (None, 0, 0)


def test_without_a_wrong_prediction_there_is_no_auroc_of_mistakes() -> None:
    assessment = assess(rows("a", "b"), LABELS, sure(0.1, 0.9))

    assert assessment.overall.metrics["auroc_wrong"].value is None
    assert "auroc_wrong" not in manifest_metrics(assessment)
    assert assessment.mistakes == ()


def test_without_a_wrong_prediction_the_interval_of_a_share_is_as_wide_as_its_rows_are_few() -> None:
    test = rows(*"abcdefgh")
    right = assess(test, LABELS, [[row.label == label for label in LABELS] for row in test])

    for part, lowest in ((right.overall, 8 / (8 + 1.96**2)), (right.by_label["venda"], 4 / (4 + 1.96**2))):
        for name in ("accuracy", "recall", "macro_f1", "f1"):
            if metric := part.metrics.get(name):
                assert (metric.value, metric.low, metric.high) == pytest.approx((1.0, lowest, 1.0), abs=0.001)
    assert right.overall.metrics["aurc"] == MetricEstimate(value=0.0, low=0.0, high=0.0)


def test_a_reviewed_ticket_is_not_quoted() -> None:
    """`triagem db forget` does not reach the reports of versions."""
    reviewed = Row("meu cartão é 4111", LABELS[0], stratum="random")

    (mistake,) = assess([reviewed], LABELS, [[0.1, 0.9]]).mistakes

    assert mistake.text == f"(reviewed ticket, digest {digest(reviewed.text).hex()[:12]})"


def test_mistakes_come_most_confident_first_with_their_whole_text() -> None:
    long_text = "a" * 1000
    assessment = assess(rows("um", "dois", long_text, "quatro"), LABELS, sure(0.6, 0.9, 0.99, 0.2))

    assert [(mistake.text, mistake.label, mistake.predicted) for mistake in assessment.mistakes] == [
        (long_text, "suporte", "venda"),
        ("quatro", "venda", "suporte"),
        ("um", "suporte", "venda"),
    ]
    assert [mistake.confidence for mistake in assessment.mistakes] == pytest.approx([0.99, 0.8, 0.6])


@pytest.mark.parametrize(
    ("metric", "score", "expected"),
    [
        ("accuracy", 0.80, "not yet good"),
        ("accuracy", 0.81, "good"),
        ("accuracy", 0.90, "good"),
        ("accuracy", 0.91, "excellent"),
        ("f1", 0.85, "not yet good"),
        ("f1", 0.86, "good"),
        ("precision", 0.95, "good"),
        ("recall", 0.96, "excellent"),
    ],
)
def test_metrics_are_rated_as_in_the_original_specification(metric: str, score: float, expected: str) -> None:
    assert verdict(metric, score) == expected


def test_a_rating_also_rates_the_lower_bound() -> None:
    metrics = {name: MetricEstimate(value=0.97, low=0.88, high=1) for name in QUALITY_LEVELS}

    assert [(rating.metric, rating.verdict, rating.lower_bound_verdict) for rating in metric_verdicts(metrics)] == [
        ("accuracy", "excellent", "good"),
        ("precision", "excellent", "good"),
        ("recall", "excellent", "good"),
        ("f1", "excellent", "good"),
    ]


@pytest.mark.parametrize(
    ("model", "low", "expected"),
    [
        (0.90, -0.05, "does not beat TF-IDF"),
        (0.94, -0.01, "do not show that the model beats TF-IDF"),
        (0.97, 0.01, "The model beats TF-IDF"),
    ],
)
def test_a_sentence_says_whether_the_model_beats_the_baseline(model: float, low: float, expected: str) -> None:
    sentence = compare_with_baseline(
        scored_slice(model), scored_slice(0.92), MetricEstimate(value=model - 0.92, low=low, high=0.09), {}
    )

    assert expected in sentence
    assert f"macro-F1 {model:.3f} against 0.920" in sentence
    assert "no better" not in sentence


def test_the_sentence_names_languages_in_which_the_model_is_not_better() -> None:
    gain = MetricEstimate(value=0.05, low=0.01, high=0.09)
    langs = {"en": (scored_slice(0.99), scored_slice(0.9)), "pt": (scored_slice(0.871), scored_slice(0.9))}

    sentence = compare_with_baseline(scored_slice(0.97), scored_slice(0.92), gain, langs)
    assert sentence.endswith("It is not better in pt (0.871 against 0.900).")


def test_the_gain_over_the_baseline_is_the_difference_of_both() -> None:
    assessment = report()

    assert assessment.baseline
    ours, theirs = (value(part.overall.metrics["macro_f1"]) for part in (assessment, assessment.baseline))
    assert value(assessment.baseline.gain) == pytest.approx(ours - theirs)
    assert not assessment.baseline.beaten  # six rows prove nothing


def test_a_model_like_the_baseline_gains_nothing_in_any_resample() -> None:
    assessment = report(baseline=sure(0.02, 0.97, 0.1, 0.85, 0.9, 0.95))

    assert assessment.baseline
    assert assessment.baseline.gain == MetricEstimate(value=0, low=0, high=0)
    assert "does not beat" in assessment.baseline.sentence


def test_metrics_before_calibration_are_those_of_the_raw_probabilities() -> None:
    assessment = report(raw=sure(0.001, 0.999, 0.02, 0.99, 0.99, 0.99))

    assert assessment.before_calibration
    before, after = (value(part.metrics["nll"]) for part in (assessment.before_calibration, assessment.overall))
    assert before > after


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bins_and_bars_hold_every_row_once(venda: list[float]) -> None:
    assessment = assess(rows(*texts(len(venda))), LABELS, sure(*venda))

    assert sum(group.rows for group in assessment.bins) == len(venda)
    assert sum(bar.right + bar.wrong for bar in assessment.histogram) == len(venda)
    assert sum(bar.wrong for bar in assessment.histogram) == len(assessment.mistakes)


def test_a_long_risk_coverage_curve_is_thinned_but_keeps_its_ends() -> None:
    venda = np.linspace(0.001, 0.999, 1001).tolist()
    assessment = assess(rows(*texts(len(venda))), LABELS, sure(*venda))

    assert len(assessment.risk_coverage) <= 200
    assert assessment.risk_coverage[-1].coverage == 1
    assert assessment.risk_coverage[-1].risk == pytest.approx(1 - value(assessment.overall.metrics["accuracy"]))


def test_the_same_seed_gives_the_same_report_and_another_seed_other_intervals() -> None:
    assert report(seed=1) == report(seed=1)
    assert report(seed=1).overall.metrics["nll"].low != report(seed=2).overall.metrics["nll"].low


def test_a_folder_gets_the_report_its_page_and_one_prediction_per_row(tmp_path: Path) -> None:
    assessment = report(notes=("few rows",), curves=(CurvePoint(1, 0.7, 5e-5, None),))
    write_report(tmp_path, assessment)
    write_html_report(tmp_path, assessment, manifest())

    assert Assessment.model_validate_json((tmp_path / REPORT_FILE).read_text()) == assessment.model_copy(
        update={"scored_rows": ()}
    )
    assert "few rows" in (tmp_path / HTML_REPORT_FILE).read_text()
    predictions = [
        ScoredRow.model_validate_json(line) for line in (tmp_path / PREDICTIONS_FILE).read_text().splitlines()
    ]
    assert tuple(predictions) == assessment.scored_rows
    first = ScoredRow(
        digest=digest("minha internet caiu").hex(), label="suporte", probabilities=(0.98, 0.02), lang="pt"
    )
    assert predictions[0] == first


def test_only_their_owner_reads_the_reports_that_quote_texts(tmp_path: Path) -> None:
    write_report(tmp_path, report())
    write_html_report(tmp_path, report(), manifest())

    files = (REPORT_FILE, HTML_REPORT_FILE, HTML_REPORT_PT_FILE)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in files} == {0o600}


def test_stored_predictions_contain_no_text(tmp_path: Path) -> None:
    write_report(tmp_path, report())

    assert "internet" not in (tmp_path / PREDICTIONS_FILE).read_text()


def test_the_manifests_metrics_name_languages_baseline_and_cost(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
    (tmp_path / "config.json").write_text(json.dumps(config))
    metrics = write_report(tmp_path, report())

    overall = "accuracy precision recall f1 macro_precision macro_recall macro_f1 nll brier ece auroc_wrong aurc"
    others = "macro_f1_en macro_f1_pt baseline_macro_f1 baseline_macro_f1_en baseline_macro_f1_pt mflops_per_token"
    assert set(metrics) == {*overall.split(), *others.split()}
    assert metrics["accuracy"] == pytest.approx(5 / 6)
    assert metrics["mflops_per_token"] == pytest.approx(84.9, abs=0.1)  # BERT-base's 85 M weights in its layers


def test_the_cost_is_read_from_distilberts_config_too_and_not_guessed() -> None:
    assert mflops_per_token({"n_layers": 6, "dim": 768, "hidden_dim": 3072}) == pytest.approx(42.5, abs=0.1)
    assert mflops_per_token({"n_layers": 6}) is None


def test_rows_without_a_language_make_no_language_slice() -> None:
    assert assess([Row("a", "suporte"), Row("b", "venda")], LABELS, sure(0.1, 0.9)).by_lang == {}


class TestCopies:
    """A test set of few sentences in many copies proves no more than the sentences without copies."""

    ONCE = assess(rows("minha internet caiu", "quero um plano", "app crashes"), LABELS, sure(0.1, 0.9, 0.8))
    COPIED = assess(
        rows("minha internet caiu", "quero um plano", "app crashes") * 30, LABELS, sure(0.1, 0.9, 0.8) * 30
    )

    def test_they_change_no_metric_and_no_interval(self) -> None:
        assert self.COPIED.overall == self.ONCE.overall
        assert self.COPIED.bins == self.ONCE.bins
        assert len(self.COPIED.mistakes) == len(self.ONCE.mistakes) == 1

    def test_the_rows_are_counted_next_to_the_texts(self) -> None:
        assert (self.COPIED.overall.rows, self.COPIED.test_rows) == (3, 90)
        assert (self.ONCE.overall.rows, self.ONCE.test_rows) == (3, 3)

    def test_the_gate_still_gets_every_row(self) -> None:
        assert len(self.COPIED.scored_rows) == 90


def test_a_leaked_test_gets_no_verdict_and_no_comparison() -> None:
    leaked = report(leaked=4)

    assert leaked.leaked == 4
    assert (leaked.verdicts, leaked.baseline) == ((), None)
