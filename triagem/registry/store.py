"""Model registry: immutable versions, the version index, the file `current`, and the promotion log.

A version is written once and never changed. A rollback moves `current`; each move raises the epoch.
`triagem.registry.backends` stores the files.
"""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import ValidationError

from triagem.contracts.errors import InvalidInput, ModelCorrupt, NoModel
from triagem.contracts.model import (
    ARCHIVED_FILE,
    CURRENT_FILE,
    INDEX_FILE,
    MANIFEST_FILE,
    PROMOTIONS_FILE,
    VERSION_PATTERN,
    CurrentModel,
    Manifest,
    folder_digests,
)
from triagem.registry import history
from triagem.registry.backends import Deadline, LocalBackend, RemoteBackend
from triagem.registry.history import Promotion, PromotionReason
from triagem.registry.no_model import FIRST_STEP
from triagem.registry.settings import RegistrySettings

FIRST_VERSION: Final = "v1.0.0"


class Registry:
    """Model versions in a local folder or in an fsspec store.

    Args:
        url: a path, a `file://` URL, or an fsspec URL such as `s3://bucket/models`.
        cache: a folder for copies from a remote store; default: TRIAGEM_REGISTRY_CACHE.

    Raises:
        InvalidInput: an unknown kind of URL.
        MissingExtra: the library for such URLs is not installed.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        cache: Path | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._backend: LocalBackend | RemoteBackend
        parts = urlsplit(str(url))
        if "://" in str(url) and parts.scheme != "file":
            self._backend = RemoteBackend(str(url), cache or RegistrySettings().registry_cache)
        else:
            self._backend = LocalBackend(Path(unquote(parts.path) if parts.scheme == "file" else url))
        self._in_time = Deadline(self._backend.name)

    @property
    def root(self) -> Path:
        """The folder of a local registry. Raises InvalidInput for a remote one."""
        if isinstance(self._backend, LocalBackend):
            return self._backend.work_dir
        raise InvalidInput(f"{self._backend.name} is not a local folder")

    @property
    def work_dir(self) -> Path:
        """A local folder for unfinished work: the registry's own, or a remote registry's cache."""
        return self._backend.work_dir

    def versions(self) -> list[str]:
        """All registered versions, oldest number first."""
        return sorted(
            (name for name in self._backend.versions() if re.fullmatch(VERSION_PATTERN, name)), key=_numbers
        )

    def folder(self, version: str) -> Path:
        """A local folder with a version's files; for a remote registry a verified copy, downloaded once.

        Raises NoModel if it is not registered or is archived, InvalidInput if the name is not valid.
        """
        content = self._read_manifest(version)
        history.refuse_archived(version, self.archived())
        return self._backend.folder(version, content)

    def manifest(self, version: str) -> Manifest:
        """A version's manifest. Raises ModelCorrupt if it cannot be read."""
        content, where = self._read_manifest(version), f"{self._backend.name}/{version}/{MANIFEST_FILE}"
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise ModelCorrupt(f"{where} cannot be read ({type(error).__name__}): train again") from error
        if manifest.version != version:  # a copied folder
            raise ModelCorrupt(f"{where} belongs to {manifest.version}: remove the folder, versions cannot be copied")
        return manifest

    def manifest_digest(self, version: str) -> bytes:
        """SHA-256 of a version's manifest, which lists the digests of its other files."""
        return sha256(self._read_manifest(version)).digest()

    def verify(self, version: str) -> Manifest:
        """The manifest, after checking each file's SHA-256. Raises ModelCorrupt naming changed or added files."""
        folder, manifest = self.folder(version), self.manifest(version)
        if changed := manifest.changed_files(folder_digests(folder)):
            raise ModelCorrupt(f"{folder}: {', '.join(changed)} changed since training: restore it or train again")
        return manifest

    def read(self, version: str, name: str) -> bytes | None:
        """One verified file of a version; None if the version has no such file.

        Raises ModelCorrupt if it has changed since registration.
        """
        expected = self.manifest(version).files.get(name)
        if expected is None:
            return None
        content = self._read(f"{version}/{name}")
        if sha256(content).hexdigest() != expected:
            raise ModelCorrupt(f"{self._backend.name}/{version}: {name} changed since training: restore it")
        return content

    def current(self) -> CurrentModel:
        """The version that workers should run. Raises NoModel if none was promoted."""
        try:
            return CurrentModel.model_validate_json(self._in_time(lambda: self._backend.read(CURRENT_FILE)))
        except FileNotFoundError:
            gone = isinstance(self._backend, LocalBackend) and not self._backend.work_dir.exists()
            where = self._backend.name + (", which does not exist" if gone else "")
            raise NoModel(f"no current model in {where}: {self._next_step()}") from None
        except (OSError, ValidationError) as error:
            raise ModelCorrupt(
                f"{self._backend.name}/{CURRENT_FILE} cannot be read ({type(error).__name__})"
            ) from error

    def find_current(self) -> CurrentModel | None:
        """The version that workers should run; None if none was promoted."""
        with suppress(NoModel):
            return self.current()
        return None

    def current_labels(self) -> tuple[str, ...]:
        """The labels of the version that workers should run; none if no version was promoted."""
        current = self.find_current()
        return self.manifest(current.version).labels if current else ()

    def promote(self, version: str, reason: PromotionReason | None = None) -> CurrentModel:
        """Verify a version's files, make it current with a new epoch, and log the reason.

        Does not run the gate; `triagem.registry.promote.promote_through_gate` does.
        """
        self.verify(version)
        with self._backend.lock():
            return self._set_current(version, reason or PromotionReason())

    def rollback(self, reason: str = "") -> CurrentModel:
        """Return to the version that was current before; see `triagem.registry.history.rollback_target`.

        Raises NoModel if there was none.
        """
        with self._backend.lock():
            version = self.rollback_version()
            if version is None:
                raise NoModel(f"no version was current before {self.current().version}: `triagem models list`")
            self.verify(version)
            return self._set_current(version, PromotionReason(decision="rollback", reason=reason))

    def archived(self) -> dict[str, datetime]:
        """The archived versions, and when; see `triagem.registry.history`."""
        return history.read_archived(self._in_time(partial(self._read, ARCHIVED_FILE)), self._backend.name)

    def archive(self, version: str) -> None:
        """Delete a version's weights; repeatable. Raises InvalidInput if the version is current."""
        with self._backend.lock():
            if (current := self.find_current()) and current.version == version:
                raise InvalidInput(f"{version} is current: it cannot be archived")
            files = history.deleted_files(self.manifest(version))
            # The list first: a version that is not in it can be loaded.
            self._backend.write(ARCHIVED_FILE, history.format_archived({version: self._clock()} | self.archived()))
            for name in files:
                self._backend.delete(f"{version}/{name}")

    def rollback_version(self) -> str | None:
        """The version that a rollback would return to, if any."""
        loadable = [name for name in self.versions() if name not in self.archived()]
        return history.rollback_target(self.current(), self.promotions(), loadable)

    def promotions(self) -> list[Promotion]:
        """All promotions and rollbacks, oldest first."""
        return history.parse_log(self._read(PROMOTIONS_FILE))

    def register(
        self, staged: Path, manifest: Manifest, *, finish: Callable[[Manifest], None] = lambda _: None
    ) -> Manifest:
        """Publish a staged folder as the next version, and return its manifest with version and digests.

        `staged` comes from `staging`. The version appears completely or not at all. In a remote registry only one
        process at a time may register. A training job registers one version, however often it is repeated.

        Args:
            finish: writes files that name the version.
        """
        with self._backend.lock():
            if manifest.job and (registered := self.find_job(manifest.job)):
                return self.manifest(registered)
            manifest = manifest.model_copy(update={"version": self._next_version()})
            finish(manifest)
            manifest = manifest.model_copy(update={"files": folder_digests(staged)})
            (staged / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
            self._backend.publish(staged, manifest)
            self._update_index()
        return manifest

    def find_job(self, job: str) -> str | None:
        """The version that a training job has registered, if any."""
        for version in reversed(self.versions()):
            with suppress(ModelCorrupt):
                if self.manifest(version).job == job:
                    return version
        return None

    def staging(self) -> AbstractContextManager[Path]:
        """A local folder for a version's files before `register`; removed if it was not registered."""
        return self._backend.staging()

    def _read_manifest(self, version: str) -> bytes:
        if not re.fullmatch(VERSION_PATTERN, version):
            raise InvalidInput(f"{version!r} is not a version name, expected one like {FIRST_VERSION}")
        where, name = self._backend.name, f"{version}/{MANIFEST_FILE}"
        try:
            return self._in_time(partial(self._backend.read, name))
        except FileNotFoundError:
            hint = "`triagem models list` shows the registered versions"
            raise NoModel(f"no model version {version} in {where}: {hint}") from None
        except OSError as error:
            raise ModelCorrupt(f"{where}/{name} cannot be read ({type(error).__name__}): train again") from error

    def _next_step(self) -> str:
        """The next step without a current version."""
        if not (versions := self.versions()):
            return FIRST_STEP
        command = f"`triagem models promote {versions[-1]}`"
        return (
            f'{versions[-1]} is registered but not current; {command} runs the gate, with --force --reason "…" it '
            "promotes the version whatever the gate decides"
        )

    def _set_current(self, version: str, reason: PromotionReason) -> CurrentModel:
        previous = self.find_current()
        current = CurrentModel(version=version, epoch=previous.epoch + 1 if previous else 1)
        line = Promotion(
            **reason.model_dump(),
            at=self._clock(),
            version=version,
            epoch=current.epoch,
            previous=previous.version if previous else None,
        )
        # Write the log first: a line without a promotion is detected and ignored, but a promotion without a line
        # would have no recorded reason.
        log = self._read(PROMOTIONS_FILE)
        separator = b"" if not log or log.endswith(b"\n") else b"\n"
        self._backend.write(PROMOTIONS_FILE, log + separator + line.model_dump_json().encode() + b"\n")
        self._backend.write(CURRENT_FILE, current.model_dump_json().encode() + b"\n")
        return current

    def _next_version(self) -> str:
        if not (versions := self.versions()):
            return FIRST_VERSION
        major, minor, _ = _numbers(versions[-1])
        return f"v{major}.{minor + 1}.0"

    def _update_index(self) -> None:
        """Add missing versions to the index: the new one, and versions whose registration was interrupted here."""
        rows = history.parse_index(self._read(INDEX_FILE))
        manifests = []
        for version in self.versions():
            if version not in rows:
                with suppress(ModelCorrupt):
                    manifests.append(self.manifest(version))
        folder = self._backend.name.rstrip("/").rpartition("/")[2]
        self._backend.write(INDEX_FILE, history.add_versions(rows, manifests, folder))

    def _read(self, name: str) -> bytes:
        try:
            return self._backend.read(name)
        except FileNotFoundError:
            return b""


def _numbers(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.removeprefix("v").split(".")
    return int(major), int(minor), int(patch)
