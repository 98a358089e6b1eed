"""Model versions in any store that fsspec knows (s3://, gs://, memory://, …), with verified copies in a local cache.

An object store renames nothing and locks nothing: a version is uploaded with its manifest last, so that it does not
exist before it is whole, and there must be one registrar and promoter at a time. `current` is one object, put in one
request.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from triagem.contracts.errors import InvalidInput, MissingExtra, ModelCorrupt, RegistryAway, TriagemError
from triagem.contracts.model import MANIFEST_FILE, Manifest
from triagem.registry.digests import digests


class RemotePlace:
    """See `registry.place.Place`. Copies lie in `<cache>/<digest of the manifest>/<version>/`: by content, so that a
    version of the same name in another registry is never mistaken for this one."""

    def __init__(self, url: str, cache: Path) -> None:
        self._url, self.scratch = url, cache.expanduser().absolute()
        self._fs, root = _opened(url, self.name)
        self._root = root.rstrip("/")

    @property
    def name(self) -> str:
        parts = urlsplit(self._url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def versions(self) -> list[str]:
        with self._answering():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root)
        names = [str(path).removeprefix(self._root).strip("/").split("/") for path in found]
        return [name[0] for name in names if name[1:] == [MANIFEST_FILE]]

    def read(self, name: str) -> bytes:
        with self._answering():
            return bytes(self._fs.cat_file(f"{self._root}/{name}"))

    def write(self, name: str, content: bytes) -> None:
        with self._answering():
            self._fs.pipe_file(f"{self._root}/{name}", content)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        self.scratch.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.scratch))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staged: Path, manifest: Manifest) -> None:
        target = f"{self._root}/{manifest.version}"
        with self._answering():
            if self._fs.exists(target):  # what an interrupted upload left
                self._fs.rm(target, recursive=True)
            self._fs.makedirs(target, exist_ok=True)
            for name in manifest.files:
                self._fs.put_file(str(staged / name), f"{target}/{name}")
            try:
                # Refused by stores that can, if somebody else took the name meanwhile.
                self._fs.pipe_file(f"{target}/{MANIFEST_FILE}", (staged / MANIFEST_FILE).read_bytes(), mode="create")
            except FileExistsError:
                raise InvalidInput(
                    f"{self.name}: {manifest.version} was registered by somebody else meanwhile and may be mixed: "
                    "remove it, and let one at a time register"
                ) from None

    def folder(self, version: str, manifest: bytes) -> Path:
        try:
            expected = Manifest.model_validate_json(manifest)
        except ValidationError as error:
            raise ModelCorrupt(f"{self.name}/{version}/{MANIFEST_FILE} cannot be read: train again") from error
        copy = self.scratch / sha256(manifest).hexdigest() / version
        if copy.is_dir() and not expected.changed(digests(copy)):
            return copy
        with self.staging() as folder:
            for name in expected.files:
                with suppress(FileNotFoundError), self._answering():
                    self._fs.get_file(f"{self._root}/{version}/{name}", str(folder / name))
            (folder / MANIFEST_FILE).write_bytes(manifest)
            if changed := expected.changed(digests(folder)):
                raise ModelCorrupt(f"{self.name}/{version}: {', '.join(changed)} changed since training")
            self._keep(folder, copy)
        return copy

    def lock(self) -> nullcontext[None]:
        return nullcontext()

    def _keep(self, folder: Path, copy: Path) -> None:
        """Several processes may do this at once: the first one's copy stays, they are alike."""
        copy.parent.mkdir(parents=True, exist_ok=True)
        with self.staging() as damaged:
            try:
                folder.rename(copy)
            except OSError:  # it is there: another process was first, or it is a damaged one
                if digests(copy) != digests(folder):
                    copy.rename(damaged / "copy")
                    folder.rename(copy)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, TriagemError):
            raise
        except Exception as error:  # each store's library has errors of its own
            raise RegistryAway(f"{self.name}: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _opened(url: str, name: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - a producer has none of it
    except ModuleNotFoundError:
        raise MissingExtra(f"TRIAGEM_REGISTRY_URL={name} needs fsspec: pip install 'triagem[registry]'") from None
    try:
        fs, root = url_to_fs(url)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or "its library"
        raise MissingExtra(f"TRIAGEM_REGISTRY_URL={name} needs a library of its own: pip install {missing}") from None
    except ValueError as error:
        raise InvalidInput(f"TRIAGEM_REGISTRY_URL: {error}") from None
    return fs, str(root)
