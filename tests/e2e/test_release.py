"""The distributions of `make release` work outside the checkout. TRIAGEM_DIST names a folder with built ones."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.manifests import PROJECT, ROOT, sources
from triagem.ops.backup import unpack

NAME = f"triagem-{PROJECT['version']}"


def run(*command: str | Path, cwd: Path, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def build(source: Path, dist: Path) -> Path:
    # A path without this checkout, whose top-level packages could replace modules of the build.
    path = os.pathsep.join(part for part in sys.path if part and Path(part) != ROOT)
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "sdist",
        "-t",
        "wheel",
        "-d",
        dist,
        cwd=source,
        PYTHONPATH=path,
    )
    return dist


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with wheel and sdist."""
    given = os.environ.get("TRIAGEM_DIST")
    return Path(given) if given else build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("RECORD")}


def test_the_wheel_holds_every_package_the_migrations_the_scripts_and_the_samples(wheel: Path) -> None:
    names = contents(wheel)
    assert {str(file.relative_to(ROOT)) for file in sources()} <= names
    assert "triagem/cli/examples/crm_export.csv" in names
    assert {name.partition("/")[0] for name in names} == {"triagem", f"{NAME}.dist-info"}


def test_a_wheel_made_from_the_sdist_is_the_same(dist: Path, wheel: Path, tmp_path: Path) -> None:
    unpack(dist / f"{NAME}.tar.gz", tmp_path)
    (rebuilt,) = build(tmp_path / NAME, tmp_path / "dist").glob("*.whl")
    assert contents(rebuilt) == contents(wheel)


def test_the_installed_command_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Uses this environment's packages, but Triagem itself from the wheel."""
    site = tmp_path / "site"
    run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel, cwd=tmp_path
    )

    path = run(sys.executable, "-c", "import triagem; print(triagem.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    output = run(
        sys.executable, site / "bin" / "triagem", "doctor", "--json", cwd=tmp_path, PYTHONPATH=str(site), status=1
    )

    assert Path(path.strip()).is_relative_to(site)
    checks = {check["check"]: check for check in json.loads(output)}
    assert PROJECT["version"] in checks["Python and packages"]["detail"]
    assert "triagem up" in checks["Redis"]["problem"]


@pytest.mark.slow
def test_a_clean_environment_has_all_that_the_producer_needs(wheel: Path, tmp_path: Path) -> None:
    """Runs plain `pip install triagem`, which needs a package index."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip: Any = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    run(python, "-m", "pip", "install", "-q", wheel, cwd=tmp_path, **pip)

    run(python, "-c", "from triagem import Publisher", cwd=tmp_path)
    output = run(tmp_path / "venv" / "bin" / "triagem", "doctor", "--json", cwd=tmp_path, status=1)
    assert "extras not installed: db" in json.loads(output)[0]["detail"]
