"""Storage backend interface of the registry. Two implementations: a local folder and a remote store."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from triagem.contracts.model import Manifest


class StorageBackend(Protocol):
    """Files by name, such as `current` or `v1.0.0/manifest.json`. A version exists as soon as its manifest does."""

    @property
    def name(self) -> str:
        """The location, for messages; without a password."""

    @property
    def work_dir(self) -> Path:
        """A local folder; see `Registry.work_dir`."""

    def versions(self) -> list[str]:
        """The names of all folders that hold a manifest, in any order."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file atomically: a reader sees the previous content or the new one."""

    def staging(self) -> AbstractContextManager[Path]:
        """A local folder to write a version's files into; removed at the end unless it was published."""

    def publish(self, staged: Path, manifest: Manifest) -> None:
        """Turn a staged folder, manifest included, into a version, completely or not at all."""

    def folder(self, version: str, manifest: bytes) -> Path:
        """A local folder with the version's files. `manifest` is the content of its manifest.json."""

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes from registering or promoting meanwhile, where the backend supports it."""
