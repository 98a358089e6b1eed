"""`triagem train`: what it prints of a version's confidence, and what it refuses."""

import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.support.answers import report as assessment
from tests.support.answers import sure
from tests.support.builders import manifest
from tests.support.command import Triagem
from triagem.cli.commands.train import print_report
from triagem.cli.output import print_json
from triagem.contracts.prediction import Thresholds
from triagem.trainer.report import Calibration, Point, Threshold, TrainingReport

ASSESSED = assessment(curves=(Point(1, 0.7, 5e-5, None),), raw=sure(0.1, 0.9, 0.3, 0.6, 0.99, 0.9))
REPORT = TrainingReport(
    manifest=manifest(temperature=1.4, thresholds=Thresholds(review=0.81, review_budget=0.12)),
    notes=("a note",),
    rows=690,
    steps=700,
    seconds=1.0,
    calibration=Calibration(1.4, 690, "out-of-fold", 0.41, 0.35, 0.08, 0.02),
    threshold=Threshold(0.81, 0.95, rows=400, right=394, bound=0.97),
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
        [one.figures[name].value or 0.0 for name in ("nll", "ece")]
        for one in (ASSESSED.before_calibration or ASSESSED.overall, ASSESSED.overall)
    )
    nll, ece = (f"{was:.3f} → {now:.3f}" for was, now in zip(before, after, strict=True))
    assert before != after
    assert f"on the test rows: NLL {nll}, ECE {ece}" in printed(REPORT)


def test_it_says_what_stands_behind_the_threshold() -> None:
    lines = printed(REPORT)

    assert "review under 0.810: of the 400 calibration rows at or above it 394 are right, which proves 97.0%" in lines
    assert "the least sure 12.0% are reviewed in any case" in lines


def test_it_says_why_the_usual_threshold_stays() -> None:
    unproved = replace(REPORT, threshold=Threshold(0.7, 0.95, rows=50, right=50, missing=9))
    hopeless = replace(REPORT, threshold=Threshold(0.7, 0.95, rows=200, right=180))

    assert "0.700, the usual figure: 50 calibration rows, 50 of them right, do not prove 95%; 9 more" in printed(
        unproved
    )
    assert "180 of the surest 200 calibration rows are right, too few to hope for 95%" in printed(hopeless)


def test_a_program_reads_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(REPORT)
    told = json.loads(capsys.readouterr().out)

    assert (told["calibration"]["temperature"], told["calibration"]["way"]) == (1.4, "out-of-fold")
    assert (told["threshold"]["review"], told["threshold"]["missing"]) == (0.81, None)
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
