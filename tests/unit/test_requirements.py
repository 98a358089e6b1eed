"""The images install the packages that their processes need, as listed in pyproject.toml."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.manifests import ROOT


def required_packages(tmp_path: Path, *extras: str) -> set[str]:
    """The names of the packages, as the Dockerfile requests them."""
    for path in (ROOT / "pyproject.toml", ROOT / "deploy" / "docker" / "requirements.py"):
        shutil.copy(path, tmp_path)
    command: list[str | Path] = [sys.executable, tmp_path / "requirements.py", *extras]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {match[0] for line in output.splitlines() if (match := re.match(r"[\w-]+", line))}


@pytest.mark.parametrize("extras", [("gateway",), ("worker", "drift")], ids=["gateway", "ops"])
def test_gateway_and_ops_have_no_torch(tmp_path: Path, extras: tuple[str, ...]) -> None:
    packages = required_packages(tmp_path, *extras)
    assert {"pydantic", "redis", "sqlalchemy", "fsspec"} <= packages
    assert not packages & {"torch", "transformers", "triagem"}


def test_a_worker_has_celery_and_the_engines_packages(tmp_path: Path) -> None:
    assert {"celery", "torch", "transformers", "psycopg"} <= required_packages(tmp_path, "worker", "engine")


def test_an_unknown_extra_stops_the_build(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        required_packages(tmp_path, "gatway")


def test_the_build_sees_every_package_of_the_wheel() -> None:
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    assert {f"!{name}" for name in packages} <= set((ROOT / ".dockerignore").read_text().splitlines())
