"""Parsed deployment files."""

import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
K8S = ROOT / "deploy" / "k8s"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OVERLAYS = ("cpu", "gpu")


def sources() -> list[Path]:
    """Every module of the package, by the path it is imported by: through the links to the folders at the root."""
    folders = os.walk(ROOT / "triagem", followlinks=True)
    return sorted(Path(folder, name) for folder, _, names in folders for name in names if name.endswith(".py"))


def tool(name: str) -> str:
    """A program of a development dependency: next to this Python, or on the path."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert program, f"{name} is not installed: pip install -e '.[dev]'"
    return program


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def resources(kustomization: Path) -> list[dict[str, Any]]:
    """All resources of a kustomization. It lists files and folders, without patches."""
    (spec,) = documents(kustomization / "kustomization.yaml")
    assert not spec.keys() & {"patches", "replacements", "components", "generators"}
    deployed = []
    for name in spec["resources"]:
        path = kustomization / name
        deployed += resources(path) if path.is_dir() else documents(path)
    return deployed
