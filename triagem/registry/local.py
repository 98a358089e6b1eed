"""Local registry backend: versions appear atomically by renaming a staged folder; a file lock serializes writers.

`triagem.registry.remote.RemoteBackend` has the same methods. A version exists as soon as its manifest exists.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from triagem.contracts.errors import RegistryUnavailable
from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.contracts.temporary_folder import temporary_folder


class LocalBackend:
    """Files in a local folder by name, such as `current` or `v1.0.0/manifest.json`."""

    def __init__(self, root: Path) -> None:
        self.work_dir = root.absolute()
        self.name = str(self.work_dir)  # for messages

    def versions(self) -> list[str]:
        """The names of all folders that hold a manifest, in any order."""
        return [path.parent.name for path in self.work_dir.glob(f"*/{MANIFEST_FILE}")]

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError."""
        try:
            return (self.work_dir / name).read_bytes()
        except NotADirectoryError as error:
            raise FileNotFoundError(name) from error

    def write(self, name: str, content: bytes) -> None:
        """Replace the file; even after a power loss it holds the previous content or the new one."""
        path = self.work_dir / name
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def delete(self, name: str) -> None:
        """Delete a file, if it exists. Raises RegistryUnavailable if this process may not."""
        try:
            (self.work_dir / name).unlink(missing_ok=True)
        except OSError as error:
            raise RegistryUnavailable(f"{self.name}/{name} cannot be deleted ({type(error).__name__})") from error

    def staging(self) -> AbstractContextManager[Path]:
        """A local folder to write a version's files into; removed at the end unless it was published."""
        return temporary_folder(".staging-", self.work_dir)

    def publish(self, staged: Path, manifest: Manifest) -> None:
        """Turn a staged folder, manifest included, into a version, completely or not at all."""
        for path in staged.iterdir():
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        staged.chmod(0o755)
        staged.rename(self.work_dir / manifest.version)

    def folder(self, version: str, manifest: bytes) -> Path:  # noqa: ARG002 - a remote backend needs it
        """A local folder with the version's files. `manifest` is the content of its manifest.json."""
        return self.work_dir / version

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from registering or promoting meanwhile."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with (self.work_dir / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
