"""Registered versions with what the gate reads: rows they learned from, and answers on test rows."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.builders import manifest
from tests.support.records import LABELS, answer
from triagem.contracts.model import PREDICTIONS_FILE, REPORT_FILE, ROWS_FILE, Answer, Rows
from triagem.registry import Registry


def current_and_better(folder: Path) -> Registry:
    """v1.0.0, current, is wrong on a fifth of the test rows; v1.1.0 on none."""
    made = Registry(folder)
    register_tested(made, wrong=range(60))
    register_tested(made)
    made.promote("v1.0.0")
    return made


def register_tested(
    registry: Registry,
    *,
    rows: int = 300,
    wrong: Iterable[int] = (),
    labels: Sequence[str] = LABELS,
    answers: Iterable[Answer] | None = None,
    learned: Iterable[int] = (),
    as_part: str = "train",
    without: str = "",
    report: str = "",
    **changes: object,
) -> str:
    """Register a version that got all of so many test rows right but for the named ones; see `records.record`.

    `as_part`: what it did with the rows that it learned from; `without`: a file that is not stored;
    `report`: what its report.json holds.
    """
    wrong = frozenset(wrong)
    said = list(answers or (answer(row, right=row not in wrong, labels=labels) for row in range(rows)))
    parts = dict.fromkeys(("train", "dev", "calibration"), ()) | {as_part: tuple(f"{row:064x}" for row in learned)}
    seen = Rows(**parts, test=tuple(one.digest for one in said))
    contents = {
        "weights.txt": "weights",
        ROWS_FILE: seen.model_dump_json(),
        PREDICTIONS_FILE: "".join(one.model_dump_json() + "\n" for one in said),
    }
    if report:
        contents[REPORT_FILE] = report
    with registry.staging() as folder:
        for name, content in contents.items():
            if name != without:
                (folder / name).write_text(content, encoding="utf-8")
        return registry.register(folder, manifest(labels=tuple(labels), **changes)).version
