"""Statistics of paired answers, against published figures, another library, and what must hold for any counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from triagem.registry.paired import lower_bound, mcnemar, rows_to_clear, rows_to_see

COUNTS = st.integers(0, 400)


@pytest.mark.parametrize(
    ("gained", "lost", "p_value"),
    [
        (0, 0, 1.0),
        (5, 0, 0.0625),  # the most that five tosses can say
        (6, 0, 0.03125),
        (6, 16, 0.052479),  # Cavo et al. (2012), in Fagerland, Lydersen and Laake (2017), chapter 8
        (1, 7, 0.0703125),  # Bentur et al. (2009), ibidem
    ],
)
def test_mcnemar_gives_the_published_p_values(gained: int, lost: int, p_value: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p_value, abs=1e-6)


@given(COUNTS, COUNTS)
def test_mcnemar_does_not_mind_which_of_both_is_named_first(gained: int, lost: int) -> None:
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


@given(COUNTS, COUNTS)
def test_mcnemar_is_a_fair_coins_two_sided_test(gained: int, lost: int) -> None:
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0

    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_bears_thousands_of_discordant_rows() -> None:
    assert mcnemar(10_100, 9_900) == pytest.approx(binomtest(10_100, 20_000).pvalue, rel=1e-6)
    assert mcnemar(20_000, 0) == 0.0


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
def test_the_lower_bound_lies_below_the_difference(gained: int, lost: int, alike: int) -> None:
    rows = gained + lost + alike + 1

    assert -1 <= lower_bound(gained, lost, rows) < (gained - lost) / rows


@given(COUNTS, st.integers(1, 400), COUNTS)
def test_a_lost_row_won_back_raises_the_lower_bound(gained: int, lost: int, alike: int) -> None:
    rows = gained + lost + alike

    assert lower_bound(gained, lost - 1, rows) > lower_bound(gained, lost, rows)


@pytest.mark.parametrize("discordance", [0.04, 0.1, 0.2])
def test_the_rows_said_to_be_needed_see_the_difference_four_times_in_five(discordance: float) -> None:
    rows = rows_to_see(discordance)
    better = (discordance + 0.02) / 2 / discordance  # of a discordant row, the chance to be gained

    tosses = np.arange(1, rows + 1)
    fewest = binom.isf(0.025, tosses, 0.5) + 1  # so many gained of so many discordant are significant
    power = np.sum(binom.pmf(tosses, rows, discordance) * binom.sf(fewest - 1, tosses, better))

    assert power == pytest.approx(0.8, abs=0.04)  # the exact test is a little more careful than the formula


def test_the_rows_said_to_be_needed_clear_an_equal_candidate_four_times_in_five() -> None:
    discordance, rng = 0.05, np.random.default_rng(7)
    rows = rows_to_clear(discordance)
    discordant = rng.binomial(rows, discordance, size=400)
    gained = rng.binomial(discordant, 0.5)
    cleared = sum(
        lower_bound(g, d - g, rows) > -0.01 for g, d in zip(gained.tolist(), discordant.tolist(), strict=True)
    )

    assert cleared / 400 == pytest.approx(0.8, abs=0.05)


def test_with_nothing_discordant_268_rows_clear_an_equal_candidate() -> None:
    assert rows_to_clear(0.0) == 268
    assert lower_bound(0, 0, 268) > -0.01 > lower_bound(0, 0, 267)


@given(st.floats(0, 1))
def test_the_rows_needed_grow_with_discordance(discordance: float) -> None:
    assert rows_to_see(discordance) >= rows_to_see(discordance / 2)
    assert rows_to_clear(discordance) >= rows_to_clear(discordance / 2)
