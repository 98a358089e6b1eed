"""What a version takes over from the one it is fine-tuned from: its labels, and which texts it knows. No torch.

Not here: its weights (`triagem.trainer.beginning`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triagem.contracts.errors import InvalidInput
from triagem.contracts.model import Manifest
from triagem.contracts.text import digest
from triagem.registry import Registry
from triagem.trainer.history import history


@dataclass(frozen=True, slots=True)
class Parent:
    """A registered version to go on from. `learned` are the digests of all that it and its ancestors trained on."""

    folder: Path
    manifest: Manifest
    learned: frozenset[str]

    def knows(self, text: str) -> bool:
        """Whether a clean text is one that it was trained on: its answer to that says nothing of its confidence."""
        return digest(text).hex() in self.learned


def parent_of(registry: Registry, version: str) -> Parent:
    """A version to go on from, its files checked. Raises NoModel, InvalidInput or ModelCorrupt."""
    manifest = registry.verify(version)
    return Parent(registry.folder(version), manifest, history(registry, version).learned)


def labels_after(parent: Parent | None, found: Iterable[str]) -> tuple[str, ...]:
    """The parent's labels in their order, then the new ones of the data in theirs.

    Raises:
        InvalidInput: the data lack a label of the parent, which would be forgotten in silence.
    """
    known = parent.manifest.labels if parent else ()
    found = list(found)
    if parent and (lacking := [label for label in known if label not in found]):
        raise InvalidInput(
            f"no training row is labelled {', '.join(lacking)}, as {parent.manifest.version} labels: add some, "
            "or train without --from"
        )
    return (*known, *(label for label in found if label not in known))
