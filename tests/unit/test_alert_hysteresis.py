"""Hysteresis of system alerts: after any sequence of checks, an alert neither flaps nor stays open forever."""

from hypothesis import given
from hypothesis import strategies as st

from triagem.notify.monitor import BAD_CHECKS, GOOD_CHECKS, LAST_CHECKS, update

check_results = st.lists(st.booleans(), max_size=60)


def open_after_each(checks: list[bool]) -> list[bool]:
    """Whether the alert is open after each check."""
    states: list[bool] = []
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad)
        states.append(is_open)
    return states


@given(check_results)
def test_it_opens_only_at_a_bad_check_that_reaches_the_limit(checks: list[bool]) -> None:
    states = open_after_each(checks)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if after and not before:
            assert checks[index]
            assert sum(checks[max(0, index + 1 - LAST_CHECKS) : index + 1]) >= BAD_CHECKS


@given(check_results)
def test_it_is_resolved_only_after_enough_good_checks_in_a_row(checks: list[bool]) -> None:
    states = open_after_each(checks)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if before and not after:
            assert index + 1 >= GOOD_CHECKS
            assert not any(checks[index + 1 - GOOD_CHECKS : index + 1])


@given(check_results)
def test_repeated_bad_checks_open_it_and_good_ones_resolve_it(checks: list[bool]) -> None:
    failing = [*checks, *[True] * BAD_CHECKS]
    assert open_after_each(failing)[-1]
    assert not open_after_each([*failing, *[False] * GOOD_CHECKS])[-1]
    assert open_after_each([*failing, *[False] * (GOOD_CHECKS - 1)])[-1]


@given(check_results)
def test_fewer_bad_checks_than_required_never_open_it(checks: list[bool]) -> None:
    too_few = [bad and sum(checks[:index]) < BAD_CHECKS - 1 for index, bad in enumerate(checks)]
    assert not any(open_after_each(too_few))


@given(check_results)
def test_few_checks_are_remembered(checks: list[bool]) -> None:
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad)
        assert len(recent) <= max(LAST_CHECKS, GOOD_CHECKS)
