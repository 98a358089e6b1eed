"""Registers versions with the data that the gate reads: their training rows, and their predictions on test rows."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.builders import manifest
from tests.support.records import LABELS, answer
from triagem.contracts.model import (
    CURRENT_PREDICTIONS_FILE,
    HTML_REPORT_FILE,
    HTML_REPORT_PT_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ROWS_FILE,
    Manifest,
    ScoredRow,
    SplitDigests,
)
from triagem.registry import Registry


def current_and_better(folder: Path, **changes: Any) -> Registry:
    """Two versions: v1.0.0, current, is wrong on a fifth of the test rows; v1.1.0 is right on all.

    Args:
        changes: of the manifest of v1.0.0.
    """
    registry = Registry(folder)
    register_tested(registry, wrong=range(60), **changes)
    register_tested(registry)
    registry.promote("v1.0.0")
    return registry


def register_tested(
    registry: Registry,
    *,
    rows: int = 300,
    wrong: Iterable[int] = (),
    labels: Sequence[str] = LABELS,
    predictions: Iterable[ScoredRow] | None = None,
    learned: Iterable[int] = (),
    as_part: str = "train",
    without: str = "",
    of_current: Mapping[str, Iterable[ScoredRow]] = MappingProxyType({}),
    report: str = "",
    **changes: object,
) -> str:
    """Register a version that got all of `rows` test rows right except `wrong`; see `records.record`.

    Args:
        as_part: the part of its data that contained the `learned` rows.
        without: a file that is not stored.
        of_current: the predictions that its training stored of the version that was current then.
        report: the content of its report.json.
    """
    wrong = frozenset(wrong)
    scored = list(predictions or (answer(row, right=row not in wrong, labels=labels) for row in range(rows)))
    parts = dict.fromkeys(("train", "dev", "calibration"), ()) | {as_part: tuple(f"{row:064x}" for row in learned)}
    seen = SplitDigests(**parts, test=tuple(row.digest for row in scored))
    contents = {
        "weights.txt": "weights",
        ROWS_FILE: seen.model_dump_json(),
        PREDICTIONS_FILE: _lines(scored),
        **{CURRENT_PREDICTIONS_FILE.format(version): _lines(rows) for version, rows in of_current.items()},
    }
    if report:
        contents[REPORT_FILE] = report
    with registry.staging() as folder:
        for name, content in contents.items():
            if name != without:
                (folder / name).write_text(content, encoding="utf-8")

        def finish(numbered: Manifest) -> None:
            (folder / HTML_REPORT_FILE).write_text(f"<h1>{numbered.version}</h1>", encoding="utf-8")
            (folder / HTML_REPORT_PT_FILE).write_text(f"<h1>versão {numbered.version}</h1>", encoding="utf-8")

        return registry.register(folder, manifest(labels=tuple(labels), **changes), finish=finish).version


def _lines(rows: Iterable[ScoredRow]) -> str:
    return "".join(row.model_dump_json() + "\n" for row in rows)
