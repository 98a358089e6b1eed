"""Model versions without weights, for the engine that needs none."""

from datetime import UTC, datetime
from pathlib import Path

from contracts.model import DataInfo, Manifest
from registry import Registry


def two_versions(folder: Path) -> Registry:
    """A registry with v1.0.0 (current) and v1.1.0."""
    registry = Registry(folder)
    for number in range(2):
        with registry.staging() as staged:
            (staged / "weights.txt").write_text(f"weights {number}", encoding="utf-8")
            registry.register(staged, _manifest())
    registry.promote("v1.0.0")
    return registry


def _manifest() -> Manifest:
    return Manifest(
        version="v0.0.0",
        labels=("suporte", "venda"),
        base="none",
        created_at=datetime.now(UTC),
        data=DataInfo(digest="", rows=0),
        files={},
    )
