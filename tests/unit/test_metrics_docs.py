"""docs/metrics.md says of every metric what the code says. Run as a program, this writes its tables."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from prometheus_client.metrics import MetricWrapperBase

from tests.support.manifests import ROOT
from triagem.gateway import metrics as gateway_metrics
from triagem.worker import gpu, metrics, stores, task_metrics
from triagem.worker.figures import Figure

DOCUMENT: Final = ROOT / "docs" / "metrics.md"
TABLES: Final[dict[str, tuple[ModuleType, ...]]] = {
    "worker": (metrics, gpu),
    "ops": (stores, task_metrics),
    "gateway": (gateway_metrics,),
}


def described(module: ModuleType) -> list[tuple[str, str, tuple[str, ...], str]]:
    """Name, kind, labels and help of each metric of a module, in its order."""
    return [row(one) for one in vars(module).values() if isinstance(one, Figure | MetricWrapperBase)]


def row(one: Any) -> tuple[str, str, tuple[str, ...], str]:
    if isinstance(one, Figure):
        return one.name, "gauge", one.labels, one.help
    (family,) = one.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return name, family.type, one._labelnames, family.documentation


def table(process: str) -> str:
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for name, kind, labels, explained in (one for module in TABLES[process] for one in described(module)):
        shown = ", ".join(f"`{label}`" for label in labels)
        lines.append(f"| `{name}` | {kind} | {shown} | {explained} |")
    return "\n".join([*lines, ""])


def between(process: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {process} -->\n)(.*?)(<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("process", TABLES)
def test_the_document_has_every_metric_as_the_code_explains_it(process: str) -> None:
    found = between(process).search(DOCUMENT.read_text(encoding="utf-8"))
    assert found
    assert found[2] == table(process), "python -m tests.unit.test_metrics_docs"


def test_no_name_is_used_twice() -> None:
    names = [one[0] for modules in TABLES.values() for module in modules for one in described(module)]
    assert len(names) == len(set(names)) > 40


def write(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for process in TABLES:
        text = between(process).sub(lambda found, process=process: found[1] + table(process) + found[3], text)  # type: ignore[misc]
    document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(DOCUMENT)
