"""`triagem train`: the calibration and threshold that it prints, and the arguments that it refuses."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.assessments import report as assessment
from tests.support.assessments import rows, sure
from tests.support.builders import manifest
from tests.support.command import Triagem
from triagem.cli.commands.train import ProgressReporter, describe_report
from triagem.cli.output import print_json, print_lines
from triagem.cli.progress import progress
from triagem.contracts.assessment import CurvePoint
from triagem.contracts.prediction import Thresholds
from triagem.registry.decision import GateEvidence, Promote, Reject
from triagem.trainer.evaluate.report import CalibrationResult, ReviewThreshold, TrainingReport

ASSESSMENT = assessment(curves=(CurvePoint(1, 0.7, 5e-5, None),), raw=sure(0.1, 0.9, 0.3, 0.6, 0.99, 0.9))
REPORT = TrainingReport(
    manifest=manifest(temperature=1.4, thresholds=Thresholds(review=0.81, review_budget=0.12)),
    notes=("printed before the training",),
    outcome_notes=("a note",),
    rows=690,
    steps=700,
    seconds=1.0,
    calibration=CalibrationResult(1.4, 690, "out-of-fold", 0.41, 0.35, 0.08, 0.02),
    threshold=ReviewThreshold(0.81, 0.95, texts=400, right=394, proven_precision=0.97),
    assessment=ASSESSMENT,
    gate=None,
)


def printed(of: TrainingReport) -> str:
    """The report as printed."""
    console = Console(width=200)
    with console.capture() as capture:
        print_lines(*describe_report(of), screen=console)
    return capture.get()


def test_it_prints_the_effect_of_calibration_and_its_rows() -> None:
    lines = printed(REPORT)

    assert "temperature 1.40, fitted on 690 out-of-fold texts: NLL 0.410 → 0.350, ECE 0.080 → 0.020" in lines
    before, after = (
        [scores.metrics[name].value or 0.0 for name in ("nll", "ece")]
        for scores in (ASSESSMENT.before_calibration or ASSESSMENT.overall, ASSESSMENT.overall)
    )
    nll, ece = (f"{was:.3f} → {now:.3f}" for was, now in zip(before, after, strict=True))
    assert before != after
    assert f"on the test rows: NLL {nll}, ECE {ece}" in lines


def test_it_prints_the_evidence_for_the_threshold() -> None:
    lines = printed(REPORT)

    evidence = "394 of the 400 held-out texts at or above it are right, which proves 97.0%"
    assert f"review below 0.810: {evidence}" in lines
    assert "the 12.0% of tickets with the lowest confidence are always reviewed" in lines


def test_it_prints_why_the_default_threshold_stays() -> None:
    unproved = replace(REPORT, threshold=ReviewThreshold(0.7, 0.95, texts=50, right=50, texts_missing=9))
    hopeless = replace(REPORT, threshold=ReviewThreshold(0.7, 0.95, texts=200, right=180))

    assert "0.700, the default: 50 held-out texts, 50 of them right, do not prove 95%; 9 more" in printed(unproved)
    too_few = "180 of the 200 most confident held-out texts are right, so no number of texts can prove 95%"
    assert too_few in printed(hopeless)


def test_json_output_has_the_same_values(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(REPORT)
    output = json.loads(capsys.readouterr().out)

    assert (output["calibration"]["temperature"], output["calibration"]["source"]) == (1.4, "out-of-fold")
    assert (output["threshold"]["review"], output["threshold"]["texts_missing"]) == (0.81, None)
    assert output["manifest"]["thresholds"] == {
        "review": 0.81,
        "review_budget": 0.12,
        "automate": True,
        "tokens_per_char": None,
        "languages": [],
        "other_language": None,
    }
    assert output["assessment"]["curves"] == [{"step": 1, "loss": 0.7, "learning_rate": 5e-5, "dev_accuracy": None}]


def test_without_a_terminal_each_tenth_of_the_steps_and_each_score_is_a_line() -> None:
    screen = Console(width=200, force_terminal=False)
    with screen.capture() as capture, progress("prepare", screen=screen) as update:
        reporter = ProgressReporter(update, screen, clock=lambda: 0.0, printed_at=0.0)
        reporter.on_notes(("evaluation every 100 steps",))
        for step in range(1, 401):
            reporter.on_step(step, 400, 0.5)
        reporter.on_evaluation(400, 400, "accuracy", 0.9)

    lines = [line.strip() for line in capture.get().splitlines()]
    assert lines[:2] == ["evaluation every 100 steps", "fine-tune, loss 0.500: step 40 of 400"]
    assert len(lines) == 1 + 10 + 1
    assert lines[-2:] == ["evaluate: step 400 of 400", "step 400 of 400: accuracy 0.900 on the dev rows"]


def test_without_a_terminal_a_slow_training_prints_a_line_each_half_minute() -> None:
    screen, seconds = Console(width=200, force_terminal=False), iter((0, 29, 30, 30, 59, 60, 60))
    with screen.capture() as capture, progress("prepare", screen=screen) as update:
        reporter = ProgressReporter(update, screen, clock=lambda: next(seconds), printed_at=0.0)
        for step in range(1, 6):
            reporter.on_step(step, 400, 0.5)

    assert [line.split()[-3] for line in capture.get().splitlines()] == ["3", "5"]


def test_base_and_parent_together_are_a_usage_error(bare: Triagem) -> None:
    answer = bare("train", "somewhere", "--base", "any", "--from", "v1.0.0")

    assert answer.status == 2
    assert "--base or --from" in answer.err


def test_an_unknown_parent_version_is_an_error(bare: Triagem) -> None:
    answer = bare("train", "somewhere", "--from", "v9.0.0")

    assert answer.status == 1
    assert "no model version v9.0.0" in answer.err


def test_copies_and_texts_are_counted_in_the_title() -> None:
    texts = rows("minha internet caiu", "quero um plano") * 5
    copied = assessment(rows=texts, probabilities=sure(0.02, 0.97) * 5, baseline=None)

    assert "v0.0.0 on 10 test rows (2 different texts)" in printed(replace(REPORT, assessment=copied))


def test_a_leaked_test_is_marked_next_to_its_scores() -> None:
    leaked = replace(REPORT, assessment=assessment(leaked=6))

    assert "6 of 6 test rows are also training rows, or nearly: these scores measure memorization" in printed(leaked)


def test_a_current_version_is_followed_by_the_next_command() -> None:
    evidence = GateEvidence(candidate="v0.0.0", current=None, rule=None)

    output = printed(replace(REPORT, gate=Promote(evidence)))
    assert "v0.0.0 is current; classify with it: `triagem classify" in output


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_the_exit_status_tells_a_rejected_version_from_a_failed_training(
    bare: Triagem, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    evidence = GateEvidence(candidate="v0.0.0", current=None, rule=None)
    rejected = replace(REPORT, gate=Reject(evidence, ("too few rows",)))
    reports = (rejected, replace(rejected, unverified=True), replace(REPORT, gate=Promote(evidence)), REPORT)
    trained = iter(reports)
    monkeypatch.setattr("triagem.cli.commands.train.train_version", lambda *_, **__: next(trained))

    assert [bare("train", "data", *options).status for _ in reports] == [3, 0, 0, 0]


def test_after_an_interruption_it_prints_how_to_continue(bare: Triagem, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("triagem.cli.commands.train.train_version", interrupted)

    answer = bare("train", "data")

    assert answer.status == 130
    assert "the same command continues from the last checkpoint" in answer.err


def test_allowed_leakage_is_explained_before_training(bare: Triagem) -> None:
    answer = bare("train", "missing", "--allow-leakage")

    assert "--allow-leakage: if test rows are also training rows, no score counts and the gate" in answer.err
    assert "add --promote-unverified" in answer.err


def test_promote_unverified_without_allow_leakage_is_a_usage_error(bare: Triagem) -> None:
    assert bare("train", "missing", "--promote-unverified").status == 2
