"""Hysteresis of system alerts: after any sequence of checks, an alert neither flaps nor stays open forever."""

from hypothesis import given
from hypothesis import strategies as st

from triagem.notify.monitor import MonitorSettings, update

check_results = st.lists(st.booleans(), max_size=60)


@st.composite
def hysteresis_settings(draw: st.DrawFn) -> MonitorSettings:
    last_checks = draw(st.integers(1, 6))
    bad_checks, good_checks = draw(st.integers(1, last_checks)), draw(st.integers(1, 6))
    return MonitorSettings(bad_checks=bad_checks, last_checks=last_checks, good_checks=good_checks)


def open_after_each(checks: list[bool], settings: MonitorSettings) -> list[bool]:
    """Whether the alert is open after each check."""
    states: list[bool] = []
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad, settings, good_checks=settings.good_checks)
        states.append(is_open)
    return states


@given(check_results, hysteresis_settings())
def test_it_opens_only_at_a_bad_check_that_reaches_the_limit(checks: list[bool], settings: MonitorSettings) -> None:
    states = open_after_each(checks, settings)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if after and not before:
            assert checks[index]
            assert sum(checks[max(0, index + 1 - settings.last_checks) : index + 1]) >= settings.bad_checks


@given(check_results, hysteresis_settings())
def test_it_is_resolved_only_after_enough_good_checks_in_a_row(checks: list[bool], settings: MonitorSettings) -> None:
    states = open_after_each(checks, settings)
    for index, (before, after) in enumerate(zip([False, *states], states, strict=False)):
        if before and not after:
            assert index + 1 >= settings.good_checks
            assert not any(checks[index + 1 - settings.good_checks : index + 1])


@given(check_results, hysteresis_settings())
def test_repeated_bad_checks_open_it_and_good_ones_resolve_it(checks: list[bool], settings: MonitorSettings) -> None:
    failing = [*checks, *[True] * settings.bad_checks]
    assert open_after_each(failing, settings)[-1]
    assert not open_after_each([*failing, *[False] * settings.good_checks], settings)[-1]
    assert open_after_each([*failing, *[False] * (settings.good_checks - 1)], settings)[-1]


@given(check_results, hysteresis_settings())
def test_fewer_bad_checks_than_required_never_open_it(checks: list[bool], settings: MonitorSettings) -> None:
    too_few = [bad and sum(checks[:index]) < settings.bad_checks - 1 for index, bad in enumerate(checks)]
    assert not any(open_after_each(too_few, settings))


@given(check_results, hysteresis_settings())
def test_few_checks_are_remembered(checks: list[bool], settings: MonitorSettings) -> None:
    is_open, recent = False, tuple[bool, ...]()
    for bad in checks:
        is_open, recent = update(is_open, recent, bad, settings, good_checks=settings.good_checks)
        assert len(recent) <= max(settings.last_checks, settings.good_checks)
