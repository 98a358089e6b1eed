"""The rows that earlier versions were trained and tested on, from their `rows.json`."""

from pathlib import Path

import pytest

from tests.support.builders import manifest
from tests.support.builders import register as register_without_rows
from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.registry import Registry
from triagem.trainer.data.prepare import read_history


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "models")


def register(registry: Registry, name: str, parent: str | None = None) -> None:
    """Register a version with one row in each part, named after the part and `name`."""
    rows = SplitDigests(
        train=(f"train {name}",), dev=(f"dev {name}",), calibration=(f"calibration {name}",), test=(f"test {name}",)
    )
    with registry.staging() as folder:
        (folder / ROWS_FILE).write_text(rows.model_dump_json(), encoding="utf-8")
        registry.register(folder, manifest(parent=parent))


def test_an_empty_registry_has_no_history(registry: Registry) -> None:
    history = read_history(registry)

    assert history.tested | history.trained | history.learned == set()


def test_all_versions_count_and_one_without_the_file_is_skipped(registry: Registry) -> None:
    register(registry, "a")
    register_without_rows(registry)
    register(registry, "b")

    history = read_history(registry)

    assert history.tested == {"test a", "test b"}
    assert history.trained == {f"{part} {name}" for part in ("train", "dev", "calibration") for name in "ab"}


def test_learned_is_what_the_parent_and_its_ancestors_trained_on(registry: Registry) -> None:
    register(registry, "a")
    register(registry, "b")
    register(registry, "c", parent="v1.0.0")

    assert read_history(registry, "v1.2.0").learned == {"train a", "train c"}
    assert read_history(registry).learned == set()


def test_a_deleted_ancestor_is_skipped(registry: Registry) -> None:
    register(registry, "a", parent="v0.9.0")

    assert read_history(registry, "v1.0.0").learned == {"train a"}


def test_a_file_that_cannot_be_read_is_named(registry: Registry) -> None:
    register(registry, "a")
    (registry.folder("v1.0.0") / ROWS_FILE).write_text("{", encoding="utf-8")

    with pytest.raises(ModelCorrupt, match=r"v1\.0\.0: rows\.json changed"):
        read_history(registry)
