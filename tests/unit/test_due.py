"""Tests each trigger for retraining separately, at its limit and above it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from triagem.db.reviews import AccuracyEstimate
from triagem.db.reviews.accuracy import wilson_interval
from triagem.notify.alert_messages import describe
from triagem.trainer.monitor.due import MIN_REVIEWS, DueReason, RetrainingFacts, Trigger, check_due, distances
from triagem.trainer.settings import DueSettings

RULES = DueSettings()


def measured(value: float, low: float, high: float, reviews: int) -> AccuracyEstimate:
    """An accuracy on reviewed tickets."""
    return AccuracyEstimate(value, low, high, 1000, reviews, sampled=reviews, unclear=0, uncounted=0, strata=())


QUIET = RetrainingFacts(
    version="v1.0.0",
    age_days=10,
    labels=("suporte", "venda"),
    training_rows=1000,
    test_accuracy=0.95,
    reviewed=measured(0.94, 0.90, 0.97, 200),
    reviewed_labels={"suporte": 120, "venda": 80},
    new_rows=50,
)


def test_the_alert_of_each_reason_is_in_portuguese() -> None:
    facts = replace(
        QUIET, age_days=100, new_rows=1500, reviewed_labels={"troca": 3}, reviewed=measured(0.8, 0.75, 0.85, 100)
    )
    reasons = check_due(facts, RULES)

    lines = [
        describe("pt-BR", "retraining-due", {"version": "v1.0.0", "summary": reason.message}) for reason in reasons
    ]

    assert [reason.trigger for reason in reasons] == [trigger for trigger in Trigger if trigger is not Trigger.DRIFT]
    start, end = "hora de retreinar o modelo: v1.0.0: ", "; veja `triagem due`"
    assert [line.removeprefix(start).removesuffix(end) for line in lines] == [
        "foi treinada há 100 dias, mais de 92",
        "a acurácia caiu de 0,950 nas linhas de teste para 0,800 (de 0,750 a 0,850; 100 revisões)",
        "revisores escolheram 'troca' (3), uma categoria que ela não conhece",
        "textos revisados novos para ela: 1.500, mais de 20% dos 1.000 do treino",
    ]


def fired(**changes: Any) -> list[Trigger]:
    """The triggers that fire if these facts of a version without any trigger change."""
    return [reason.trigger for reason in check_due(replace(QUIET, **changes), RULES)]


def test_nothing_is_due_while_all_is_well() -> None:
    assert check_due(QUIET, RULES) == ()


@pytest.mark.parametrize(("age_days", "triggers"), [(92.0, []), (92.1, [Trigger.AGE])])
def test_a_version_over_three_months_old_is_due(age_days: float, triggers: list[Trigger]) -> None:
    assert fired(age_days=age_days) == triggers


@pytest.mark.parametrize(
    ("value", "high", "triggers"),
    [
        (0.80, 0.89, [Trigger.ACCURACY]),
        (0.80, 0.91, []),  # perhaps chance: the interval reaches within 0.05 of the test accuracy
        (0.92, 0.94, []),  # lower, but by less than 0.05
    ],
)
def test_a_fall_in_accuracy_counts_once_the_whole_interval_is_below(
    value: float, high: float, triggers: list[Trigger]
) -> None:
    assert fired(reviewed=measured(value, value - 0.05, high, 100)) == triggers


@pytest.mark.parametrize(("reviews", "triggers"), [(MIN_REVIEWS - 1, []), (MIN_REVIEWS, [Trigger.ACCURACY])])
def test_few_reviews_of_wrong_predictions_prove_nothing(reviews: int, triggers: list[Trigger]) -> None:
    wrong = measured(0.0, 0.0, 0.3, reviews)
    assert fired(reviewed=wrong) == triggers
    (_, distance, *_) = distances(replace(QUIET, reviewed=wrong), RULES)
    assert ("below 0.900 with 10 reviews or more" in distance.message) is (not triggers)


@pytest.mark.parametrize(("reviews", "at_most"), [(1, 0.16), *((number, 0.025) for number in range(MIN_REVIEWS, 40))])
def test_an_unchanged_accuracy_falls_by_chance_at_most_as_often_as_the_interval_says(
    reviews: int, at_most: float
) -> None:
    for tested in np.arange(0.5, 1.0, 0.005):
        rights = np.arange(reviews + 1)
        fallen = [wilson_interval(right / reviews, reviews)[1] < tested - RULES.max_accuracy_loss for right in rights]
        assert binom.pmf(rights, reviews, tested)[fallen].sum() <= at_most


@pytest.mark.parametrize("changes", [{"test_accuracy": None}, {"reviewed": None}])
def test_accuracy_is_ignored_if_either_value_is_unknown(changes: dict[str, None]) -> None:
    low = measured(0.1, 0.05, 0.15, 100)
    assert fired(**{"reviewed": low, **changes}) == []


def test_each_label_that_the_model_does_not_know_is_a_reason_of_its_own() -> None:
    first, second = check_due(replace(QUIET, reviewed_labels={"venda": 5, "spam": 1, "cobranca": 3}), RULES)
    assert (first.topic, second.topic) == ("new-label cobranca", "new-label spam")
    assert "'cobranca' (3)" in first.message


@pytest.mark.parametrize(("new_rows", "triggers"), [(200, []), (201, [Trigger.DATA]), (None, [])])
def test_more_than_a_fifth_of_new_texts_is_due(new_rows: int | None, triggers: list[Trigger]) -> None:
    assert fired(new_rows=new_rows) == triggers


def test_a_report_of_drift_is_a_reason() -> None:
    reasons = check_due(replace(QUIET, drifted_at=datetime(2026, 11, 20, 3, tzinfo=UTC)), RULES)
    message = "the drift report of 2026-11-20 found that the input has shifted"
    assert reasons == (DueReason(Trigger.DRIFT, "drift", message),)


def test_the_distance_of_the_accuracy_is_that_of_the_intervals_upper_bound() -> None:
    (distance,) = (item for item in distances(QUIET, RULES) if item.trigger is Trigger.ACCURACY)
    assert (distance.value, distance.limit) == (0.97, 0.95 - 0.05)
    assert distance.message == (
        "0.900 to 0.970 on reviews (95% interval, 200 reviews); due if the upper bound falls by 0.070, below 0.900"
    )
    wide = replace(QUIET, reviewed=measured(0.8, 0.65, 0.95, 20))
    assert "about 30 more reviews make the interval narrow" in [*distances(wide, RULES)][1].message
    few = replace(QUIET, reviewed=measured(1.0, 0.44, 1.0, 3))
    assert "at least 30 more reviews make the interval narrow" in [*distances(few, RULES)][1].message


@pytest.mark.parametrize("new_rows", [0, 200])
def test_the_texts_to_go_make_training_due(new_rows: int) -> None:
    (text,) = (
        item.message for item in distances(replace(QUIET, new_rows=new_rows), RULES) if item.trigger is Trigger.DATA
    )
    to_go = int(text.rpartition(", ")[2].removesuffix(" to go"))
    assert (fired(new_rows=new_rows + to_go - 1), fired(new_rows=new_rows + to_go)) == ([], [Trigger.DATA])


def test_limits_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_DUE_MAX_AGE_DAYS", "9")
    monkeypatch.setenv("TRIAGEM_DUE_MAX_NEW_DATA", "0.01")
    monkeypatch.setenv("TRIAGEM_DUE_MAX_ACCURACY_LOSS", "0")
    reasons = check_due(replace(QUIET, reviewed=measured(0.93, 0.92, 0.94, 5000)), DueSettings())
    assert {reason.trigger for reason in reasons} == {Trigger.AGE, Trigger.ACCURACY, Trigger.DATA}


@given(st.floats(0, 1000), st.integers(0, 2000), st.floats(0, 1), st.booleans())
def test_more_cause_never_makes_training_less_due(age: float, new_rows: int, high: float, drifted: bool) -> None:
    facts = replace(QUIET, age_days=age, new_rows=new_rows, reviewed=measured(high, 0, high, 10))
    worse = replace(
        facts,
        age_days=age + 1,
        new_rows=new_rows + 1,
        drifted_at=datetime(2026, 11, 20, tzinfo=UTC) if drifted else None,
    )
    topics = [{reason.topic for reason in reasons} for reasons in (check_due(facts, RULES), check_due(worse, RULES))]
    assert topics[0] <= topics[1]
