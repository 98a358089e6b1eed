"""The generated parts of docs/reference: lint finds stale pages, and settings and columns that the code lacks."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import ROOT

REFERENCE = Path("docs", "reference")


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The findings of the check in pages with one mistake of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / REFERENCE, folder / REFERENCE)
    (folder / "README.md").write_text("Set `TRIAGEM_LEASE_SECONDS`, or any of `TRIAGEM_SCALE_*`.\n", encoding="utf-8")
    for name, text, mistake in (
        ("settings.md", "| `15.0` |", "| `16.0` |"),
        ("sql.md", "| `unclear` |", "| `vague` |"),
    ):
        page = folder / REFERENCE / name
        page.write_text(page.read_text(encoding="utf-8").replace(text, mistake), encoding="utf-8")
    command = [sys.executable, str(ROOT / ".ci" / "reference"), "--check"]
    result = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1, result
    return result.stdout


def test_a_changed_row_is_found(findings: str) -> None:
    assert "docs/reference/settings.md is stale: run `make reference`\n" in findings


def test_a_column_of_a_view_that_is_not_described_by_its_comment_is_found(findings: str) -> None:
    assert "docs/reference/sql.md is stale: run `make reference`\n" in findings


def test_a_setting_that_does_not_exist_is_found_on_a_page(findings: str) -> None:
    assert "README.md: TRIAGEM_LEASE_SECONDS is not a setting\n" in findings


def test_nothing_else_is_found(findings: str) -> None:
    assert findings.count("\n") == 3


def test_no_metric_is_declared_twice() -> None:
    page = (ROOT / REFERENCE / "metrics.md").read_text(encoding="utf-8")
    names = [line.split("`")[1] for line in page.splitlines() if line.startswith(("| `triagem_", "| `prediction"))]

    assert len(names) == len(set(names)) > 40
