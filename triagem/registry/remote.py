"""Remote registry backend for any fsspec store (s3://, gs://, memory://, …), with verified copies in a local cache.

Object stores have no rename and no lock. So the manifest of a version is uploaded last: the version does not exist
before it is complete. Only one process at a time may register or promote. `current` is one object, written in one
request.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from triagem.contracts.errors import InvalidInput, MissingExtra, ModelCorrupt, RegistryUnavailable, TriagemError
from triagem.contracts.model import MANIFEST_FILE, Manifest, folder_digests
from triagem.contracts.temporary_folder import temporary_folder


class RemoteBackend:
    """An fsspec store with the methods of `triagem.registry.local.LocalBackend`; `name` lacks a password in the URL.

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
            raise RegistryUnavailable(f"{self.name}: {type(error).__name__}: {reason}") from error


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
