"""Archives old versions by rule: deletes their weights and keeps their records. Pure.

The records are the manifest, the digests of the rows, the predictions and the report. The gate and later trainings
read them: for example, a row that was once a test row stays one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import (
    ARCHIVED_FILE,
    CURRENT_PREDICTIONS_FILE,
    HTML_REPORT_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ROWS_FILE,
    Manifest,
)

_RECORDS: Final = frozenset({ROWS_FILE, PREDICTIONS_FILE, REPORT_FILE, HTML_REPORT_FILE})
_PREDICTIONS_OF: Final = CURRENT_PREDICTIONS_FILE.partition("{")[0]
_ARCHIVED: Final = TypeAdapter(dict[str, datetime])


@dataclass(frozen=True, slots=True)
class ArchiveDecision:
    """Whether a version is archived; `kept_for` says why it is not."""

    version: str
    kept_for: str | None


def decide_archive(
    versions: Sequence[str], archived: Iterable[str], in_use: Mapping[str, str], keep: int
) -> list[ArchiveDecision]:
    """The decision on each version that has its weights.

    Args:
        versions: all versions, oldest number first.
        in_use: versions that must be kept, and why.
        keep: the number of newest versions that are kept.
    """
    newest = dict.fromkeys(versions[-keep:], f"one of the {keep} newest")
    kept, gone = {**newest, **in_use}, frozenset(archived)
    return [ArchiveDecision(version, kept.get(version)) for version in versions if version not in gone]


def deleted_files(manifest: Manifest) -> list[str]:
    """The files that archiving deletes: weights and tokenizer."""
    return [name for name in manifest.files if name not in _RECORDS and not name.startswith(_PREDICTIONS_OF)]


def read_archived(content: bytes, registry: str) -> dict[str, datetime]:
    """The archived versions, and when each was archived."""
    try:
        return _ARCHIVED.validate_json(content) if content else {}
    except ValidationError as error:
        raise ModelCorrupt(f"{registry}/{ARCHIVED_FILE} cannot be read: restore it") from error


def format_archived(archived: Mapping[str, datetime]) -> bytes:
    """The content of the file that `read_archived` reads."""
    return _ARCHIVED.dump_json(dict(archived), indent=2) + b"\n"


def refuse_archived(version: str, archived: Mapping[str, datetime]) -> None:
    """Raise NoModel if the version is archived."""
    if at := archived.get(version):
        raise NoModel(f"{version} was archived on {at:%Y-%m-%d} and has no weights: choose another version or train")
