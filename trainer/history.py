"""Reads which texts the registry's versions were trained and tested on, as digests, from their `rows.json`."""

from dataclasses import dataclass

from pydantic import ValidationError

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, SplitDigests
from triagem.registry import Registry


@dataclass(frozen=True, slots=True)
class RowHistory:
    """Text digests for `triagem.trainer.split`; `learned` is of one version and its ancestors, the others of all."""

    tested: frozenset[str]
    trained: frozenset[str]
    learned: frozenset[str]


def read_history(registry: Registry, parent: str | None = None) -> RowHistory:
    """Read each version's digests; a version without the file, from an earlier release, is skipped.

    Args:
        parent: the version to fine-tune from.

    Raises:
        ModelCorrupt: a file exists and cannot be read.
    """
    versions = registry.versions()
    known = {version: rows for version in versions if (rows := _rows(registry, version))}
    ancestors = []
    while parent in versions:
        ancestors.append(parent)
        parent = registry.manifest(parent).parent
    return RowHistory(
        tested=frozenset().union(*(rows.test for rows in known.values())),
        trained=frozenset().union(*(rows.train + rows.dev + rows.calibration for rows in known.values())),
        learned=frozenset().union(*(known[version].train for version in ancestors if version in known)),
    )


def _rows(registry: Registry, version: str) -> SplitDigests | None:
    content = registry.read(version, ROWS_FILE)
    try:
        return None if content is None else SplitDigests.model_validate_json(content)
    except ValidationError:
        raise ModelCorrupt(f"{ROWS_FILE} of {version} cannot be read: train again") from None
