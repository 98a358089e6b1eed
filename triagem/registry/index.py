"""Version index `model_versions.json`, as in the original specification, for people and their scripts. Pure."""

from collections.abc import Iterable
from typing import Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from triagem.contracts.model import Manifest


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
