"""Registers model versions without weights, for engines that need none."""

from pathlib import Path

from tests.support.builders import register
from triagem.registry import Registry


def two_versions(folder: Path) -> Registry:
    """A registry with v1.0.0 (current) and v1.1.0."""
    registry = Registry(folder)
    for number in range(2):
        register(registry, weights=f"weights {number}")
    registry.promote("v1.0.0")
    return registry
