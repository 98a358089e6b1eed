"""From answers to a report: its figures, its words, and the files of a version's folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest
from triagem.contracts.model import HTML_REPORT_FILE, PREDICTIONS_FILE, REPORT_FILE, ScoredRow
from triagem.contracts.text import digest
from triagem.trainer.assess import assess, manifest_metrics, mflops_per_token, write_report
from triagem.trainer.data import Row
from triagem.trainer.interpretation import QUALITY_LEVELS, compare_with_baseline, metric_verdicts, verdict
from triagem.trainer.report import Assessment, CurvePoint, MetricEstimate, Slice


def value(one: MetricEstimate) -> float:
    assert one.value is not None
    return one.value


def scored(macro_f1: float) -> Slice:
    return Slice(rows=100, metrics={"macro_f1": MetricEstimate(value=macro_f1, low=None, high=None)})


def test_each_metric_lies_in_its_interval() -> None:
    for name, one in report().overall.metrics.items():
        if name != "ece":  # few rows scatter more in a resample than in themselves, and scatter is what it measures
            assert one.value is not None, name
            assert (one.low or 0) - 1e-9 <= one.value <= (one.high or 0) + 1e-9, name


def test_languages_and_labels_are_measured_on_their_own_rows() -> None:
    made = report()

    assert {lang: one.rows for lang, one in made.by_lang.items()} == {"en": 3, "pt": 3}
    assert value(made.by_lang["pt"].metrics["accuracy"]) == pytest.approx(2 / 3)
    assert {label: one.rows for label, one in made.by_label.items()} == {"suporte": 3, "venda": 3}
    assert value(made.by_label["suporte"].metrics["recall"]) == pytest.approx(2 / 3)
    assert value(made.by_label["venda"].metrics["precision"]) == pytest.approx(3 / 4)
    assert made.confusion == ((2, 1), (0, 3))


def test_a_labels_rows_are_those_that_have_it_not_those_predicted_as_it() -> None:
    made = assess(rows("a", "b", "c"), LABELS, sure(0.9, 0.9, 0.9))

    assert {label: one.rows for label, one in made.by_label.items()} == {"suporte": 2, "venda": 1}


def test_a_label_without_test_rows_has_no_metrics_and_is_left_out_of_means() -> None:
    made = assess(rows("a", "b"), ("cobranca", *LABELS), [[0, 1, 0], [0, 0, 1]])

    assert set(made.by_label["cobranca"].metrics.values()) == {MetricEstimate(value=None, low=None, high=None)}
    assert value(made.overall.metrics["macro_f1"]) == 1


def test_a_label_that_is_only_predicted_has_no_recall_and_a_precision_of_0() -> None:
    made = assess(rows("a", "b"), ("cobranca", *LABELS), [[1, 0, 0], [0, 0, 1]])
    figures = made.by_label["cobranca"].metrics

    assert (figures["recall"].value, figures["precision"].value, figures["f1"].value) == (None, 0, 0)


def test_without_a_wrong_prediction_there_is_no_auroc_of_mistakes() -> None:
    made = assess(rows("a", "b"), LABELS, sure(0.1, 0.9))

    assert made.overall.metrics["auroc_wrong"].value is None
    assert "auroc_wrong" not in manifest_metrics(made)
    assert made.mistakes == ()


def test_mistakes_come_most_confident_first_with_their_whole_text() -> None:
    long = "a" * 1000
    made = assess(rows("um", "dois", long, "quatro"), LABELS, sure(0.6, 0.9, 0.99, 0.2))

    assert [(one.text, one.label, one.predicted) for one in made.mistakes] == [
        (long, "suporte", "venda"),
        ("quatro", "venda", "suporte"),
        ("um", "suporte", "venda"),
    ]
    assert [one.confidence for one in made.mistakes] == pytest.approx([0.99, 0.8, 0.6])


@pytest.mark.parametrize(
    ("metric", "figure", "expected"),
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
def test_metrics_are_rated_as_in_the_original_specification(metric: str, figure: float, expected: str) -> None:
    assert verdict(metric, figure) == expected


def test_a_rating_also_rates_the_lower_bound() -> None:
    figures = {name: MetricEstimate(value=0.97, low=0.88, high=1) for name in QUALITY_LEVELS}

    assert [(one.metric, one.verdict, one.lower_bound_verdict) for one in metric_verdicts(figures)] == [
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
    said = compare_with_baseline(
        scored(model), scored(0.92), MetricEstimate(value=model - 0.92, low=low, high=0.09), {}
    )

    assert expected in said
    assert f"macro-F1 {model:.3f} against 0.920" in said
    assert "no better" not in said


def test_the_sentence_names_languages_in_which_the_model_is_not_better() -> None:
    gain = MetricEstimate(value=0.05, low=0.01, high=0.09)
    langs = {"en": (scored(0.99), scored(0.9)), "pt": (scored(0.871), scored(0.9))}

    said = compare_with_baseline(scored(0.97), scored(0.92), gain, langs)
    assert said.endswith("It is not better in pt (0.871 against 0.900).")


def test_the_gain_over_the_baseline_is_the_difference_of_both() -> None:
    made = report()

    assert made.baseline
    ours, theirs = (value(one.overall.metrics["macro_f1"]) for one in (made, made.baseline))
    assert value(made.baseline.gain) == pytest.approx(ours - theirs)
    assert not made.baseline.beaten  # six rows show nothing


def test_a_model_like_the_baseline_gains_nothing_in_any_resample() -> None:
    made = report(baseline=sure(0.02, 0.97, 0.1, 0.85, 0.9, 0.95))

    assert made.baseline
    assert made.baseline.gain == MetricEstimate(value=0, low=0, high=0)
    assert "does not beat" in made.baseline.sentence


def test_metrics_before_calibration_are_those_of_the_raw_probabilities() -> None:
    made = report(raw=sure(0.001, 0.999, 0.02, 0.99, 0.99, 0.99))

    assert made.before_calibration
    before, after = (value(one.metrics["nll"]) for one in (made.before_calibration, made.overall))
    assert before > after


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bins_and_bars_hold_every_row_once(venda: list[float]) -> None:
    made = assess(rows(*map(str, venda)), LABELS, sure(*venda))

    assert sum(one.rows for one in made.bins) == len(venda)
    assert sum(bar.right + bar.wrong for bar in made.histogram) == len(venda)
    assert sum(bar.wrong for bar in made.histogram) == len(made.mistakes)


def test_a_long_risk_coverage_curve_is_thinned_but_keeps_its_ends() -> None:
    venda = np.linspace(0.001, 0.999, 1001).tolist()
    made = assess(rows(*map(str, venda)), LABELS, sure(*venda))

    assert len(made.risk_coverage) <= 200
    assert made.risk_coverage[-1].coverage == 1
    assert made.risk_coverage[-1].risk == pytest.approx(1 - value(made.overall.metrics["accuracy"]))


def test_the_same_seed_gives_the_same_report_and_another_seed_other_intervals() -> None:
    assert report(seed=1) == report(seed=1)
    assert report(seed=1).overall.metrics["nll"].low != report(seed=2).overall.metrics["nll"].low


def test_a_folder_gets_the_report_its_page_and_one_prediction_per_row(tmp_path: Path) -> None:
    made = report(notes=("few rows",), curves=(CurvePoint(1, 0.7, 5e-5, None),))
    write_report(tmp_path, made, manifest())

    assert Assessment.model_validate_json((tmp_path / REPORT_FILE).read_text()) == made.model_copy(
        update={"scored_rows": ()}
    )
    assert "few rows" in (tmp_path / HTML_REPORT_FILE).read_text()
    answers = [ScoredRow.model_validate_json(line) for line in (tmp_path / PREDICTIONS_FILE).read_text().splitlines()]
    assert tuple(answers) == made.scored_rows
    first = ScoredRow(
        digest=digest("minha internet caiu").hex(), label="suporte", probabilities=(0.98, 0.02), lang="pt"
    )
    assert answers[0] == first


def test_stored_predictions_contain_no_text(tmp_path: Path) -> None:
    write_report(tmp_path, report(), manifest())

    assert "internet" not in (tmp_path / PREDICTIONS_FILE).read_text()


def test_the_manifests_metrics_name_languages_baseline_and_cost(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
    (tmp_path / "config.json").write_text(json.dumps(config))
    said = write_report(tmp_path, report(), manifest())

    figures = "accuracy precision recall f1 macro_precision macro_recall macro_f1 nll brier ece auroc_wrong aurc"
    more = "macro_f1_en macro_f1_pt baseline_macro_f1 baseline_macro_f1_en baseline_macro_f1_pt mflops_per_token"
    assert set(said) == {*figures.split(), *more.split()}
    assert said["accuracy"] == pytest.approx(5 / 6)
    assert said["mflops_per_token"] == pytest.approx(84.9, abs=0.1)  # BERT-base's 85 M weights in its layers


def test_the_cost_is_read_from_distilberts_config_too_and_not_guessed() -> None:
    assert mflops_per_token({"n_layers": 6, "dim": 768, "hidden_dim": 3072}) == pytest.approx(42.5, abs=0.1)
    assert mflops_per_token({"n_layers": 6}) is None


def test_rows_without_a_language_make_no_language_slice() -> None:
    assert assess([Row("a", "suporte"), Row("b", "venda")], LABELS, sure(0.1, 0.9)).by_lang == {}
