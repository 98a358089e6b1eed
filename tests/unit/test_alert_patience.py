"""Window alerts neither flutter nor stay: properties of every sequence of looks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.alerts.patience import Patience, look

looks = st.lists(st.booleans(), max_size=60)


@st.composite
def patiences(draw: st.DrawFn) -> Patience:
    of = draw(st.integers(1, 6))
    return Patience(draw(st.integers(1, of)), of, draw(st.integers(1, 6)))


def states(some: list[bool], patience: Patience) -> list[bool]:
    """Whether it is open after each look."""
    found: list[bool] = []
    is_open, recent = False, tuple[bool, ...]()
    for bad in some:
        is_open, recent = look(is_open, recent, bad, patience)
        found.append(is_open)
    return found


@given(looks, patiences())
def test_it_opens_only_at_a_bad_look_that_fills_the_measure(some: list[bool], patience: Patience) -> None:
    found = states(some, patience)
    for at, (before, after) in enumerate(zip([False, *found], found, strict=False)):
        if after and not before:
            assert some[at]
            assert sum(some[max(0, at + 1 - patience.of) : at + 1]) >= patience.bad


@given(looks, patiences())
def test_it_is_resolved_only_after_so_many_good_looks_in_a_row(some: list[bool], patience: Patience) -> None:
    found = states(some, patience)
    for at, (before, after) in enumerate(zip([False, *found], found, strict=False)):
        if before and not after:
            assert at + 1 >= patience.good
            assert not any(some[at + 1 - patience.good : at + 1])


@given(looks, patiences())
def test_bad_looks_without_end_open_it_and_good_ones_resolve_it(some: list[bool], patience: Patience) -> None:
    ill = [*some, *[True] * patience.bad]
    assert states(ill, patience)[-1]
    assert not states([*ill, *[False] * patience.good], patience)[-1]
    assert states([*ill, *[False] * (patience.good - 1)], patience)[-1]


@given(looks, patiences())
def test_fewer_bad_looks_than_it_takes_never_open_it(some: list[bool], patience: Patience) -> None:
    few = [bad and sum(some[:at]) < patience.bad - 1 for at, bad in enumerate(some)]
    assert not any(states(few, patience))


@given(looks, patiences())
def test_what_is_remembered_stays_small(some: list[bool], patience: Patience) -> None:
    is_open, recent = False, tuple[bool, ...]()
    for bad in some:
        is_open, recent = look(is_open, recent, bad, patience)
        assert len(recent) <= max(patience.of, patience.good)


@pytest.mark.parametrize("figures", [(0, 3, 3), (4, 3, 3), (2, 3, 0)])
def test_patience_that_could_not_be_kept_is_refused(figures: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 <= bad"):
        Patience(*figures)
