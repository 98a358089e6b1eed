"""Local registry backend: versions appear atomically by renaming a staged folder; a file lock serializes writers."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.contracts.temporary_folder import temporary_folder


class LocalBackend:
    """A local folder as `triagem.registry.local.StorageBackend`."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def name(self) -> str:
        return str(self.root)

    @property
    def work_dir(self) -> Path:
        return self.root

    def versions(self) -> list[str]:
        return [path.parent.name for path in self.root.glob(f"*/{MANIFEST_FILE}")]

    def read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(name) from error

    def write(self, name: str, content: bytes) -> None:
        """Replace the file; even after a power loss it holds the previous content or the new one."""
        path = self.root / name
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def staging(self) -> AbstractContextManager[Path]:
        return temporary_folder(".staging-", self.root)

    def publish(self, staged: Path, manifest: Manifest) -> None:
        for path in staged.iterdir():
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        staged.chmod(0o755)
        staged.rename(self.root / manifest.version)

    def folder(self, version: str, manifest: bytes) -> Path:  # noqa: ARG002 - a remote backend needs it
        return self.root / version

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


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
