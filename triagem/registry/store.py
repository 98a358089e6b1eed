"""The registry: immutable model versions, the seed's index over them, the file `current`, and the log of promotions.

A version is written once and never changed. Going back is moving `current`; each move raises the epoch. Where the
files lie is the business of `triagem.registry.local` and `triagem.registry.remote`.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from triagem.contracts.errors import InvalidInput, ModelCorrupt, NoModel
from triagem.contracts.model import (
    CURRENT_FILE,
    INDEX_FILE,
    MANIFEST_FILE,
    PROMOTIONS_FILE,
    VERSION_PATTERN,
    CurrentModel,
    Manifest,
)
from triagem.registry import index
from triagem.registry.digests import digest_of, digests
from triagem.registry.local import LocalPlace
from triagem.registry.place import Place
from triagem.registry.promotions import Promotion, Why, before, parse
from triagem.registry.remote import RemotePlace
from triagem.registry.settings import RegistrySettings

__all__ = ["Registry", "digest_of", "digests"]

FIRST_VERSION: Final = "v1.0.0"


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Registry:
    """Model versions in a folder, or in a store that fsspec knows.

    Args:
        url: a path, a `file://` URL, or another, as `s3://bucket/models`.
        cache: where copies from a remote store are kept; default: the environment's.

    Raises:
        InvalidInput: no such kind of URL.
        MissingExtra: the library for such URLs is not installed.
    """

    def __init__(
        self, url: str | Path, *, cache: Path | None = None, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._clock = clock
        self._place: Place
        parts = urlsplit(str(url))
        if "://" in str(url) and parts.scheme != "file":
            self._place = RemotePlace(str(url), cache or RegistrySettings().registry_cache)
        else:
            self._place = LocalPlace(Path(unquote(parts.path) if parts.scheme == "file" else url))

    @property
    def root(self) -> Path:
        """The folder of a local registry. Raises InvalidInput for a remote one."""
        if isinstance(self._place, LocalPlace):
            return self._place.root
        raise InvalidInput(f"{self._place.name} is no folder")

    @property
    def scratch(self) -> Path:
        """A local folder for work that is not finished: the registry's own, or a remote one's cache."""
        return self._place.scratch

    def versions(self) -> list[str]:
        """All registered versions, oldest number first."""
        return sorted((name for name in self._place.versions() if re.fullmatch(VERSION_PATTERN, name)), key=_numbers)

    def folder(self, version: str) -> Path:
        """A local folder with a version's files; of a remote one a verified copy, downloaded once.

        Raises NoModel if it is not registered, InvalidInput if it is no version name.
        """
        return self._place.folder(version, self._read_manifest(version))

    def manifest(self, version: str) -> Manifest:
        """A version's manifest. Raises ModelCorrupt if it cannot be read."""
        content, where = self._read_manifest(version), f"{self._place.name}/{version}/{MANIFEST_FILE}"
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise ModelCorrupt(f"{where} cannot be read ({type(error).__name__}): train again") from error
        if manifest.version != version:  # a copied folder
            raise ModelCorrupt(f"{where} is of {manifest.version}: remove the folder, versions cannot be copied")
        return manifest

    def verify(self, version: str) -> Manifest:
        """The manifest, after checking each file's SHA-256. Raises ModelCorrupt naming what was changed or added."""
        folder, manifest = self.folder(version), self.manifest(version)
        if changed := manifest.changed(digests(folder)):
            raise ModelCorrupt(f"{folder}: {', '.join(changed)} changed since training: restore it or train again")
        return manifest

    def read(self, version: str, name: str) -> bytes | None:
        """One file of a version, verified, without the others; None if the version has none of that name.

        Raises ModelCorrupt if it is not what was registered.
        """
        expected = self.manifest(version).files.get(name)
        if expected is None:
            return None
        content = self._read(f"{version}/{name}")
        if sha256(content).hexdigest() != expected:
            raise ModelCorrupt(f"{self._place.name}/{version}: {name} changed since training: restore it")
        return content

    def current(self) -> CurrentModel:
        """The version that workers should run. Raises NoModel if none was promoted."""
        try:
            return CurrentModel.model_validate_json(self._place.read(CURRENT_FILE))
        except FileNotFoundError:
            raise NoModel(f"no current model in {self._place.name}: run `triagem train DATA_DIR`") from None
        except (OSError, ValidationError) as error:
            raise ModelCorrupt(
                f"{self._place.name}/{CURRENT_FILE} cannot be read ({type(error).__name__})"
            ) from error

    def promote(self, version: str, why: Why | None = None) -> CurrentModel:
        """Make a version current, raising the epoch, and note why. The files are verified first.

        Asks no gate: that is `triagem.registry.promote.through_gate`.
        """
        self.verify(version)
        with self._place.lock():
            return self._move(version, why or Why())

    def rollback(self, reason: str = "") -> CurrentModel:
        """Make the version current that was so before the present one; see `triagem.registry.promotions.before`.

        Raises NoModel if there was none.
        """
        with self._place.lock():
            current = self.current()
            version = before(current, self.promotions(), self.versions())
            if version is None:
                raise NoModel(f"no version was current before {current.version}: `triagem models list`")
            self.verify(version)
            return self._move(version, Why(decision="rollback", reason=reason))

    def promotions(self) -> list[Promotion]:
        """All promotions and rollbacks, oldest first."""
        return parse(self._read(PROMOTIONS_FILE))

    def register(self, staged: Path, manifest: Manifest) -> Manifest:
        """Publish a staged folder as the next version and return its manifest, with version and digests filled in.

        `staged` comes from `staging`; the version appears whole or not at all. Into a remote store one at a time
        registers.
        """
        with self._place.lock():
            manifest = manifest.model_copy(update={"version": self._next_version(), "files": digests(staged)})
            (staged / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
            self._place.publish(staged, manifest)
            self._index()
        return manifest

    def staging(self) -> AbstractContextManager[Path]:
        """A local folder to write a version's files into before `register`; removed if it was not registered."""
        return self._place.staging()

    def _read_manifest(self, version: str) -> bytes:
        if not re.fullmatch(VERSION_PATTERN, version):
            raise InvalidInput(f"{version!r} is no version name, expected one like {FIRST_VERSION}")
        try:
            return self._place.read(f"{version}/{MANIFEST_FILE}")
        except FileNotFoundError:
            where = self._place.name
            raise NoModel(
                f"no model version {version} in {where}: `triagem models list` shows what there is"
            ) from None
        except OSError as error:
            where = f"{self._place.name}/{version}/{MANIFEST_FILE}"
            raise ModelCorrupt(f"{where} cannot be read ({type(error).__name__}): train again") from error

    def _move(self, version: str, why: Why) -> CurrentModel:
        try:
            former: CurrentModel | None = self.current()
        except NoModel:
            former = None
        current = CurrentModel(version=version, epoch=former.epoch + 1 if former else 1)
        line = Promotion(
            **why.model_dump(),
            at=self._clock(),
            version=version,
            epoch=current.epoch,
            former=former.version if former else None,
        )
        # The log first: a line without its promotion is seen as such, a promotion without its line is a riddle.
        log = self._read(PROMOTIONS_FILE)
        cut = b"" if not log or log.endswith(b"\n") else b"\n"
        self._place.write(PROMOTIONS_FILE, log + cut + line.model_dump_json().encode() + b"\n")
        self._place.write(CURRENT_FILE, current.model_dump_json().encode() + b"\n")
        return current

    def _next_version(self) -> str:
        known = self.versions()
        if not known:
            return FIRST_VERSION
        major, minor, _ = _numbers(known[-1])
        return f"v{major}.{minor + 1}.0"

    def _index(self) -> None:
        """Add what the index lacks: the new version, and any whose registration was cut off just before this."""
        known = index.rows(self._read(INDEX_FILE))
        found = []
        for version in self.versions():
            if version not in known:
                with suppress(ModelCorrupt):
                    found.append(self.manifest(version))
        folder = self._place.name.rstrip("/").rpartition("/")[2]
        self._place.write(INDEX_FILE, index.with_rows(known, found, folder))

    def _read(self, name: str) -> bytes:
        try:
            return self._place.read(name)
        except FileNotFoundError:
            return b""


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)
