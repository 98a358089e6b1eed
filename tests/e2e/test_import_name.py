"""One import name: an application may have packages called `worker`, `db` or `contracts` of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.manifests import ROOT, sources
from tests.support.namesakes import NAMES, add_namesakes

LINKED = ("db", "producer", "trainer", "worker")


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python started in `folder`, which `-c` and `-m` put first on the path."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def application(tmp_path: Path) -> Path:
    return add_namesakes(tmp_path)


def test_the_folder_takes_precedence_over_installed_packages(application: Path) -> None:
    assert "contracts of the application" in python(application, "-c", "import contracts").stderr


def test_every_module_imports_in_a_folder_with_packages_of_the_same_names(application: Path) -> None:
    modules = [
        str(file.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for file in sources()
        # Excluded: migrations, which only Alembic can run, and benchmarks, whose contenders are not installed.
        if not {"migrations", "bench"} & set(file.parts)
    ]
    script = f"import importlib; [importlib.import_module(name) for name in {modules!r}]"

    assert len(modules) > 200
    assert python(application, "-c", script).stderr == ""


def test_the_public_names_import_there(application: Path) -> None:
    assert python(application, "-c", "from triagem import AsyncClient, Client, Publisher, Ticket").stderr == ""


@pytest.mark.parametrize("name", LINKED)
def test_a_folder_at_the_root_is_not_a_second_package(name: str) -> None:
    done = python(ROOT, "-c", f"import {name}")

    assert f"import triagem.{name}, not {name}" in done.stderr
    assert name in NAMES
