"""docs/reference/metrics.md describes every metric as the code does. Run as a program, this writes its tables."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from prometheus_client.metrics import MetricWrapperBase

from tests.support.manifests import ROOT
from triagem.gateway import metrics as gateway_metrics
from triagem.ops import metrics as ops_metrics
from triagem.process import ScrapedGauge
from triagem.worker import metrics

DOCUMENT: Final = ROOT / "docs" / "reference" / "metrics.md"
TABLES: Final[dict[str, tuple[ModuleType, ...]]] = {
    "worker": (metrics,),
    "ops": (ops_metrics,),
    "gateway": (gateway_metrics,),
}


def metric_rows(module: ModuleType) -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, kind, labels and help of each metric of a module, in its order."""
    return [
        metric_row(metric) for metric in vars(module).values() if isinstance(metric, ScrapedGauge | MetricWrapperBase)
    ]


def metric_row(metric: Any) -> tuple[str, str, tuple[str, ...], str]:
    if isinstance(metric, ScrapedGauge):
        return metric.name, "gauge", metric.labels, metric.help
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return name, family.type, metric._labelnames, family.documentation


def table(process: str) -> str:
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for name, kind, labels, help_text in (row for module in TABLES[process] for row in metric_rows(module)):
        shown = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {kind} | {shown} | {help_text} |")
    return "\n".join([*lines, ""])


def section_pattern(process: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {process} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("process", TABLES)
def test_the_document_has_every_metric_as_the_code_explains_it(process: str) -> None:
    section = section_pattern(process).search(DOCUMENT.read_text(encoding="utf-8"))
    assert section
    assert section[2] == table(process), "python -m tests.unit.test_metrics_docs"


def test_no_name_is_used_twice() -> None:
    names = [row[0] for modules in TABLES.values() for module in modules for row in metric_rows(module)]
    assert len(names) == len(set(names)) > 40


def write(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for process in TABLES:
        begin, _, end = section_pattern(process).search(text).groups()  # type: ignore[union-attr]
        text = section_pattern(process).sub(lambda _: begin + table(process) + end, text)  # noqa: B023
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(DOCUMENT)
