"""Immutable model versions, and which of them is current: in a folder, and in a store that fsspec supports."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.builders import manifest, register
from tests.support.registries import Files, Interrupted, interrupted
from triagem.contracts.errors import InvalidInput, ModelCorrupt, NoModel
from triagem.contracts.model import CURRENT_FILE, INDEX_FILE, MANIFEST_FILE, CurrentModel, DataInfo, Manifest
from triagem.registry import Registry


@pytest.fixture
def files(either_files: Files) -> Files:
    """The registry's files; each test here runs twice."""
    return either_files


@pytest.fixture
def registry(files: Files, tmp_path: Path) -> Registry:
    """A registry with no version yet."""
    return Registry(files.url, cache=tmp_path / "cache")


def index(files: Files) -> dict[str, Any]:
    """The content of model_versions.json, the index of the original specification."""
    content: dict[str, Any] = json.loads(files.read(INDEX_FILE))
    return content


def test_the_first_version_is_v1_0_0(registry: Registry) -> None:
    assert register(registry) == "v1.0.0"


def test_each_version_takes_the_next_number(registry: Registry) -> None:
    assert [register(registry) for _ in range(12)][-1] == "v1.11.0"
    assert registry.versions()[-3:] == ["v1.9.0", "v1.10.0", "v1.11.0"]


def test_a_registered_version_has_its_files_and_their_digests(registry: Registry) -> None:
    version = register(registry, weights="learned")

    assert (registry.folder(version) / "weights.txt").read_text(encoding="utf-8") == "learned"
    assert registry.manifest(version).files == {"weights.txt": sha256(b"learned").hexdigest()}


def test_a_versions_folder_has_its_name_and_contains_its_manifest(registry: Registry) -> None:
    folder = registry.folder(register(registry))

    assert folder.name == "v1.0.0"
    assert Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()) == registry.manifest("v1.0.0")


def test_a_manifest_is_registered_unchanged(registry: Registry) -> None:
    version = register(registry, metrics={"accuracy": 0.9}, temperature=1.7)

    stored = registry.manifest(version)

    expected = manifest(metrics={"accuracy": 0.9}, temperature=1.7, version=version, files=stored.files)
    assert stored == expected


def test_a_single_file_of_a_version_can_be_read(registry: Registry) -> None:
    version = register(registry, weights="learned")

    assert registry.read(version, "weights.txt") == b"learned"
    assert registry.read(version, "rows.json") is None


@pytest.mark.parametrize(
    "change", [lambda files, name: files.write(name, b"x"), Files.remove], ids=["changed", "gone"]
)
def test_a_file_that_was_changed_is_not_read(registry: Registry, files: Files, change: Any) -> None:
    version = register(registry)
    change(files, f"{version}/weights.txt")

    with pytest.raises(ModelCorrupt, match=r"weights\.txt changed since training"):
        registry.read(version, "weights.txt")


def test_the_index_has_the_fields_of_the_specification(registry: Registry, files: Files) -> None:
    register(registry, created_at=datetime(2025, 1, 15, 23, tzinfo=UTC), metrics={"accuracy": 0.89, "f1": 0.9})
    register(registry)

    assert index(files) == {
        "v1.0.0": {"date": "2025-01-15", "accuracy": 0.89, "dataset_size": 1000, "path": "models/v1.0.0/"},
        "v1.1.0": {"date": "2026-11-22", "accuracy": None, "dataset_size": 1000, "path": "models/v1.1.0/"},
    }


def test_the_index_counts_the_rows_given_and_marks_a_leaked_score(registry: Registry, files: Files) -> None:
    data = DataInfo(digest="", rows=400, texts=16, given=600, given_texts=20, leaked=100)
    register(registry, metrics={"accuracy": 0.93}, data=data)

    assert index(files)["v1.0.0"] == {
        "date": "2026-11-22",
        "accuracy": 0.93,
        "dataset_size": 600,
        "path": "models/v1.0.0/",
        "distinct_texts": 20,
        "leaked_test_rows": 100,
    }


@pytest.mark.parametrize(
    "damage", [Files.remove, lambda files, name: files.write(name, b"{")], ids=["gone", "broken"]
)
def test_a_lost_index_is_rebuilt(registry: Registry, files: Files, damage: Any) -> None:
    register(registry)
    damage(files, INDEX_FILE)
    register(registry)

    assert set(index(files)) == {"v1.0.0", "v1.1.0"}


