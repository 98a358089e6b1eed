"""A registry in a remote store: verified copies in a local cache, and errors while the store is unavailable."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.builders import register
from tests.support.registries import Files
from triagem.contracts.errors import InvalidInput, MissingExtra, ModelCorrupt, RegistryUnavailable
from triagem.contracts.model import MANIFEST_FILE
from triagem.registry import Registry


@pytest.fixture
def files() -> Files:
    """The registry's files."""
    return Files("memory://bucket/models")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def registry(files: Files, cache: Path, empty_memory: None) -> Registry:
    """A registry with v1.0.0, current."""
    registry = Registry(files.url, cache=cache)
    registry.promote(register(registry))
    return registry


def unavailable(*_: Any, **__: Any) -> None:
    raise ConnectionError("nobody answers")


def test_a_copy_is_downloaded_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    first = registry.folder("v1.0.0")
    monkeypatch.setattr(MemoryFileSystem, "get_file", unavailable)

    assert registry.folder("v1.0.0") == first


def test_another_process_finds_the_copy(registry: Registry, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = registry.folder("v1.0.0")
    monkeypatch.setattr(MemoryFileSystem, "get_file", unavailable)

    assert Registry("memory://bucket/models", cache=cache).folder("v1.0.0") == first


def test_equal_version_names_in_two_registries_do_not_collide_in_the_cache(registry: Registry, cache: Path) -> None:
    own = registry.folder("v1.0.0") / "weights.txt"
    other = Registry("memory://elsewhere/models", cache=cache)
    register(other, weights="other weights")

    assert (other.folder("v1.0.0") / "weights.txt").read_text(encoding="utf-8") == "other weights"
    assert own.read_text(encoding="utf-8") == "weights"


def test_a_damaged_copy_is_downloaded_again(registry: Registry) -> None:
    weights = registry.folder("v1.0.0") / "weights.txt"
    weights.write_text("damaged", encoding="utf-8")

    assert registry.folder("v1.0.0") == weights.parent
    assert weights.read_text(encoding="utf-8") == "weights"


def test_a_file_changed_in_the_store_never_becomes_a_copy(registry: Registry, files: Files, cache: Path) -> None:
    version = register(registry)
    files.write(f"{version}/weights.txt", b"other weights")

    with pytest.raises(ModelCorrupt, match=r"memory://bucket/models/v1\.1\.0: weights\.txt changed"):
        registry.folder(version)
    assert not list(cache.glob(f"*/{version}"))


def test_a_file_added_in_the_store_is_not_downloaded(registry: Registry, files: Files) -> None:
    version = register(registry)
    files.write(f"{version}/pytorch_model.bin", b"a pickle")

    assert sorted(path.name for path in registry.folder(version).iterdir()) == [MANIFEST_FILE, "weights.txt"]


def test_several_processes_may_fetch_the_same_version_at_once(
    registry: Registry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In fsspec's memory store all readers of a file share one cursor, unlike in a real store.
    lock, get_file = Lock(), MemoryFileSystem.get_file

    def get_file_locked(store: MemoryFileSystem, *arguments: str) -> None:
        with lock:
            get_file(store, *arguments)

    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file_locked)
    version = register(registry, weights="w" * 100_000)
    with ThreadPoolExecutor(max_workers=8) as workers:
        folders = set(
            workers.map(lambda _: Registry("memory://bucket/models", cache=cache).folder(version), range(16))
        )

    assert len(folders) == 1
    assert registry.verify(version).version == version
    assert not list(cache.glob(".partial-*"))


def test_an_interrupted_download_leaves_no_copy(
    registry: Registry, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = register(registry)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", unavailable)
        with pytest.raises(RegistryUnavailable, match=r"bucket/models failed \(ConnectionError: nobody answers\)"):
            registry.folder(version)

    assert not list(cache.glob(f"*/{version}"))
    assert registry.verify(version).version == version


@pytest.mark.parametrize("call", [Registry.current, Registry.versions, Registry.rollback])
def test_a_store_that_does_not_answer_is_unavailable_not_empty(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    for name in ("cat_file", "find"):
        monkeypatch.setattr(MemoryFileSystem, name, unavailable)

    with pytest.raises(RegistryUnavailable, match="nobody answers"):
        call(registry)


def test_a_version_name_that_another_process_registered_is_not_reused(
    registry: Registry, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = MemoryFileSystem.put_file

    def put_then_register_elsewhere(*arguments: Any, **options: Any) -> None:
        put_file(*arguments, **options)
        files.write(f"v1.1.0/{MANIFEST_FILE}", b"{}")

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_then_register_elsewhere)

    with pytest.raises(InvalidInput, match=r"v1\.1\.0 was registered by another process meanwhile"):
        register(registry)
    assert files.read(f"v1.1.0/{MANIFEST_FILE}") == b"{}"


def test_files_of_an_interrupted_upload_are_removed_by_the_next(registry: Registry, files: Files) -> None:
    files.write("v1.1.0/pytorch_model.bin", b"half of it")

    assert register(registry) == "v1.1.0"
    with pytest.raises(FileNotFoundError):
        files.read("v1.1.0/pytorch_model.bin")


def test_files_that_were_staged_but_not_registered_are_removed(registry: Registry, cache: Path) -> None:
    before = sorted(cache.iterdir())
    with registry.staging() as folder:
        (folder / "weights.txt").write_text("half", encoding="utf-8")

    assert sorted(cache.iterdir()) == before


def test_a_remote_registry_has_no_local_folder(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="is not a local folder"):
        _ = registry.root


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)

    with pytest.raises(MissingExtra, match=r"TRIAGEM_REGISTRY_URL=s3://bucket/models .* pip install s3fs"):
        Registry("s3://bucket/models", cache=cache)


def test_an_unknown_kind_of_url_is_refused(cache: Path) -> None:
    with pytest.raises(InvalidInput, match="TRIAGEM_REGISTRY_URL: Protocol not known: s4"):
        Registry("s4://bucket/models", cache=cache)


def test_no_message_holds_a_password(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)

    with pytest.raises(MissingExtra) as caught:
        Registry("s3://me:secret@bucket/models", cache=cache)
    assert "secret" not in str(caught.value)


def test_the_cache_folder_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty_memory: None
) -> None:
    monkeypatch.setenv("TRIAGEM_REGISTRY_CACHE", str(tmp_path / "mine"))
    registry = Registry("memory://bucket/models")

    assert registry.folder(register(registry)).is_relative_to(tmp_path / "mine")
