"""The generated parts of docs/reference: lint finds a stale page, and no metric's name is used twice."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.manifests import ROOT


def check_reference(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the check on the pages in a folder."""
    command = [sys.executable, str(ROOT / ".ci" / "reference"), "--check"]
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_a_changed_row_is_found(tmp_path: Path) -> None:
    pages = shutil.copytree(ROOT / "docs" / "reference", tmp_path / "docs" / "reference")
    page = pages / "settings.md"
    page.write_text(
        page.read_text(encoding="utf-8").replace("`TRIAGEM_LEASE_S`", "`TRIAGEM_LEASE`"), encoding="utf-8"
    )

    result = check_reference(tmp_path)

    assert (result.returncode, result.stdout) == (1, "docs/reference/settings.md is stale: run `make reference`\n")


def test_a_column_of_a_view_that_is_not_described_is_found(tmp_path: Path) -> None:
    pages = shutil.copytree(ROOT / "docs" / "reference", tmp_path / "docs" / "reference")
    page = pages / "sql.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| `unclear` |", "| `vague` |"), encoding="utf-8")

    result = check_reference(tmp_path)

    assert result.returncode == 1
    assert result.stdout.startswith("docs/reference/sql.md: the view results has ticket_id, ")


def test_no_metric_is_declared_twice() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    names = [line.split("`")[1] for line in page.splitlines() if line.startswith(("| `triagem_", "| `prediction"))]

    assert len(names) == len(set(names)) > 40
