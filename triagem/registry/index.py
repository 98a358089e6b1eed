"""`model_versions.json`: the seed document's index over the versions, for people and their scripts. Pure."""

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from triagem.contracts.model import Manifest


class IndexRow(BaseModel):
    """One row, with the seed's fields."""

    date: str
    accuracy: float | None
    dataset_size: int
    path: str


_INDEX: Final = TypeAdapter(dict[str, IndexRow])


def rows(content: bytes) -> dict[str, IndexRow]:
    """The index's rows by version; none if it cannot be read: the manifests say all of it again."""
    try:
        return _INDEX.validate_json(content)
    except ValidationError:
        return {}


def with_rows(known: dict[str, IndexRow], manifests: Iterable[Manifest], folder: str) -> bytes:
    """The index with more versions. `folder` is the name of the folder that they lie in."""
    added = {
        manifest.version: IndexRow(
            date=manifest.created_at.date().isoformat(),
            accuracy=manifest.metrics.get("accuracy"),
            dataset_size=manifest.data.rows,
            path=f"{folder}/{manifest.version}/",
        )
        for manifest in manifests
    }
    return _INDEX.dump_json(known | added, indent=2) + b"\n"
