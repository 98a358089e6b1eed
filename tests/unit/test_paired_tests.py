"""Paired tests: checked against published figures and another library, and as properties for any counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from triagem.registry.comparison import (
    lower_bound,
    mcnemar_p_value,
    mcnemar_sample_size,
    non_inferiority_sample_size,
)

COUNTS = st.integers(0, 400)


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [
        (0, 0, 1.0),
        (5, 0, 0.0625),  # the smallest p-value possible with five rows
        (6, 0, 0.03125),
        (6, 16, 0.052479),  # Cavo et al. (2012), in Fagerland, Lydersen and Laake (2017), chapter 8
        (1, 7, 0.0703125),  # Bentur et al. (2009), in the same chapter
    ],
)
def test_mcnemar_gives_the_published_p_values(gained: int, lost: int, p_value: float) -> None:
    assert mcnemar_p_value(gained, lost) == pytest.approx(p_value, abs=1e-6)


@given(COUNTS, COUNTS)
def test_mcnemar_is_symmetric(gained: int, lost: int) -> None:
    assert mcnemar_p_value(gained, lost) == mcnemar_p_value(lost, gained)


@given(COUNTS, COUNTS)
def test_mcnemar_is_a_fair_coins_two_sided_test(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0

    assert mcnemar_p_value(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_handles_thousands_of_discordant_rows() -> None:
    assert mcnemar_p_value(10_100, 9_900) == pytest.approx(binomtest(10_100, 20_000).pvalue, rel=1e-6)
    assert mcnemar_p_value(20_000, 0) == 0.0


@pytest.mark.parametrize(
    ("gained", "lost", "rows", "low", "high"),
    [(6, 16, 161, -0.1240, -0.0054), (1, 7, 21, -0.5172, -0.0260)],  # the same two studies
)
def test_the_lower_bound_is_an_end_of_tangos_published_intervals(
    gained: int, lost: int, rows: int, low: float, high: float
) -> None:
    assert lower_bound(gained, lost, rows, alpha=0.025) == pytest.approx(low, abs=5e-5)
    assert -lower_bound(lost, gained, rows, alpha=0.025) == pytest.approx(high, abs=5e-5)


@given(COUNTS, COUNTS, COUNTS)
def test_the_lower_bound_lies_below_the_difference(gained: int, lost: int, concordant: int) -> None:
    rows = gained + lost + concordant + 1

    assert -1 <= lower_bound(gained, lost, rows) < (gained - lost) / rows


@given(COUNTS, st.integers(1, 400), COUNTS)
def test_one_lost_row_less_raises_the_lower_bound(gained: int, lost: int, concordant: int) -> None:
    rows = gained + lost + concordant

    assert lower_bound(gained, lost - 1, rows) > lower_bound(gained, lost, rows)


@pytest.mark.parametrize("discordance", [0.04, 0.1, 0.2])
def test_the_mcnemar_sample_size_has_80_percent_power(discordance: float) -> None:
    rows = mcnemar_sample_size(discordance)
    gain_probability = (discordance + 0.02) / 2 / discordance  # the probability that a discordant row is gained

    discordant_counts = np.arange(1, rows + 1)
    fewest = (
        binom.isf(0.025, discordant_counts, 0.5) + 1
    )  # the smallest significant number of gained rows, by number of discordant rows
    power = np.sum(
        binom.pmf(discordant_counts, rows, discordance) * binom.sf(fewest - 1, discordant_counts, gain_probability)
    )

    assert power == pytest.approx(0.8, abs=0.04)  # the exact test is slightly more conservative than the formula


def test_the_non_inferiority_sample_size_passes_an_equal_candidate_with_80_percent_power() -> None:
    discordance, rng = 0.05, np.random.default_rng(7)
    rows = non_inferiority_sample_size(discordance)
    discordant = rng.binomial(rows, discordance, size=400)
    gained = rng.binomial(discordant, 0.5)
    passed = sum(
        lower_bound(g, d - g, rows) > -0.01 for g, d in zip(gained.tolist(), discordant.tolist(), strict=True)
    )

    assert passed / 400 == pytest.approx(0.8, abs=0.05)


def test_without_discordant_rows_268_rows_pass_an_equal_candidate() -> None:
    assert non_inferiority_sample_size(0.0) == 268
    assert lower_bound(0, 0, 268) > -0.01 > lower_bound(0, 0, 267)


@given(st.floats(0, 1))
def test_the_sample_sizes_grow_with_discordance(discordance: float) -> None:
    assert mcnemar_sample_size(discordance) >= mcnemar_sample_size(discordance / 2)
    assert non_inferiority_sample_size(discordance) >= non_inferiority_sample_size(discordance / 2)
