"""The fault suite's evaluation detects each kind of loss: otherwise, a passed suite would prove nothing."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.faults.engine import expected_conversation_label, expected_label
from tests.faults.expectations import Expectations, composed, identity, text_digest
from tests.faults.outcome import CurrentResult, FinalState, Outcome, evaluate
from tests.support.builders import YESTERDAY, ticket
from tests.support.conversations import message
from triagem.contracts.text import digest
from triagem.contracts.ticket import Lane, Ticket

OLD = ticket(text="um dois", revised_at=YESTERDAY)
NEW = ticket(text="um dois tres", revised_at=YESTERDAY + timedelta(minutes=1))
ENTRY = ("live", "1-0")


def expectations_of(*accepted: Ticket) -> Expectations:
    expectations = Expectations()
    expectations.accept(accepted)
    return expectations


def current(accepted: Ticket, version: str = "v1.0.0", label: str = "") -> CurrentResult:
    predicted_label = label or expected_label(len(accepted.text.split()), version)
    return CurrentResult(identity(accepted), predicted_label, version, text_digest(accepted), accepted.revised_at)


def evaluate_rows(
    expectations: Expectations, *rows: CurrentResult, history: int = 1, dead: dict[tuple[str, str], str] | None = None
) -> Outcome:
    return evaluate("a fault", expectations, FinalState(list(rows), Counter({identity(OLD): history}), dead or {}))


def test_one_right_row_survives() -> None:
    outcome = evaluate_rows(expectations_of(OLD), current(OLD))
    assert (outcome.lost, outcome.duplicate_rows, outcome.wrongly_dead) == (0, 0, 0)
    assert outcome.survived


def test_a_ticket_without_a_row_is_lost() -> None:
    assert evaluate_rows(expectations_of(OLD), history=0).lost == 1


def test_a_ticket_whose_older_text_is_current_is_lost() -> None:
    assert evaluate_rows(expectations_of(NEW, OLD), current(OLD)).lost == 1
    assert evaluate_rows(expectations_of(NEW, OLD), current(NEW)).lost == 0


def test_a_conversation_whose_result_is_that_of_some_of_its_messages_is_lost() -> None:
    conversation = [message("1", "Quero um orçamento"), message("2", "A internet caiu ontem", minute=1)]
    expectations = expectations_of(*reversed(conversation))
    key, parts = identity(conversation[0]), ["Quero um orçamento", "A internet caiu ontem"]
    label, revised_at = expected_conversation_label(parts, "v1.0.0"), conversation[1].revised_at
    whole = CurrentResult(key, label, "v1.0.0", digest(composed(parts)), revised_at)
    assert evaluate_rows(expectations, whole, history=0).survived
    assert evaluate_rows(expectations, replace(whole, digest=digest(parts[1])), history=0).lost == 1


def test_history_beyond_one_row_per_composed_text_is_counted() -> None:
    expectations = expectations_of(
        message("1", "Quero um orçamento"), message("2", "A internet caiu ontem", minute=1)
    )
    assert expectations.max_history_rows(("zendesk", "4711")) == 2


def test_a_row_with_another_texts_label_is_lost() -> None:
    assert evaluate_rows(expectations_of(OLD), current(OLD, label="other")).lost == 1


def test_a_row_that_names_a_version_which_did_not_classify_it_is_lost() -> None:
    label = expected_label(len(OLD.text.split()), "v1.1.0")
    assert evaluate_rows(expectations_of(OLD), current(OLD, "v1.0.0", label)).lost == 1


def test_a_row_of_the_previous_version_is_lost_if_the_later_one_must_win() -> None:
    expectations = expectations_of(OLD)
    expectations.current[identity(OLD)] = "v1.1.0"
    assert evaluate_rows(expectations, current(OLD, "v1.0.0")).lost == 1


def test_a_row_of_a_ticket_that_was_never_accepted_is_a_duplicate_row() -> None:
    assert evaluate_rows(expectations_of(), current(OLD), history=0).duplicate_rows == 1


def test_a_second_row_of_a_ticket_is_a_duplicate_row() -> None:
    assert evaluate_rows(expectations_of(OLD), current(OLD), current(OLD)).duplicate_rows == 1


@pytest.mark.parametrize(("history", "extra"), [(1, 0), (2, 1), (3, 2)])
def test_history_beyond_one_row_per_text_is_counted(history: int, extra: int) -> None:
    assert evaluate_rows(expectations_of(OLD), current(OLD), history=history).duplicate_rows == extra


def test_a_second_text_and_a_second_version_may_have_rows_of_their_own() -> None:
    expectations = expectations_of(OLD, NEW)
    expectations.versions[identity(OLD)] = {"v1.0.0", "v1.1.0"}
    assert evaluate_rows(expectations, current(NEW), history=4).duplicate_rows == 0
    assert evaluate_rows(expectations, current(NEW), history=5).duplicate_rows == 1


def test_a_result_of_a_forgotten_ticket_is_a_duplicate_row() -> None:
    expectations = expectations_of(OLD)
    expectations.forgotten.add(identity(OLD))
    assert evaluate_rows(expectations).lost == 0
    assert evaluate_rows(expectations, current(OLD)).duplicate_rows == 1


def test_a_dead_letter_that_nobody_expected_is_wrongly_dead() -> None:
    assert evaluate_rows(expectations_of(OLD), current(OLD), dead={ENTRY: "why"}).wrongly_dead == 1


def test_poison_is_lost_unless_a_dead_letter_keeps_it_with_a_reason() -> None:
    expectations = expectations_of(OLD)
    expectations.expect_dead(Lane.LIVE, ["1-0"], [OLD])
    assert evaluate_rows(expectations, history=0, dead={ENTRY: "why"}).lost == 0
    assert evaluate_rows(expectations, history=0, dead={ENTRY: ""}).lost == 1
    assert evaluate_rows(expectations, history=0).lost == 1
