"""`triagem models promote`, `compare` and `rollback`: output, effects and exit codes."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.command import Triagem, assert_one_line
from tests.support.scored_versions import register_tested
from triagem.contracts.model import DataInfo
from triagem.registry import Registry


@pytest.fixture
def registry(bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The command's registry: v1.0.0, current, with 270 of 300 rows right; v1.1.0, better; v1.2.0, worse."""
    models = Registry(tmp_path / "models")
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(models.root))
    for wrong in (30, 0, 60):
        register_tested(models, wrong=range(wrong), metrics={"mflops_per_token": 21.5})
    models.promote("v1.0.0")
    return models


def test_a_better_version_is_promoted_and_the_metrics_are_shown(registry: Registry, bare: Triagem) -> None:
    answer = bare("models", "promote", "v1.1.0")

    assert answer.status == 0
    for expected in (
        "300 test rows, predicted by models that were not trained on them",
        "rows gained: 30, lost: 0; McNemar's exact p 1.86e-09",
        "above +0.075 with 95% confidence",
        "passed: v1.1.0 against v1.0.0",
        "v1.1.0 is current (epoch 2)",
    ):
        assert expected in answer.out
    assert registry.current().version == "v1.1.0"


def test_a_worse_version_is_rejected_with_reasons_and_status_3(registry: Registry, bare: Triagem) -> None:
    answer = bare("models", "promote", "v1.2.0", "--rule", "non-inferior")

    assert answer.status == 3
    assert "rejected: v1.2.0 against v1.0.0" in answer.out
    assert "accuracy 0.800 against 0.900 on 300 rows" in answer.out
    assert "to promote it anyway: `triagem models promote v1.2.0 --force --reason …`" in answer.out
    assert "Traceback" not in answer.err
    assert registry.current().version == "v1.0.0"


def test_against_a_leaked_current_version_the_other_is_judged_as_a_first_version(
    registry: Registry, bare: Triagem
) -> None:
    leaked = register_tested(registry, data=DataInfo(digest="", rows=300, leaked=6))
    registry.promote(leaked)

    answer = bare("models", "compare", "v1.1.0").out

    assert f"{leaked} is not compared: its scores measure memorization" in answer
    assert "passed: v1.1.0 as a first version" in answer


def test_the_list_shows_the_accuracy_with_three_digits(registry: Registry, bare: Triagem) -> None:
    register_tested(registry, wrong=range(1), metrics={"accuracy": 299 / 300})

    assert bare("models", "list").out.splitlines()[-1].split()[-4] == "0.997"


def test_a_version_is_not_compared_with_itself(registry: Registry, bare: Triagem) -> None:
    assert_one_line(bare("models", "compare", "v1.0.0"), "v1.0.0 is the current version: name another one")
    assert_one_line(bare("models", "compare", "v1.2.0", "v1.2.0"), "v1.2.0 is the same version")


def test_force_needs_a_reason_and_leaves_it_in_the_log(registry: Registry, bare: Triagem) -> None:
    assert bare("models", "promote", "v1.2.0", "--force").status == 2
    assert bare("models", "promote", "v1.2.0", "--reason", "because").status == 2
    assert registry.current().version == "v1.0.0"

    answer = bare("models", "promote", "v1.2.0", "--force", "--reason", "the old one is too slow")

    assert answer.status == 0
    assert "v1.2.0 is current (epoch 2), by force" in answer.out
    assert registry.promotions()[-1].reason == "the old one is too slow"


def test_promote_prints_one_json_document(registry: Registry, bare: Triagem) -> None:
    rejected = bare("models", "promote", "v1.2.0", "--json")
    output = json.loads(rejected.out)

    assert rejected.status == 3
    assert (output["decision"], output["current"], output["forced"]) == ("reject", None, False)
    assert output["reasons"]
    assert output["evidence"]["candidate_metrics"]["recalls"]["venda"] == {
        "rows": 150,
        "true_positives": 120,
        "current_true_positives": 135,
    }
    assert output["evidence"]["rule"] == "improve"

    output = json.loads(bare("models", "promote", "v1.1.0", "--json").out)
    assert (output["decision"], output["current"]) == ("promote", {"version": "v1.1.0", "epoch": 2})
    assert json.loads(bare("models", "promote", "v1.1.0", "--json").out)["decision"] is None


@pytest.mark.parametrize("options", [[], ["--force", "--reason", "sure"]])
def test_promoting_the_current_version_changes_nothing(registry: Registry, bare: Triagem, options: list[str]) -> None:
    answer = bare("models", "promote", "v1.0.0", *options)

    assert (answer.status, answer.out) == (0, "v1.0.0 is already current\n")
    assert registry.current().epoch == 1


def test_compare_shows_the_same_and_changes_nothing(registry: Registry, bare: Triagem) -> None:
    answer = bare("models", "compare", "v1.2.0")

    assert answer.status == 3
    assert bare("models", "compare", "v1.1.0").status == 0
    assert "rejected: v1.2.0 against v1.0.0" in answer.out
    assert "passed: v1.1.0 against v1.2.0" in bare("models", "compare", "v1.1.0", "v1.2.0").out
    assert json.loads(bare("models", "compare", "v1.1.0", "--json").out)["decision"] == "promote"
    assert registry.current().epoch == 1


def test_rollback_restores_previous_versions_until_there_is_none(registry: Registry, bare: Triagem) -> None:
    bare("models", "promote", "v1.1.0")

    assert bare("models", "rollback", "--reason", "worse on Mondays").out.startswith("v1.0.0 is current (epoch 3)\n")
    assert registry.promotions()[-1].reason == "worse on Mondays"
    assert_one_line(bare("models", "rollback"), "no version was current before v1.0.0")


def test_a_remote_registry_without_its_library_is_reported_in_one_line(
    registry: Registry, bare: Triagem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "s3://bucket/models")

    assert_one_line(bare("models", "list"), "pip install s3fs")


def test_an_empty_registry_is_named(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", "moved")

    assert (
        "no versions in moved: run `triagem train DATA_DIR` with labelled rows, or `triagem start`"
        in bare("models", "list").err
    )
