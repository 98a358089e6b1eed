"""System alerts neither flap nor stay open: properties of every sequence of checks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.alerts.hysteresis import Hysteresis, update

looks = st.lists(st.booleans(), max_size=60)


@st.composite
def patiences(draw: st.DrawFn) -> Hysteresis:
    of = draw(st.integers(1, 6))
    return Hysteresis(draw(st.integers(1, of)), of, draw(st.integers(1, 6)))


def states(some: list[bool], hysteresis: Hysteresis) -> list[bool]:
    """Whether it is open after each look."""
    found: list[bool] = []
    is_open, recent = False, tuple[bool, ...]()
    for bad in some:
        is_open, recent = update(is_open, recent, bad, hysteresis)
        found.append(is_open)
    return found


@given(looks, patiences())
def test_it_opens_only_at_a_bad_check_that_reaches_the_limit(some: list[bool], hysteresis: Hysteresis) -> None:
    found = states(some, hysteresis)
    for at, (before, after) in enumerate(zip([False, *found], found, strict=False)):
        if after and not before:
            assert some[at]
            assert sum(some[max(0, at + 1 - hysteresis.last_checks) : at + 1]) >= hysteresis.bad_checks


@given(looks, patiences())
def test_it_is_resolved_only_after_enough_good_checks_in_a_row(some: list[bool], hysteresis: Hysteresis) -> None:
    found = states(some, hysteresis)
    for at, (before, after) in enumerate(zip([False, *found], found, strict=False)):
        if before and not after:
            assert at + 1 >= hysteresis.good_checks
            assert not any(some[at + 1 - hysteresis.good_checks : at + 1])


@given(looks, patiences())
def test_repeated_bad_checks_open_it_and_good_ones_resolve_it(some: list[bool], hysteresis: Hysteresis) -> None:
    ill = [*some, *[True] * hysteresis.bad_checks]
    assert states(ill, hysteresis)[-1]
    assert not states([*ill, *[False] * hysteresis.good_checks], hysteresis)[-1]
    assert states([*ill, *[False] * (hysteresis.good_checks - 1)], hysteresis)[-1]


@given(looks, patiences())
def test_fewer_bad_checks_than_required_never_open_it(some: list[bool], hysteresis: Hysteresis) -> None:
    few = [bad and sum(some[:at]) < hysteresis.bad_checks - 1 for at, bad in enumerate(some)]
    assert not any(states(few, hysteresis))


@given(looks, patiences())
def test_few_checks_are_remembered(some: list[bool], hysteresis: Hysteresis) -> None:
    is_open, recent = False, tuple[bool, ...]()
    for bad in some:
        is_open, recent = update(is_open, recent, bad, hysteresis)
        assert len(recent) <= max(hysteresis.last_checks, hysteresis.good_checks)


@pytest.mark.parametrize("figures", [(0, 3, 3), (4, 3, 3), (2, 3, 0)])
def test_impossible_settings_are_refused(figures: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 <= bad"):
        Hysteresis(*figures)
