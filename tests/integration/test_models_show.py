"""`triagem models show`: a version's report as text and as JSON, also for versions without a report."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest, register
from tests.support.command import Triagem
from triagem.contracts.assessment import Assessment
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE, DataInfo
from triagem.registry import Registry
from triagem.trainer.evaluate.assess import assess, register_with_report


@pytest.fixture
def registry(bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The command's registry, empty."""
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    return Registry(tmp_path / "models")


def register_with(registry: Registry, assessment: Assessment, **changes: Any) -> None:
    """Registers the next version with a report."""
    with registry.staging() as folder:
        register_with_report(registry, folder, manifest(labels=assessment.labels, **changes), assessment)


def test_text_output_shows_metrics_with_intervals_and_their_interpretation(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    lines = bare("models", "show", "v1.0.0").out.splitlines()

    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    assert "0.833 (0." in accuracy
    assert "good; lower bound: not yet good" in accuracy
    assert any(line.startswith("AUROC of error detection") for line in lines)


def test_without_a_version_the_list_names_the_next_step(bare: Triagem, registry: Registry) -> None:
    assert "run `triagem train DATA_DIR`" in bare("models", "list").err
    assert bare("models", "list", "--json").out == "[]\n"


def test_text_output_shows_labels_languages_and_the_confusion_matrix(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    lines = [line.split() for line in bare("models", "show", "v1.0.0").out.splitlines()]

    assert ["suporte", "2", "1"] in lines
    assert ["venda", "0", "3"] in lines
    assert any(line[:2] == ["suporte", "3"] for line in lines)
    assert any(line[:2] == ["pt", "3"] for line in lines)


def test_text_output_shows_the_versions_origin_and_the_path_of_the_html_report(
    bare: Triagem, registry: Registry
) -> None:
    register_with(registry, report(), parent="v0.9.0", base="a-small-bert", temperature=1.5)
    output = bare("models", "show", "v1.0.0").out

    for fact in (
        "a-small-bert",
        "v0.9.0",
        "1,000 rows",
        "suporte, venda",
        "1.500",
        "under 0.7",
        " UTC, on 1,000",
        "training started",
    ):
        assert fact in output
    assert str(registry.folder("v1.0.0") / HTML_REPORT_FILE) in output


def test_metrics_before_calibration_are_shown_with_those_after(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report(raw=sure(0.001, 0.999, 0.02, 0.99, 0.99, 0.99)))

    assert "uncalibrated" in bare("models", "show", "v1.0.0").out


def test_a_model_that_does_not_beat_the_baseline_is_reported(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report(probabilities=sure(0.9, 0.1, 0.9, 0.1, 0.9, 0.1)))

    assert "does not beat TF-IDF" in bare("models", "show", "v1.0.0").out


def test_a_label_in_brackets_is_shown_unchanged(bare: Triagem, registry: Registry) -> None:
    labels = ("[bold]", "[/x]")
    register_with(registry, assess(rows("a", "b", labels=labels), labels, sure(0.1, 0.9)))
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 0
    assert "[bold], [/x]" in answer.out


def test_text_output_contains_no_test_message(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())

    assert "boleto em dobro" not in bare("models", "show", "v1.0.0").out


def test_json_output_has_manifest_and_report(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    output = json.loads(bare("models", "show", "v1.0.0", "--json").out)

    assert output["manifest"] == registry.manifest("v1.0.0").model_dump(mode="json")
    assert output["report"] == json.loads((registry.folder("v1.0.0") / REPORT_FILE).read_text())
    assert output["report"]["mistakes"][0]["text"] == "boleto em dobro"


def test_a_version_without_a_report_is_shown(bare: Triagem, registry: Registry) -> None:
    register(registry, metrics={"accuracy": 0.91})
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 0
    assert "0.910" in answer.out
    assert "trained by a release that wrote no reports" in answer.out
    assert json.loads(bare("models", "show", "v1.0.0", "--json").out)["report"] is None


def test_an_unreadable_report_is_named_in_one_line(bare: Triagem, registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / REPORT_FILE).write_text('{"schema_version": 2}')
        registry.register(folder, manifest(labels=LABELS))
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 1
    assert "report.json cannot be read" in answer.err
    assert "Traceback" not in answer.err


def test_a_version_with_a_changed_file_is_not_shown(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    (registry.folder("v1.0.0") / REPORT_FILE).write_text("{}")
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 1
    assert "report.json changed since training" in answer.err


def test_a_leaked_score_is_marked_wherever_a_version_is_shown(bare: Triagem, registry: Registry) -> None:
    data = DataInfo(digest="", rows=400, texts=16, leaked=6)
    register_with(registry, report(leaked=6), data=data)

    shown, listed = bare("models", "show", "v1.0.0").out, bare("models", "list").out

    assert "6 of 6 test rows are also training rows, or nearly: these scores measure memorization" in shown
    assert "excellent" not in shown
    assert "on 400 rows (16 different texts)" in shown
    assert "(leaked)" in listed
    assert json.loads(bare("models", "list", "--format", "json").out)[0]["leaked"] == 6
