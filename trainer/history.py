"""What the registry's versions learned from and were tested on, as digests of the texts: their `rows.json`."""

from dataclasses import dataclass

from pydantic import ValidationError

from triagem.contracts.errors import ModelCorrupt
from triagem.contracts.model import ROWS_FILE, Rows
from triagem.registry import Registry


@dataclass(frozen=True, slots=True)
class History:
    """For `triagem.trainer.split`. `learned` is of one version and its ancestors, the others of all versions."""

    tested: frozenset[str]
    trained: frozenset[str]
    learned: frozenset[str]


def history(registry: Registry, parent: str | None = None) -> History:
    """Read each version's rows; a version without the file, made by an earlier Triagem, says nothing.

    Args:
        parent: the version that the next one starts from.

    Raises:
        ModelCorrupt: a file is there and cannot be read.
    """
    versions = registry.versions()
    known = {version: rows for version in versions if (rows := _rows(registry, version))}
    line = []
    while parent in versions:
        line.append(parent)
        parent = registry.manifest(parent).parent
    return History(
        tested=frozenset().union(*(rows.test for rows in known.values())),
        trained=frozenset().union(*(rows.train + rows.dev + rows.calibration for rows in known.values())),
        learned=frozenset().union(*(known[version].train for version in line if version in known)),
    )


def _rows(registry: Registry, version: str) -> Rows | None:
    content = registry.read(version, ROWS_FILE)
    try:
        return None if content is None else Rows.model_validate_json(content)
    except ValidationError:
        raise ModelCorrupt(f"{ROWS_FILE} of {version} cannot be read: train again") from None
