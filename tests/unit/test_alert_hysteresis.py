"""Hysteresis of system alerts: for every sequence of checks, alerts neither flap nor stay open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.notify.monitor import Hysteresis, update

check_results = st.lists(st.booleans(), max_size=60)


@st.composite
def hysteresis_settings(draw: st.DrawFn) -> Hysteresis:
    last_checks = draw(st.integers(1, 6))
    return Hysteresis(draw(st.integers(1, last_checks)), last_checks, draw(st.integers(1, 6)))


def open_after_each(checks: list[bool], hysteresis: Hysteresis) -> list[bool]:
    """Whether the alert is open after each check."""
    states: list[bool] = []
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad, hysteresis)
        states.append(is_open)
    return states


@given(check_results, hysteresis_settings())
def test_it_opens_only_at_a_bad_check_that_reaches_the_limit(checks: list[bool], hysteresis: Hysteresis) -> None:
    states = open_after_each(checks, hysteresis)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if after and not before:
            assert checks[index]
            assert sum(checks[max(0, index + 1 - hysteresis.last_checks) : index + 1]) >= hysteresis.bad_checks


@given(check_results, hysteresis_settings())
def test_it_is_resolved_only_after_enough_good_checks_in_a_row(checks: list[bool], hysteresis: Hysteresis) -> None:
    states = open_after_each(checks, hysteresis)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if before and not after:
            assert index + 1 >= hysteresis.good_checks
            assert not any(checks[index + 1 - hysteresis.good_checks : index + 1])


@given(check_results, hysteresis_settings())
def test_repeated_bad_checks_open_it_and_good_ones_resolve_it(checks: list[bool], hysteresis: Hysteresis) -> None:
    failing = [*checks, *[True] * hysteresis.bad_checks]
    assert open_after_each(failing, hysteresis)[-1]
    assert not open_after_each([*failing, *[False] * hysteresis.good_checks], hysteresis)[-1]
    assert open_after_each([*failing, *[False] * (hysteresis.good_checks - 1)], hysteresis)[-1]


@given(check_results, hysteresis_settings())
def test_fewer_bad_checks_than_required_never_open_it(checks: list[bool], hysteresis: Hysteresis) -> None:
    too_few = [bad and sum(checks[:index]) < hysteresis.bad_checks - 1 for index, bad in enumerate(checks)]
    assert not any(open_after_each(too_few, hysteresis))


@given(check_results, hysteresis_settings())
def test_few_checks_are_remembered(checks: list[bool], hysteresis: Hysteresis) -> None:
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad, hysteresis)
        assert len(recent) <= max(hysteresis.last_checks, hysteresis.good_checks)


@pytest.mark.parametrize("values", [(0, 3, 3), (4, 3, 3), (2, 3, 0)])
def test_impossible_settings_are_refused(values: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 <= bad"):
        Hysteresis(*values)
