"""Isolation of failures (INV-10): failing items are found, the others finish, and no item is blamed wrongly."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triagem.contracts.errors import (
    DatabaseUnavailable,
    ModelBroken,
    NotFinite,
    OutOfMemory,
    RowRefused,
    StatementRefused,
    WindowTooLarge,
)
from triagem.worker.failures import run_isolating_failures, safe_reason


def passing_check() -> None:
    """A check that passes."""


def failing_on(bad: set[int], error: Exception | None = None) -> "Work":
    return Work(bad, error or ValueError("my card number is 4711"))


class Work:
    """Multiplies each item by ten, unless a bad one is among them; records its calls."""

    def __init__(self, bad: set[int], error: Exception) -> None:
        self.bad, self.error = bad, error
        self.calls: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.calls.append(list(items))
        if self.bad & set(items):
            raise self.error
        return [10 * item for item in items]


@given(st.sets(st.integers(0, 99)), st.data())
def test_exactly_the_bad_items_fail_and_all_others_get_results_in_order(items: set[int], data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.sampled_from(sorted(items)))) if items else set()

    done, failed = run_isolating_failures(sorted(items), failing_on(bad), passing_check)

    assert done == [(item, 10 * item) for item in sorted(items - bad)]
    assert [item for item, _ in failed] == sorted(bad)


def test_a_good_batch_runs_once_without_a_check() -> None:
    work = failing_on(set())

    def unexpected_check() -> None:
        raise AssertionError

    run_isolating_failures([1, 2, 3], work, unexpected_check)

    assert work.calls == [[1, 2, 3]]


def test_one_bad_item_of_32_costs_two_attempts_per_halving_and_one_more_alone() -> None:
    work = failing_on({13})

    run_isolating_failures(range(32), work, passing_check)

    assert len(work.calls) == 1 + 2 * 5 + 1


def test_if_the_check_fails_no_item_is_reported_as_failed() -> None:
    def failing_check() -> None:
        raise ModelBroken("the device is gone")

    with pytest.raises(ModelBroken):
        run_isolating_failures([1, 2], failing_on({1, 2}), failing_check)


def test_an_item_that_succeeds_after_the_check_has_not_failed() -> None:
    """A device may fail once."""
    work = failing_on({1})

    done, failed = run_isolating_failures([1, 2], work, work.bad.clear)

    assert (sorted(done), failed) == ([(1, 10), (2, 20)], [])


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable("away"), StatementRefused("42601"), ModelBroken("gone")], ids=repr
)
def test_an_outage_or_a_broken_installation_is_not_an_items_fault(error: Exception) -> None:
    work = failing_on({2}, error)

    with pytest.raises(type(error)):
        run_isolating_failures([1, 2, 3], work, passing_check)

    assert work.calls == [[1, 2, 3]]


@pytest.mark.parametrize("error", [RowRefused("22021"), NotFinite("nan"), RecursionError()], ids=repr)
def test_a_refused_value_is_that_items_fault(error: Exception) -> None:
    done, failed = run_isolating_failures([1, 2, 3], failing_on({2}, error), passing_check)

    assert ([item for item, _ in done], failed) == ([1, 3], [(2, error)])


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("cuda")], ids=repr)
def test_a_batch_too_large_for_memory_runs_in_halves(error: Exception) -> None:
    def work(items: Sequence[int]) -> list[int]:
        if len(items) > 16:
            raise error
        return list(items)

    assert run_isolating_failures(range(64), work, passing_check) == ([(item, item) for item in range(64)], [])


@pytest.mark.parametrize("error", [MemoryError(), OutOfMemory("cuda")], ids=repr)
def test_too_little_memory_for_a_single_item_fails_no_item(error: Exception) -> None:
    with pytest.raises(OutOfMemory):
        run_isolating_failures([1, 2], failing_on({1}, error), passing_check)


def test_a_statement_too_large_for_postgres_runs_in_halves() -> None:
    def work(items: Sequence[int]) -> list[int]:
        if len(items) > 16:
            raise WindowTooLarge("57014")
        return list(items)

    assert run_isolating_failures(range(64), work, passing_check) == ([(item, item) for item in range(64)], [])


def test_a_single_item_that_is_too_slow_is_retried_and_not_blamed() -> None:
    with pytest.raises(WindowTooLarge):
        run_isolating_failures([1, 2], failing_on({1}, WindowTooLarge("57014")), passing_check)


def test_a_missing_result_is_a_failure() -> None:
    """An item never gets the result of another."""
    done, failed = run_isolating_failures([1, 2], lambda items: [7], passing_check)

    assert (done, failed) == ([(1, 7), (2, 7)], [])


def test_a_reason_quotes_our_own_messages_and_none_of_libraries() -> None:
    assert safe_reason(RowRefused("SQLSTATE 22021")) == "SQLSTATE 22021"
    assert safe_reason(ValueError("my card number is 4711")) == "ValueError"