@pytest.mark.parametrize("steps", range(8))
def test_an_interrupted_registration_leaves_a_whole_version_or_none(
    registry: Registry, files: Files, steps: int
) -> None:
    with interrupted(files, after=steps) as done, registry.staging() as folder:
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "weights.txt").write_text("half of it", encoding="utf-8")
        if steps < 7:
            with suppress(Interrupted):
                registry.register(folder, manifest())
        else:
            registry.register(folder, manifest())  # fails if a registration has more steps than these
    left = registry.versions()

    assert len(done) <= steps
    assert [registry.verify(version).version for version in left] == left
    assert register(registry, weights="all of it") == ("v1.1.0" if left else "v1.0.0")
    assert list(index(files)) == registry.versions()
    latest = registry.folder(registry.versions()[-1])
    assert sorted(path.name for path in latest.iterdir()) == [MANIFEST_FILE, "weights.txt"]


def test_a_folder_without_a_manifest_is_not_a_version(registry: Registry, files: Files) -> None:
    files.write("v7.0.0/weights.txt", b"")

    assert registry.versions() == []
    with pytest.raises(NoModel, match=r"v7\.0\.0"):
        registry.folder("v7.0.0")


def test_with_no_version_promoted_none_is_current(registry: Registry) -> None:
    with pytest.raises(NoModel, match=r"no current model in .*: run `triagem train .*`triagem start`"):
        registry.current()


def test_a_version_that_is_registered_but_not_current_is_named_with_the_command(registry: Registry) -> None:
    register(registry)
    register(registry)

    hint = r"v1\.1\.0 is registered but not current; `triagem models promote v1\.1\.0` runs the gate, with --force"
    with pytest.raises(NoModel, match=rf"no current model in .*: {hint} --reason"):
        registry.current()


def test_a_promoted_version_is_current(registry: Registry) -> None:
    version = register(registry)

    promoted = registry.promote(version)

    assert promoted == registry.current() == CurrentModel(version=version, epoch=1)


def test_going_back_is_a_promotion_with_a_later_epoch(registry: Registry) -> None:
    old, new = register(registry), register(registry)
    for version in (old, new, old):
        registry.promote(version)

    assert registry.current() == CurrentModel(version=old, epoch=3)


def test_an_unknown_version_cannot_be_promoted(registry: Registry) -> None:
    with pytest.raises(NoModel, match="triagem models list"):
        registry.promote("v1.0.0")


@pytest.mark.parametrize(
    "change", [lambda files, name: files.write(name, b"x"), Files.remove], ids=["changed", "gone"]
)
def test_a_version_with_a_changed_file_cannot_be_promoted(registry: Registry, files: Files, change: Any) -> None:
    good, bad = register(registry), register(registry)
    registry.promote(good)
    change(files, f"{bad}/weights.txt")

    with pytest.raises(ModelCorrupt, match=r"weights\.txt changed since training"):
        registry.promote(bad)
    assert registry.current() == CurrentModel(version=good, epoch=1)


def test_an_untouched_version_is_verified(registry: Registry) -> None:
    version = register(registry)

    assert registry.verify(version) == registry.manifest(version)


def test_a_copied_folder_cannot_be_promoted(registry: Registry, files: Files) -> None:
    version = register(registry)
    for name in ("weights.txt", MANIFEST_FILE):
        files.write(f"v2.0.0/{name}", files.read(f"{version}/{name}"))

    with pytest.raises(ModelCorrupt, match=r"belongs to v1\.0\.0"):
        registry.promote("v2.0.0")


@pytest.mark.parametrize("content", ["", "{", '{"version": "v1.0.0"}', '{"version": "../v1.0.0", "epoch": 1}'])
def test_a_broken_current_file_is_corrupt_not_absent(registry: Registry, files: Files, content: str) -> None:
    registry.promote(register(registry))
    files.write(CURRENT_FILE, content.encode())

    with pytest.raises(ModelCorrupt, match="current cannot be read"):
        registry.current()


def test_a_broken_manifest_is_corrupt(registry: Registry, files: Files) -> None:
    version = register(registry)
    files.write(f"{version}/{MANIFEST_FILE}", b"{}")

    with pytest.raises(ModelCorrupt, match=r"manifest\.json cannot be read"):
        registry.verify(version)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../v1.0.0", "v1.0.0/..", "/v1.0.0", "v1.0.0/", "v1.0.0\n", "v1.0", "1.0.0", "current"]
)
def test_an_invalid_version_name_never_becomes_a_path(registry: Registry, name: str) -> None:
    register(registry)

    with pytest.raises(InvalidInput, match="is not a version name"):
        registry.promote(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../weights", "/etc/passwd", "a/b", "a\\b"])
def test_a_manifest_never_names_a_file_outside_its_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a plain file name"):
        manifest(files={name: "0" * 64})
