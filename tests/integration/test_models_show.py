"""`triagem models show`: a version's report for people and for programs, and versions from before there were any."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.assessments import LABELS, report, rows, sure
from tests.support.builders import manifest, register
from tests.support.command import Triagem
from triagem.contracts.model import HTML_REPORT_FILE, REPORT_FILE
from triagem.registry import Registry
from triagem.trainer.assess import assess, write_report
from triagem.trainer.report import Assessment


@pytest.fixture
def registry(bare: Triagem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Empty, and the command's."""
    monkeypatch.setenv("TRIAGEM_REGISTRY_URL", str(tmp_path / "models"))
    return Registry(tmp_path / "models")


def register_with(registry: Registry, made: Assessment, **changes: Any) -> None:
    """The next version, with a report."""
    with registry.staging() as folder:
        known = manifest(labels=made.labels, **changes)
        registry.register(folder, known.model_copy(update={"metrics": write_report(folder, made, known)}))


def test_a_person_sees_figures_with_intervals_and_how_the_seed_reads_them(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    said = bare("models", "show", "v1.0.0").out.splitlines()

    accuracy = next(line for line in said if line.startswith("Accuracy"))
    assert "0.833 (0." in accuracy
    assert "good; lower bound: not yet good" in accuracy
    assert any(line.startswith("AUROC of error detection") for line in said)


def test_a_person_sees_labels_languages_and_what_was_taken_for_what(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    said = [line.split() for line in bare("models", "show", "v1.0.0").out.splitlines()]

    assert ["suporte", "2", "1"] in said
    assert ["venda", "0", "3"] in said
    assert any(line[:2] == ["suporte", "3"] for line in said)
    assert any(line[:2] == ["pt", "3"] for line in said)


def test_a_person_sees_where_the_version_comes_from_and_where_the_page_lies(
    bare: Triagem, registry: Registry
) -> None:
    register_with(registry, report(), parent="v0.9.0", base="a-small-bert", temperature=1.5)
    said = bare("models", "show", "v1.0.0").out

    for fact in ("a-small-bert", "v0.9.0", "1000 rows", "suporte, venda", "1.500", "under 0.7"):
        assert fact in said
    assert str(registry.folder("v1.0.0") / HTML_REPORT_FILE) in said


def test_figures_before_calibration_stand_beside_those_after(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report(raw=sure(0.001, 0.999, 0.02, 0.99, 0.99, 0.99)))

    assert "uncalibrated" in bare("models", "show", "v1.0.0").out


def test_a_model_that_does_not_beat_the_baseline_is_told_so(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report(probabilities=sure(0.9, 0.1, 0.9, 0.1, 0.9, 0.1)))

    assert "does not beat TF-IDF" in bare("models", "show", "v1.0.0").out


def test_a_label_in_brackets_is_shown_as_it_is(bare: Triagem, registry: Registry) -> None:
    labels = ("[bold]", "[/x]")
    register_with(registry, assess(rows("a", "b", labels=labels), labels, sure(0.1, 0.9)))
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 0
    assert "[bold], [/x]" in answer.out


def test_no_test_message_is_printed_for_a_person(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())

    assert "boleto em dobro" not in bare("models", "show", "v1.0.0").out


def test_a_program_gets_manifest_and_report(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    said = json.loads(bare("models", "show", "v1.0.0", "--json").out)

    assert said["manifest"] == registry.manifest("v1.0.0").model_dump(mode="json")
    assert said["report"] == json.loads((registry.folder("v1.0.0") / REPORT_FILE).read_text())
    assert said["report"]["mistakes"][0]["text"] == "boleto em dobro"


def test_a_version_of_before_there_were_reports_still_shows(bare: Triagem, registry: Registry) -> None:
    register(registry, metrics={"accuracy": 0.91})
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 0
    assert "0.910" in answer.out
    assert "trained by a release that wrote no reports" in answer.out
    assert json.loads(bare("models", "show", "v1.0.0", "--json").out)["report"] is None


def test_a_report_that_cannot_be_read_is_one_line_that_names_it(bare: Triagem, registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / REPORT_FILE).write_text('{"schema_version": 2}')
        registry.register(folder, manifest(labels=LABELS))
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 1
    assert "report.json cannot be read" in answer.err
    assert "Traceback" not in answer.err


def test_a_version_that_was_changed_is_not_shown(bare: Triagem, registry: Registry) -> None:
    register_with(registry, report())
    (registry.folder("v1.0.0") / REPORT_FILE).write_text("{}")
    answer = bare("models", "show", "v1.0.0")

    assert answer.status == 1
    assert "report.json changed since training" in answer.err
