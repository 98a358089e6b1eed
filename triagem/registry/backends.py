"""Stores the files of a registry: in a local folder, or in any fsspec store (s3://, gs://, memory://, …).

A version exists as soon as its manifest exists. In a local folder a version appears atomically by renaming a staged
folder, and a file lock serializes writers. A remote store has verified copies in a local cache. Object stores have no
rename and no lock. So the manifest of a version is uploaded last: before, the version does not exist. Only one
process at a time may register or promote. `current` is one object, written in one request.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from triagem.contracts.errors import InvalidInput, MissingExtra, ModelCorrupt, RegistryUnavailable, TriagemError
from triagem.contracts.model import MANIFEST_FILE, Manifest, folder_digests
from triagem.contracts.temporary_folder import temporary_folder

T = TypeVar("T")

DEADLINE_S: Final = 10.0
_MAX_HANGING: Final = 8


class Deadline:
    """Runs each call in a daemon thread, because a thread stuck in the kernel cannot be interrupted."""

    def __init__(self, store: str) -> None:
        self._store, self._slots = store, BoundedSemaphore(_MAX_HANGING)

    def __call__(self, call: Callable[[], T]) -> T:
        """The result of the call.

        Raises RegistryUnavailable if the call takes too long; its thread then keeps running.
        """
        unavailable = RegistryUnavailable(f"{self._store} has not answered for {DEADLINE_S:g} s: check it")
        if not self._slots.acquire(blocking=False):
            raise unavailable
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised in the calling thread
                future.set_exception(error)
            finally:
                self._slots.release()

        Thread(target=run, name="registry", daemon=True).start()
        try:
            return future.result(DEADLINE_S)
        except TimeoutError:
            raise unavailable from None


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


class RemoteBackend:
    """An fsspec store with the methods of `LocalBackend`; `name` lacks a password in the URL.

    Copies are stored in `<cache>/<digest of the manifest>/<version>/`: keyed by content, so that versions of the same
    name in different registries are never confused.
    """

    def __init__(self, url: str, cache: Path) -> None:
        parts = urlsplit(url)
        self.name = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.work_dir = cache.expanduser().absolute()
        self._fs, root = _open_filesystem(url, self.name)
        self._root = root.rstrip("/")

    def versions(self) -> list[str]:
        with self._translated_errors():
            self._fs.invalidate_cache()
            paths = self._fs.find(self._root)
        parts = [str(path).removeprefix(self._root).strip("/").split("/") for path in paths]
        return [folder for folder, *rest in parts if rest == [MANIFEST_FILE]]

    def read(self, name: str) -> bytes:
        with self._translated_errors():
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        with self._translated_errors():
            self._fs.pipe_file(f"{self._root}/{name}", content)

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError), self._translated_errors():
            self._fs.rm_file(f"{self._root}/{name}")

    def staging(self) -> AbstractContextManager[Path]:
        return temporary_folder(".partial-", self.work_dir)

    def publish(self, staged: Path, manifest: Manifest) -> None:
        target = f"{self._root}/{manifest.version}"
        with self._translated_errors():
            if self._fs.exists(target):  # left by an interrupted upload
                self._fs.rm(target, recursive=True)
            self._fs.makedirs(target, exist_ok=True)
            for name in manifest.files:
                self._fs.put_file(str(staged / name), f"{target}/{name}")
            try:
                # A store that supports conditional writes refuses this if another process has registered the name
                # meanwhile.
                self._fs.pipe_file(f"{target}/{MANIFEST_FILE}", (staged / MANIFEST_FILE).read_bytes(), mode="create")
            except FileExistsError:
                raise InvalidInput(
                    f"{self.name}: {manifest.version} was registered by another process meanwhile and may mix both: "
                    "remove it, and register from one process at a time"
                ) from None

    def folder(self, version: str, manifest: bytes) -> Path:
        try:
            expected = Manifest.model_validate_json(manifest)
        except ValidationError as error:
            raise ModelCorrupt(f"{self.name}/{version}/{MANIFEST_FILE} cannot be read: train again") from error
        copy = self.work_dir / sha256(manifest).hexdigest() / version
        if copy.is_dir() and not expected.changed_files(folder_digests(copy)):
            return copy
        with self.staging() as folder:
            for name in expected.files:
                with suppress(FileNotFoundError), self._translated_errors():
                    self._fs.get_file(f"{self._root}/{version}/{name}", str(folder / name))
            (folder / MANIFEST_FILE).write_bytes(manifest)
            if changed_files := expected.changed_files(folder_digests(folder)):
                raise ModelCorrupt(f"{self.name}/{version}: {', '.join(changed_files)} changed since training")
            copy.parent.mkdir(parents=True, exist_ok=True)
            with self.staging() as damaged:  # several processes may do this at once: the first copy stays
                try:
                    folder.rename(copy)
                except OSError:  # the copy exists: another process made it first, or it is damaged
                    if folder_digests(copy) != folder_digests(folder):
                        copy.rename(damaged / "copy")
                        folder.rename(copy)
        return copy

    def lock(self) -> nullcontext[None]:
        return nullcontext()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, TriagemError):
            raise
        except Exception as error:  # each store's library has its own errors
            reason = str(error).partition("\n")[0]
            raise RegistryUnavailable(f"{self.name} failed ({type(error).__name__}: {reason})") from error


def _open_filesystem(url: str, name: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - producers do not install it
    except ModuleNotFoundError:
        raise MissingExtra(f"TRIAGEM_REGISTRY_URL={name} needs fsspec: pip install 'triagem[registry]'") from None
    try:
        fs, root = url_to_fs(url)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or "its library"
        raise MissingExtra(f"TRIAGEM_REGISTRY_URL={name} needs another library: pip install {missing}") from None
    except ValueError as error:
        raise InvalidInput(f"TRIAGEM_REGISTRY_URL: {error}") from None
    return fs, str(root)
