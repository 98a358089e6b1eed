"""The gate's record of a version, also if parts of the record are missing."""

from pathlib import Path

import pytest

from tests.support.builders import register
from tests.support.records import answer
from tests.support.registries import Files
from tests.support.scored_versions import register_tested
from triagem.contracts.errors import NoModel
from triagem.contracts.model import PREDICTIONS_FILE, ROWS_FILE, DataInfo
from triagem.registry import Registry
from triagem.registry.decision import Promote, Reject
from triagem.registry.promote import evaluate_version, promote_through_gate
from triagem.registry.records import read_record, read_trained_texts


@pytest.fixture
def registry(either_files: Files, tmp_path: Path) -> Registry:
    """An empty registry; each test runs twice, in a folder and in a store that fsspec knows."""
    return Registry(either_files.url, cache=tmp_path / "cache")


def digests(*rows: int) -> set[str]:
    return {f"{row:064x}" for row in rows}


def test_a_record_holds_predictions_and_training_rows(registry: Registry) -> None:
    version = register_tested(registry, rows=2, wrong=[1], learned=[7], metrics={"macro_f1": 0.9})

    record = read_record(registry, version)

    assert set(record.predictions) == digests(0, 1)
    assert [record.predicted_label(f"{row:064x}") for row in (0, 1)] == ["suporte", "suporte"]
    assert record.trained_on == digests(7)
    assert record.metrics == {"macro_f1": 0.9}
    assert record.gaps == ()


@pytest.mark.parametrize("other_version", [False, True])
def test_versions_are_compared_on_the_rows_that_the_current_one_predicted_during_the_training(
    registry: Registry, *, other_version: bool
) -> None:
    first = register_tested(registry, rows=5, wrong=[0, 1, 2])
    registry.promote(first)
    more = [answer(row, right=row % 4 != 0) for row in range(60)]
    second = register_tested(registry, rows=60, of_current={"v0.9.0" if other_version else first: more})

    decision = evaluate_version(registry, second)

    assert decision.evidence.candidate_metrics
    assert decision.evidence.comparison
    if other_version:
        assert (decision.decision, decision.evidence.candidate_metrics.rows) == ("reject", 5)
    else:
        assert (decision.decision, decision.evidence.candidate_metrics.rows) == ("promote", 60)
        assert decision.evidence.comparison.gained == 3 + 13  # its own predictions of rows 0 to 4 count


@pytest.mark.parametrize("part", ["train", "dev", "calibration"])
def test_dev_and_calibration_rows_count_as_training_rows(registry: Registry, part: str) -> None:
    assert read_record(registry, register_tested(registry, learned=[7], as_part=part)).trained_on == digests(7)


def test_training_rows_of_ancestors_count_as_training_rows(registry: Registry) -> None:
    first = register_tested(registry, learned=[1])
    second = register_tested(registry, learned=[2], parent=first)
    third = register_tested(registry, learned=[3], parent=second)

    assert read_record(registry, third).trained_on == digests(1, 2, 3)


def test_all_texts_of_a_head_are_training_texts(registry: Registry) -> None:
    """Its test predictions are of other heads; the registered one is fitted on all rows."""
    versions = [register_tested(registry, learned=[7], pooling=pooling, rows=2) for pooling in ("first", "mean")]

    assert [read_trained_texts(registry, version) for version in versions] == [digests(7), digests(0, 1, 7)]


def test_training_texts_of_an_unknown_version_or_one_without_a_list_are_not_known(registry: Registry) -> None:
    assert read_trained_texts(registry, register(registry)) is None
    assert read_trained_texts(registry, "v9.0.0") is None


def test_a_record_says_how_many_test_rows_leaked(registry: Registry) -> None:
    version = register_tested(registry, data=DataInfo(digest="", rows=4, leaked=2))

    assert read_record(registry, version).leaked == 2


def test_a_missing_ancestor_is_a_gap(registry: Registry, either_files: Files) -> None:
    first = register_tested(registry)
    second = register_tested(registry, parent=first)
    either_files.remove(first)

    (gap,) = read_record(registry, second).gaps
    assert gap.startswith("the training rows of its ancestor v1.0.0 are unknown: no model version v1.0.0")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (PREDICTIONS_FILE, "v1.0.0 has no test_predictions.jsonl, which the gate reads"),
        (ROWS_FILE, "v1.0.0 has no rows.json, which lists its training rows"),
    ],
)
def test_a_version_older_than_these_files_has_a_gap(registry: Registry, file: str, reason: str) -> None:
    (gap,) = read_record(registry, register_tested(registry, without=file)).gaps

    assert gap.startswith(reason)


