"""The registered version that a new one is fine-tuned from: its folder, labels and the texts it learned. No torch.

`triagem.trainer.base_model` loads its weights.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import Manifest
from triagem.contracts.text import digest
from triagem.registry import Registry
from triagem.trainer.history import read_history


@dataclass(frozen=True, slots=True)
class Parent:
    """A registered version to fine-tune from. `learned`: digests of all its and its ancestors' training texts."""

    folder: Path
    manifest: Manifest
    learned: frozenset[str]

    def has_learned(self, text: str) -> bool:
        """Whether this version or an ancestor trained on the clean text; its confidence there is no evidence."""
        return digest(text).hex() in self.learned


def read_parent(registry: Registry, version: str) -> Parent:
    """A version to fine-tune from, its files verified. Raises NoModel, InvalidInput or ModelCorrupt."""
    manifest = registry.verify(version)
    return Parent(registry.folder(version), manifest, read_history(registry, version).learned)


def merge_labels(parent: Parent | None, labels: Iterable[str]) -> tuple[str, ...]:
    """The parent's labels in their order, then the new labels of the data in theirs.

    Raises:
        InvalidInput: the data lack a label of the parent; the new version would silently forget it.
    """
    parent_labels = parent.manifest.labels if parent else ()
    labels = list(labels)
    if parent and (missing := [label for label in parent_labels if label not in labels]):
        raise InvalidInput(
            f"no training row has the label {', '.join(missing)}, which {parent.manifest.version} knows: add some, "
            "or train without --from"
        )
    return (*parent_labels, *(label for label in labels if label not in parent_labels))
