"""Prepares the inputs of a training: the parent version, and an audited and split data folder.

No torch; writes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import DataInfo, Manifest
from triagem.contracts.text import digest
from triagem.registry import Registry
from triagem.registry.records import read_rows
from triagem.trainer.data.audit import Audit, audit, refuse_leaks
from triagem.trainer.data.columns import reading_rules
from triagem.trainer.data.near_duplicates import distinct_rows
from triagem.trainer.data.rows import Corpus, load, rows_digest
from triagem.trainer.data.split import CALIBRATION_TEXTS, CALIBRATION_TEXTS_OR_FOLDS, split
from triagem.trainer.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Digests of the texts that versions have seen.

    `learned` covers one version and its ancestors; the other fields cover all versions.
    """

    tested: frozenset[str]
    trained: frozenset[str]
    learned: frozenset[str]


def read_history(registry: Registry, parent: str | None = None) -> RowHistory:
    """Read each version's digests; a version without the file is skipped.

    A version with leaked test rows is ignored for the test part: its scores are invalid, so no version is compared
    with it, and its training rows may become test rows. Its training rows count if it is an ancestor.

    Args:
        parent: the version to fine-tune from.

    Raises:
        ModelCorrupt: a file exists and cannot be read.
    """
    versions = registry.versions()
    known = {version: rows for version in versions if (rows := read_rows(registry, version))}
    ancestors = []
    while parent in versions:
        ancestors.append(parent)
        parent = registry.manifest(parent).parent
    compared = [rows for version, rows in known.items() if not registry.manifest(version).data.leaked]
    return RowHistory(
        tested=frozenset().union(*(rows.test for rows in compared)),
        trained=frozenset().union(*(rows.train + rows.dev + rows.calibration for rows in compared)),
        learned=frozenset().union(*(known[version].train for version in ancestors if version in known)),
    )


@dataclass(frozen=True, slots=True)
class Parent:
    """A registered version to fine-tune from. `learned`: digests of all its and its ancestors' training texts."""

    folder: Path
    manifest: Manifest
    learned: frozenset[str]

    def has_learned(self, text: str) -> bool:
        """Whether this version or an ancestor was trained on the clean text.

        If so, the confidence for this text cannot be used for calibration.
        """
        return digest(text).hex() in self.learned


def read_parent(registry: Registry, version: str) -> Parent:
    """A version to fine-tune from, its files verified. Raises NoModel, InvalidInput or ModelCorrupt."""
    manifest = registry.verify(version)
    if manifest.pooling != "first":
        raise InvalidInput(
            f"{version} has only a trained head: fine-tune its base instead, with --base {manifest.base}"
        )
    return Parent(registry.folder(version), manifest, read_history(registry, version).learned)


def merge_labels(parent: Parent | None, labels: Iterable[str]) -> tuple[str, ...]:
    """The parent's labels in their order, followed by the new labels of the data.

    Raises:
        InvalidInput: the data lack a label of the parent; the new version would silently forget this label.
    """
    parent_labels = parent.manifest.labels if parent else ()
    labels = list(labels)
    if parent and (missing := [label for label in parent_labels if label not in labels]):
        raise InvalidInput(
            f"no training row has the label {', '.join(missing)}, which {parent.manifest.version} knows: add some, "
            "or train without --from"
        )
    return (*parent_labels, *(label for label in labels if label not in parent_labels))


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The notes on reading the rows, the audit, and the four parts."""

    reading_notes: tuple[str, ...]
    audit: Audit
    parts: Corpus

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on labels, rows and split, one line each."""
        return (*self.reading_notes, *self.audit.lines(), *self.parts.notes)

    @property
    def info(self) -> DataInfo:
        """The version manifest's record of its rows."""
        test = self.audit.leaks.get("test")
        return DataInfo(
            digest=rows_digest(self.parts.train),
            rows=len(self.parts.train),
            texts=len(distinct_rows(self.parts.train)),
            given=self.audit.given,
            given_texts=self.audit.given_texts,
            leaked=len(test.places) if test else 0,
        )


def prepare(
    source: Path,
    registry: Registry,
    settings: TrainSettings,
    *,
    parent: str | None = None,
    allow_leakage: bool = False,
    own: Mapping[str, str] = MappingProxyType({}),
    on_audit: Callable[[Corpus, Audit], None] = lambda _, __: None,
) -> PreparedData:
    """Read `source`, a data folder or a file of training rows, audit it, and split it.

    The split takes into account which rows the registry's versions have seen.

    Args:
        parent: the version to fine-tune from.
        allow_leakage: continue although test rows are training rows or near-duplicates of them.
        own: labels by ticket that only Triagem has set: the rows with them are left out.
        on_audit: called with the findings before the rows are split, which may fail.

    Raises:
        InvalidInput: the rows cannot be used, or test rows leak into the training rows.
    """
    known_labels = registry.manifest(parent).labels if parent else registry.current_labels()
    corpus = load(source, settings.labels, known_labels=known_labels, rules=reading_rules(settings, own))
    audited = audit(corpus)
    on_audit(corpus, audited)
    if not allow_leakage:
        refuse_leaks(audited)
    seen = read_history(registry, parent)
    parts = split(
        corpus,
        seed=settings.seed,
        min_calibration_texts=CALIBRATION_TEXTS if settings.folds < 2 else CALIBRATION_TEXTS_OR_FOLDS,
        tested=seen.tested,
        trained=seen.trained,
        learned=seen.learned,
    )
    return PreparedData(corpus.notes, audited, parts)
