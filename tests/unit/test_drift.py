"""Comparison of two populations. A chance difference is not drift, nor is a significant but small difference."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from triagem.trainer.monitor.drift import MIN_ROWS, DriftReport, FeatureShift, compare, distances
from triagem.trainer.monitor.reference import Population


def population(rows: int = 400, *, seed: int = 0, moved: float = 0.0, **changes: Any) -> Population:
    """Texts of three dimensions, the first of them `moved`, three quarters support, all in Portuguese."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(rows, 3)).astype(np.float32)
    embeddings[:, 0] += moved
    labels = ["suporte"] * (3 * rows // 4) + ["venda"] * (rows - 3 * rows // 4)
    values: dict[str, Any] = {
        "confidences": rng.uniform(0.5, 1, rows),
        "tokens": rng.integers(5, 50, rows),
        "labels": labels,
        "langs": ["pt"] * rows,
    }
    return Population(embeddings, **(values | changes))


def shifted_features(recent: Population, reference: Population | None = None) -> list[str]:
    """The features that are reported as shifted."""
    return [shift.feature for shift in compare(reference or population(seed=1), recent) if shift.shifted]


columns = st.lists(st.integers(-5, 5), min_size=1, max_size=30)


@given(columns, columns)
def test_the_distance_equals_scipys_also_with_ties(left: list[int], right: list[int]) -> None:
    statistics = distances(np.array(left)[:, None], np.array(right)[:, None])

    assert statistics[0] == pytest.approx(ks_2samp(left, right, method="asymp").statistic)


def test_chance_alone_is_not_drift() -> None:
    assert shifted_features(population()) == []


def test_one_dimension_that_moves_is_found_and_counted() -> None:
    recent = population(moved=1.0)

    assert shifted_features(recent) == ["embeddings"]
    assert compare(population(seed=1), recent)[0].now == {"dimensions": 3, "shifted": 1}


def test_a_significant_but_small_difference_is_not_drift() -> None:
    rows = 20_000
    (embeddings, *_) = compare(population(rows, seed=1), population(rows, moved=0.1))

    assert embeddings.p < 1e-6
    assert not embeddings.shifted


def test_a_large_difference_that_chance_explains_is_not_drift() -> None:
    labels = ["suporte"] * 64 + ["venda"] * 36

    (_, _, _, mix) = compare(population(100, langs=[""] * 100), population(100, labels=labels))

    assert mix.size > 0.1
    assert not mix.shifted


@pytest.mark.parametrize(
    ("feature", "changes"),
    [
        ("confidence", {"confidences": np.full(400, 0.99)}),
        ("length", {"tokens": np.full(400, 49)}),
        ("labels", {"labels": ["venda"] * 200 + ["suporte"] * 200}),
        ("languages", {"langs": ["pt"] * 300 + ["es"] * 100}),
    ],
)
def test_each_other_feature_is_found_alone(feature: str, changes: dict[str, Any]) -> None:
    assert shifted_features(population(**changes)) == [feature]


def test_rare_languages_are_counted_together() -> None:
    langs = ["pt"] * 390 + ["ca", "gl", "da", "fr", "it", "ro", "nl", "sv", "fi", "no"]

    mix = compare(population(seed=1), population(langs=langs))[-1]

    assert mix.now == {"pt": 0.975, "others": 0.025}


def test_languages_are_compared_only_where_enough_rows_of_both_sides_have_one() -> None:
    half_known = ["pt"] * (MIN_ROWS - 1) + [""] * (400 - MIN_ROWS + 1)

    assert [shift.feature for shift in compare(population(), population(langs=half_known))][-1] == "labels"


def test_a_new_label_is_compared_too() -> None:
    assert "labels" in shifted_features(population(labels=["suporte"] * 300 + ["cobranca"] * 100))


class TestReport:
    def test_it_names_the_shifted_features_with_their_previous_values(self) -> None:
        shifts = compare(population(seed=1), population(labels=["venda"] * 400, moved=2.0))

        lines = DriftReport("v1.0.0", "held-out rows", 400, 400, shifts).lines()

        assert lines[0] == "v1.0.0: drift in embeddings, labels (400 samples against 400 held-out rows)"
        assert lines[1].startswith("embeddings: 1 of 3 dimensions shifted; size 0.6")
        assert lines[2].startswith("labels: suporte 0% (was 75%), venda 100% (was 25%); size 0.75, p ")

    def test_without_drift_it_says_so_and_lists_all_features(self) -> None:
        shifts = compare(population(seed=1), population())

        verdict, *figures = DriftReport("v1.0.0", "first samples", 400, 400, shifts).lines()

        assert verdict == "v1.0.0: no drift (400 samples against 400 first samples)"
        assert [line.partition(":")[0] for line in figures] == [
            "embeddings", "confidence", "length", "labels", "languages",
        ]  # fmt: skip

    def test_too_few_samples_give_no_verdict(self) -> None:
        report = DriftReport("v1.0.0", "held-out rows", 7, 400)

        assert not report.drifted
        assert report.lines() == ["not enough samples of v1.0.0 yet (7 of 100); only live tickets are sampled"]

    def test_a_version_without_a_reference_gets_no_verdict(self) -> None:
        (line,) = DriftReport("v1.0.0", "held-out rows", 240, 30).lines()

        assert line == (
            "v1.0.0 cannot be compared yet: that needs 100 held-out rows (it has 30) "
            "or the first 500 samples of live tickets (so far 240)"
        )

    def test_one_shifted_feature_is_drift(self) -> None:
        unchanged, changed = (FeatureShift("length", 0.2, 0.001, shifted, {}, {}) for shifted in (False, True))

        assert not DriftReport("v1.0.0", "held-out rows", 400, 400, (unchanged, unchanged)).drifted
        assert DriftReport("v1.0.0", "held-out rows", 400, 400, (unchanged, changed)).drifted
