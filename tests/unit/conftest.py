"""Fixtures of several unit test files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.registries import Files


@pytest.fixture
def empty_memory() -> Iterator[None]:
    """Empties fsspec's in-memory store after the test."""
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["folder", "memory"])
def either_files(request: pytest.FixtureRequest, tmp_path: Path, empty_memory: None) -> Files:
    """The location of a registry: a folder, or a store that only fsspec knows. A test that uses it runs twice."""
    return Files("memory://bucket/models" if request.param == "memory" else str(tmp_path / "models"))
