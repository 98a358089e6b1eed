"""Files about all versions: the promotion log, the version index, and the list of archived versions. Pure.

`promotions.jsonl` has a line per promotion or rollback. `model_versions.json` is as in the original specification,
for people and their scripts. An archived version has no weights, but its records: manifest, digests of the rows,
predictions and report. The gate and later trainings read them: for example, a row that was a test row stays one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from triagem.contracts.errors import ModelCorrupt, NoModel
from triagem.contracts.model import (
    ARCHIVED_FILE,
    CURRENT_PREDICTIONS_FILE,
    HTML_REPORT_FILE,
    HTML_REPORT_PT_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    ROWS_FILE,
    CurrentModel,
    Manifest,
    Version,
)

FIRST_HEAD: Final = "the first version: everything is reviewed until its precision is proved"


class PromotionReason(BaseModel, frozen=True):
    """The reason for a change of the current version.

    `decision` is the gate's, `rollback`, or `ungated` if the gate was not run; `rule` is the gate's rule. `forced`:
    promoted although the gate rejected the version. `reason` is given by the person or the gate.
    """

    decision: Literal["promote", "reject", "rollback", "ungated"] = "ungated"
    rule: str | None = None
    forced: bool = False
    reason: str = ""


class Promotion(PromotionReason):
    """A line of the log. `previous` is the version that was current before; None in the first line."""

    at: datetime
    version: Version
    epoch: int
    previous: Version | None


def parse_log(content: bytes) -> list[Promotion]:
    """The log's lines, oldest first. Unreadable lines are skipped: the log must not block a rollback."""
    promotions = []
    for line in content.splitlines():
        try:
            promotions.append(Promotion.model_validate_json(line))
        except ValidationError:
            continue
    return promotions


def rollback_target(current: CurrentModel, log: Iterable[Promotion], versions: Sequence[str]) -> str | None:
    """The version a rollback returns to, out of the registered `versions`, or None.

    Works like a browser's back button over the versions that have been current: each rollback removes the current
    version from the trail. So a second rollback goes further back, and does not undo the first rollback.
    """
    trail: list[str] = []
    for promotion in promotions_in_effect(log, current):
        if promotion.previous is not None and (not trail or trail[-1] != promotion.previous):
            trail.append(promotion.previous)
        if promotion.decision == "rollback":
            while trail and trail.pop() != promotion.version:
                pass
        trail.append(promotion.version)
    return next((version for version in reversed(trail) if version in versions and version != current.version), None)


def promotions_in_effect(log: Iterable[Promotion], current: CurrentModel) -> list[Promotion]:
    """Drop lines whose promotion was interrupted before `current` changed: their epochs were assigned again."""
    by_epoch = {
        promotion.epoch: promotion
        for promotion in log
        if promotion.epoch < current.epoch or (promotion.version, promotion.epoch) == (current.version, current.epoch)
    }
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


class IndexRow(BaseModel):
    """A version's row, with the fields of the original specification and up to two additional fields.

    `dataset_size` counts the rows given, for training and test. `distinct_texts` counts their different texts.
    `leaked_test_rows` were also used for training, so the accuracy measures memorisation.
    """

    date: str
    accuracy: float | None
    dataset_size: int
    path: str
    distinct_texts: int | None = None
    leaked_test_rows: int = 0


_INDEX: Final = TypeAdapter(dict[str, IndexRow])


def parse_index(content: bytes) -> dict[str, IndexRow]:
    """The index's rows by version; empty if unreadable, because the manifests hold the same data."""
    try:
        return _INDEX.validate_json(content)
    except ValidationError:
        return {}


def add_versions(rows: dict[str, IndexRow], manifests: Iterable[Manifest], folder: str) -> bytes:
    """The index with more versions. `folder` is the name of the folder that contains them."""
    added = {
        manifest.version: IndexRow(
            date=manifest.created_at.date().isoformat(),
            accuracy=manifest.metrics.get("accuracy"),
            dataset_size=manifest.data.given or manifest.data.rows,
            path=f"{folder}/{manifest.version}/",
            distinct_texts=manifest.data.given_texts,
            leaked_test_rows=manifest.data.leaked,
        )
        for manifest in manifests
    }
    return _INDEX.dump_json(rows | added, indent=2, exclude_defaults=True) + b"\n"


_RECORDS: Final = frozenset({ROWS_FILE, PREDICTIONS_FILE, REPORT_FILE, HTML_REPORT_FILE, HTML_REPORT_PT_FILE})
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
    newest = dict.fromkeys(versions[-keep:], "the newest" if keep == 1 else f"one of the {keep} newest")
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
