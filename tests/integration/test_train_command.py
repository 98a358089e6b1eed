"""`triagem train`: what it prints of a version's confidence, and what it refuses."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.assessments import report as assessment
from tests.support.assessments import sure
from tests.support.builders import manifest
from tests.support.command import Triagem
from triagem.cli.commands.train import print_report
from triagem.cli.output import print_json
from triagem.contracts.prediction import Thresholds
from triagem.trainer.report import CalibrationResult, CurvePoint, ReviewThreshold, TrainingReport

ASSESSED = assessment(curves=(CurvePoint(1, 0.7, 5e-5, None),), raw=sure(0.1, 0.9, 0.3, 0.6, 0.99, 0.9))
REPORT = TrainingReport(
    manifest=manifest(temperature=1.4, thresholds=Thresholds(review=0.81, review_budget=0.12)),
    notes=("a note",),
    rows=690,
    steps=700,
    seconds=1.0,
    calibration=CalibrationResult(1.4, 690, "out-of-fold", 0.41, 0.35, 0.08, 0.02),
    threshold=ReviewThreshold(0.81, 0.95, rows=400, right=394, proven_precision=0.97),
    assessment=ASSESSED,
    gate=None,
)


def printed(report: TrainingReport) -> str:
    """What a person sees."""
    console = Console(width=200)
    with console.capture() as seen:
        print_report(report, console)
    return seen.get()


def test_it_says_what_calibration_did_and_on_which_rows() -> None:
    assert "temperature 1.40, fitted on 690 out-of-fold rows: NLL 0.410 → 0.350, ECE 0.080 → 0.020" in printed(REPORT)
    before, after = (
        [one.metrics[name].value or 0.0 for name in ("nll", "ece")]
        for one in (ASSESSED.before_calibration or ASSESSED.overall, ASSESSED.overall)
    )
    nll, ece = (f"{was:.3f} → {now:.3f}" for was, now in zip(before, after, strict=True))
    assert before != after
    assert f"on the test rows: NLL {nll}, ECE {ece}" in printed(REPORT)


def test_it_says_what_stands_behind_the_threshold() -> None:
    lines = printed(REPORT)

    assert "review below 0.810: 394 of the 400 calibration rows at or above it are right, which proves 97.0%" in lines
    assert "the 12.0% of tickets with the lowest confidence are always reviewed" in lines


def test_it_says_why_the_usual_threshold_stays() -> None:
    unproved = replace(REPORT, threshold=ReviewThreshold(0.7, 0.95, rows=50, right=50, rows_missing=9))
    hopeless = replace(REPORT, threshold=ReviewThreshold(0.7, 0.95, rows=200, right=180))

    assert "0.700, the default: 50 calibration rows, 50 of them right, do not prove 95%; 9 more" in printed(unproved)
    assert "180 of the 200 most confident calibration rows are right, too few for more rows to prove 95%" in printed(
        hopeless
    )


def test_a_program_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(REPORT)
    told = json.loads(capsys.readouterr().out)

    assert (told["calibration"]["temperature"], told["calibration"]["source"]) == (1.4, "out-of-fold")
    assert (told["threshold"]["review"], told["threshold"]["rows_missing"]) == (0.81, None)
    assert told["manifest"]["thresholds"] == {"review": 0.81, "review_budget": 0.12}
    assert told["assessment"]["curves"] == [{"step": 1, "loss": 0.7, "learning_rate": 5e-5, "dev_accuracy": None}]


def test_a_base_and_a_version_at_once_are_a_wrong_usage(bare: Triagem) -> None:
    answer = bare("train", "somewhere", "--base", "any", "--from", "v1.0.0")

    assert answer.status == 2
    assert "--base or --from" in answer.err


def test_a_version_that_is_not_there_is_said_in_a_line(bare: Triagem) -> None:
    answer = bare("train", "somewhere", "--from", "v9.0.0")

    assert answer.status == 1
    assert "no model version v9.0.0" in answer.err