@pytest.mark.parametrize("file", [PREDICTIONS_FILE, ROWS_FILE])
def test_a_file_that_was_changed_is_a_gap(registry: Registry, either_files: Files, file: str) -> None:
    version = register_tested(registry)
    either_files.write(f"{version}/{file}", b"{}")

    (gap,) = read_record(registry, version).gaps
    assert f"{file} changed since training" in gap


@pytest.mark.parametrize("probabilities", [(0.9,), (0.5, 0.2, 0.3), (float("nan"), 0.5)])
def test_a_prediction_that_does_not_fit_the_labels_is_a_gap(
    registry: Registry, probabilities: tuple[float, ...]
) -> None:
    invalid = answer(0, right=True).model_copy(update={"probabilities": probabilities})

    (gap,) = read_record(registry, register_tested(registry, predictions=[invalid])).gaps
    assert "a row without a probability for each label" in gap or "cannot be read" in gap


def test_a_version_is_compared_with_the_current_one(registry: Registry) -> None:
    registry.promote(register_tested(registry, wrong=range(30)))
    better = register_tested(registry)

    decision = evaluate_version(registry, better)

    assert isinstance(decision, Promote)
    assert decision.evidence.current == "v1.0.0"


def test_a_version_is_compared_with_any_other(registry: Registry) -> None:
    for wrong in (30, 60, 0):
        register_tested(registry, wrong=range(wrong))
    registry.promote("v1.0.0")

    assert evaluate_version(registry, "v1.2.0", "v1.1.0").evidence.current == "v1.1.0"


def test_an_unknown_version_is_an_error_not_a_rejection(registry: Registry) -> None:
    register_tested(registry)

    for arguments in (("v9.9.9",), ("v1.0.0", "v9.9.9")):
        with pytest.raises(NoModel, match=r"v9\.9\.9"):
            evaluate_version(registry, *arguments)


def test_a_version_that_passes_becomes_current_and_the_log_names_the_rule(registry: Registry) -> None:
    registry.promote(register_tested(registry, wrong=range(30)))
    better = register_tested(registry)

    decision, current = promote_through_gate(registry, better)

    assert isinstance(decision, Promote)
    assert current == registry.current()
    assert current
    assert current.version == better
    last = registry.promotions()[-1]
    assert (last.decision, last.rule, last.forced, last.previous) == ("promote", "improve", False, "v1.0.0")


def test_a_better_version_that_costs_more_needs_the_cost_accepted_or_a_setting(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(register_tested(registry, wrong=range(30), metrics={"mflops_per_token": 10.6}))
    larger = register_tested(registry, metrics={"mflops_per_token": 21.2})

    rejected, current = promote_through_gate(registry, larger)
    assert isinstance(rejected, Reject)
    assert current is None
    monkeypatch.setenv("TRIAGEM_MAX_COST_RATIO", "2.5")
    assert isinstance(evaluate_version(registry, larger), Promote)
    monkeypatch.delenv("TRIAGEM_MAX_COST_RATIO")
    _, current = promote_through_gate(registry, larger, accept_cost=True)
    assert current
    assert (current.version, registry.promotions()[-1].reason) == (larger, "--accept-cost")


def test_a_rejected_version_does_not_become_current(registry: Registry) -> None:
    registry.promote(register_tested(registry))
    worse = register_tested(registry, wrong=range(30))

    decision, current = promote_through_gate(registry, worse)

    assert isinstance(decision, Reject)
    assert current is None
    assert registry.current().version == "v1.0.0"
    assert len(registry.promotions()) == 1


def test_force_promotes_and_the_log_records_the_overridden_decision(registry: Registry) -> None:
    registry.promote(register_tested(registry))
    worse = register_tested(registry, wrong=range(30))

    _, current = promote_through_gate(registry, worse, force="the test rows are labelled wrongly")

    assert current == registry.current()
    last = registry.promotions()[-1]
    assert (last.version, last.decision, last.forced) == (worse, "reject", True)
    assert last.reason == "the test rows are labelled wrongly"


def test_a_version_whose_predecessor_is_damaged_can_be_forced(registry: Registry, either_files: Files) -> None:
    registry.promote(register_tested(registry))
    good = register_tested(registry)
    either_files.remove("v1.0.0")

    decision, _ = promote_through_gate(registry, good)
    assert isinstance(decision, Reject)
    _, current = promote_through_gate(registry, good, force="v1.0.0 was lost")
    assert current
    assert current.version == good


def test_a_first_version_without_a_test_is_rejected(registry: Registry) -> None:
    decision, current = promote_through_gate(registry, register(registry))

    assert isinstance(decision, Reject)
    assert current is None
