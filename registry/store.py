"""Model versions on disk: `<root>/<version>/` with its manifest, the seed's index, and the file `current`.

A version is written once and never changed. Going back is moving `current`; each move raises the epoch.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import InvalidInput, ModelCorrupt, NoModel
from contracts.model import CURRENT_FILE, INDEX_FILE, MANIFEST_FILE, VERSION_PATTERN, CurrentModel, Manifest

FIRST_VERSION: Final = "v1.0.0"


class RegistrySettings(BaseSettings):
    """`TRIAGEM_REGISTRY_URL`: a folder, as a path or a `file://` URL."""

    model_config = SettingsConfigDict(env_prefix="TRIAGEM_", env_file=".env", extra="ignore")

    registry_url: str = "./models"


class IndexRow(BaseModel):
    """One row of `model_versions.json`, with the seed document's fields."""

    date: str
    accuracy: float | None
    dataset_size: int
    path: str


_INDEX: Final = TypeAdapter(dict[str, IndexRow])


class Registry:
    """A folder of model versions."""

    def __init__(self, url: str | Path) -> None:
        parts = urlsplit(str(url))
        if "://" in str(url) and parts.scheme != "file":
            raise InvalidInput(f"TRIAGEM_REGISTRY_URL: {parts.scheme}:// is not supported, use a folder")
        self.root = Path(unquote(parts.path) if parts.scheme == "file" else url).absolute()

    def versions(self) -> list[str]:
        """All registered versions, oldest number first."""
        found = [path.parent.name for path in self.root.glob(f"*/{MANIFEST_FILE}")]
        return sorted((name for name in found if re.fullmatch(VERSION_PATTERN, name)), key=_numbers)

    def folder(self, version: str) -> Path:
        """Where a version lies. Raises NoModel if it is not registered, InvalidInput if it is no version name."""
        if not re.fullmatch(VERSION_PATTERN, version):
            raise InvalidInput(f"{version!r} is no version name, expected one like {FIRST_VERSION}")
        folder = self.root / version
        if not (folder / MANIFEST_FILE).is_file():
            raise NoModel(f"no model version {version} in {self.root}: `triagem models list` shows what there is")
        return folder

    def manifest(self, version: str) -> Manifest:
        """A version's manifest. Raises ModelCorrupt if it cannot be read."""
        path = self.folder(version) / MANIFEST_FILE
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ModelCorrupt(f"{path} cannot be read ({type(error).__name__}): train again") from error
        if manifest.version != version:  # a copied folder
            raise ModelCorrupt(f"{path} is of {manifest.version}: remove the folder, versions cannot be copied")
        return manifest

    def verify(self, version: str) -> Manifest:
        """The manifest, after checking each file's SHA-256. Raises ModelCorrupt naming what was changed or added."""
        folder, manifest = self.folder(version), self.manifest(version)
        if changed := manifest.changed(digests(folder)):
            raise ModelCorrupt(f"{folder}: {', '.join(changed)} changed since training: restore it or train again")
        return manifest

    def current(self) -> CurrentModel:
        """The version that workers should run. Raises NoModel if none was promoted."""
        try:
            return CurrentModel.model_validate_json((self.root / CURRENT_FILE).read_bytes())
        except FileNotFoundError:
            raise NoModel(f"no current model in {self.root}: run `triagem train DATA_DIR`") from None
        except (OSError, ValidationError) as error:
            raise ModelCorrupt(f"{self.root / CURRENT_FILE} cannot be read ({type(error).__name__})") from error

    def promote(self, version: str) -> CurrentModel:
        """Make a version current (also to go back), raising the epoch. The files are verified first."""
        self.verify(version)
        with self._lock():
            try:
                epoch = self.current().epoch + 1
            except NoModel:
                epoch = 1
            current = CurrentModel(version=version, epoch=epoch)
            _write(self.root / CURRENT_FILE, current.model_dump_json())
        return current

    def register(self, staged: Path, manifest: Manifest) -> Manifest:
        """Move a staged folder in as the next version and return its manifest, with version and digests filled in.

        `staged` must lie on the registry's file system (see `staging`); the version appears whole or not at all.
        """
        with self._lock():
            version = self._next_version()
            manifest = manifest.model_copy(update={"version": version, "files": digests(staged)})
            _write(staged / MANIFEST_FILE, manifest.model_dump_json(indent=2))
            staged.chmod(0o755)
            staged.rename(self.root / version)
            self._index(manifest)
        return manifest

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to write a version's files into before `register`; removed if it was not registered."""
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _next_version(self) -> str:
        known = self.versions()
        if not known:
            return FIRST_VERSION
        major, minor, _ = _numbers(known[-1])
        return f"v{major}.{minor + 1}.0"

    def _index(self, manifest: Manifest) -> None:
        path = self.root / INDEX_FILE
        rows = _INDEX.validate_json(path.read_bytes()) if path.exists() else {}
        rows[manifest.version] = IndexRow(
            date=manifest.created_at.date().isoformat(),
            accuracy=manifest.metrics.get("accuracy"),
            dataset_size=manifest.data.rows,
            path=f"{self.root.name}/{manifest.version}/",
        )
        _write(path, _INDEX.dump_json(rows, indent=2).decode())

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def digest_of(path: Path) -> str | None:
    """A file's SHA-256 in hexadecimal, or None if there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def digests(folder: Path) -> dict[str, str]:
    """The digests of a folder's files, but for links that lead out of it: what they lead to was never trained."""
    inside = folder.resolve()
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.resolve().is_relative_to(inside)]
    return {path.name: digest for path in files if (digest := digest_of(path))}


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)


def _write(path: Path, text: str) -> None:
    """Write so that a reader sees the former content or the new one, also after a power loss."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
