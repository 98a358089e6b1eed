"""What a registry needs of the place where it keeps its files. Two places: a local folder, a remote store."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from triagem.contracts.model import Manifest


class Place(Protocol):
    """Files by name, as `current` or `v1.0.0/manifest.json`. A version exists as soon as its manifest does."""

    @property
    def name(self) -> str:
        """For messages; without a password."""

    @property
    def scratch(self) -> Path:
        """A local folder; see `Registry.scratch`."""

    def versions(self) -> list[str]:
        """The names of all folders that hold a manifest, in any order."""

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, so that a reader sees the former content or the new one."""

    def staging(self) -> AbstractContextManager[Path]:
        """A local folder to write a version's files into; removed at the end, unless it was published."""

    def publish(self, staged: Path, manifest: Manifest) -> None:
        """Make a staged folder, manifest included, a version; whole or not at all."""

    def folder(self, version: str, manifest: bytes) -> Path:
        """A local folder with the version's files. `manifest` is what lies there as manifest.json."""

    def lock(self) -> AbstractContextManager[None]:
        """Inside, no other process registers or promotes, where the place can keep it from doing so."""
