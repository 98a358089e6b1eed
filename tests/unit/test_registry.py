"""Model versions as immutable folders, and which of them is current."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import InvalidInput, ModelCorrupt, NoModel
from contracts.model import CURRENT_FILE, INDEX_FILE, MANIFEST_FILE, CurrentModel
from registry import Registry
from tests.support.builders import manifest, register


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with no version yet."""
    return Registry(tmp_path / "models")


def index(registry: Registry) -> dict[str, Any]:
    """What the seed's index says."""
    found: dict[str, Any] = json.loads((registry.root / INDEX_FILE).read_text(encoding="utf-8"))
    return found


def weights(registry: Registry, version: str) -> Path:
    """The one file of a registered version."""
    return registry.folder(version) / "weights.txt"


def test_the_first_version_has_the_seeds_name(registry: Registry) -> None:
    assert register(registry) == "v1.0.0"


def test_each_version_takes_the_next_number(registry: Registry) -> None:
    assert [register(registry) for _ in range(12)][-1] == "v1.11.0"
    assert registry.versions()[-3:] == ["v1.9.0", "v1.10.0", "v1.11.0"]


def test_a_registered_version_has_its_files_and_their_digests(registry: Registry) -> None:
    version = register(registry, weights="learned")

    assert weights(registry, version).read_text(encoding="utf-8") == "learned"
    assert registry.manifest(version).files == {"weights.txt": sha256(b"learned").hexdigest()}


def test_what_is_registered_is_what_was_trained(registry: Registry) -> None:
    version = register(registry, metrics={"accuracy": 0.9}, temperature=1.7)

    stored = registry.manifest(version)

    expected = manifest(metrics={"accuracy": 0.9}, temperature=1.7, version=version, files=stored.files)
    assert stored == expected


def test_concurrent_registrations_get_distinct_versions(registry: Registry) -> None:
    with ThreadPoolExecutor(max_workers=8) as trainers:
        versions = list(trainers.map(lambda _: register(registry), range(16)))

    assert sorted(versions) == sorted({f"v1.{minor}.0" for minor in range(16)})
    assert set(index(registry)) == set(versions)


def test_the_index_has_the_seeds_fields(registry: Registry) -> None:
    register(registry, created_at=datetime(2025, 1, 15, 23, tzinfo=UTC), metrics={"accuracy": 0.89, "f1": 0.9})
    register(registry)

    assert index(registry) == {
        "v1.0.0": {"date": "2025-01-15", "accuracy": 0.89, "dataset_size": 1000, "path": "models/v1.0.0/"},
        "v1.1.0": {"date": "2026-11-22", "accuracy": None, "dataset_size": 1000, "path": "models/v1.1.0/"},
    }


def test_a_half_written_version_is_invisible(registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("half", encoding="utf-8")
        (folder / MANIFEST_FILE).write_text(manifest().model_dump_json(), encoding="utf-8")

        assert registry.versions() == []
        assert register(registry) == "v1.0.0"


def test_what_was_staged_and_not_registered_is_removed(registry: Registry) -> None:
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("half", encoding="utf-8")

    assert list(registry.root.iterdir()) == []


def test_a_folder_without_a_manifest_is_no_version(registry: Registry) -> None:
    (registry.root / "v7.0.0").mkdir(parents=True)

    assert registry.versions() == []
    with pytest.raises(NoModel, match=r"v7\.0\.0"):
        registry.folder("v7.0.0")


def test_with_no_version_promoted_none_is_current(registry: Registry) -> None:
    register(registry)

    with pytest.raises(NoModel, match="no current model"):
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


def test_concurrent_promotions_each_raise_the_epoch(registry: Registry) -> None:
    version = register(registry)
    with ThreadPoolExecutor(max_workers=8) as people:
        epochs = list(people.map(lambda _: registry.promote(version).epoch, range(16)))

    assert sorted(epochs) == list(range(1, 17))


def test_an_unknown_version_cannot_be_promoted(registry: Registry) -> None:
    with pytest.raises(NoModel, match="triagem models list"):
        registry.promote("v1.0.0")


@pytest.mark.parametrize("change", [lambda file: file.write_bytes(b"weightz"), Path.unlink], ids=["changed", "gone"])
def test_a_version_with_a_changed_file_cannot_be_promoted(registry: Registry, change: Any) -> None:
    good, bad = register(registry), register(registry)
    registry.promote(good)
    change(weights(registry, bad))

    with pytest.raises(ModelCorrupt, match=r"weights\.txt changed since training"):
        registry.promote(bad)
    assert registry.current() == CurrentModel(version=good, epoch=1)


def test_an_untouched_version_is_verified(registry: Registry) -> None:
    version = register(registry)

    assert registry.verify(version) == registry.manifest(version)


def test_a_copied_folder_is_no_version_of_its_own(registry: Registry) -> None:
    copy = registry.root / "v2.0.0"
    registry.folder(register(registry)).rename(copy)

    with pytest.raises(ModelCorrupt, match=r"is of v1\.0\.0"):
        registry.promote("v2.0.0")


@pytest.mark.parametrize("content", ["", "{", '{"version": "v1.0.0"}', '{"version": "../v1.0.0", "epoch": 1}'])
def test_a_broken_current_file_is_corrupt_not_absent(registry: Registry, content: str) -> None:
    registry.promote(register(registry))
    (registry.root / CURRENT_FILE).write_text(content, encoding="utf-8")

    with pytest.raises(ModelCorrupt, match="current cannot be read"):
        registry.current()


def test_a_broken_manifest_is_corrupt(registry: Registry) -> None:
    version = register(registry)
    (registry.folder(version) / MANIFEST_FILE).write_text("{}", encoding="utf-8")

    with pytest.raises(ModelCorrupt, match=r"manifest\.json cannot be read"):
        registry.verify(version)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../v1.0.0", "v1.0.0/..", "/v1.0.0", "v1.0.0/", "v1.0.0\n", "v1.0", "1.0.0", "current"]
)
def test_what_is_no_version_name_never_becomes_a_path(registry: Registry, name: str) -> None:
    register(registry)

    with pytest.raises(InvalidInput, match="is no version name"):
        registry.promote(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../weights", "/etc/passwd", "a/b", "a\\b"])
def test_a_manifest_never_names_a_file_outside_its_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a plain file name"):
        manifest(files={name: "0" * 64})


def test_a_registry_may_be_a_file_url(tmp_path: Path) -> None:
    root = tmp_path / "my models"

    assert Registry(root.as_uri()).root == Registry(str(root)).root == root


@pytest.mark.parametrize("url", ["s3://bucket/models", "https://example.com/models"])
def test_a_registry_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="is not supported, use a folder"):
        Registry(url)


def test_a_reader_never_sees_half_a_promotion(registry: Registry) -> None:
    version = register(registry)
    registry.promote(version)
    with ThreadPoolExecutor(max_workers=1) as other:
        promoting = other.submit(lambda: [registry.promote(version) for _ in range(50)])
        seen = []
        while not promoting.done():
            seen.append(registry.current().epoch)

    assert seen == sorted(seen)
