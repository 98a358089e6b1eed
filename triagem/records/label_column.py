"""Reads labels from a column of an export, in which the company's own words may stand for labels. Pure."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triagem.contracts.errors import InvalidInput


def parse_label_map(given: str | None) -> dict[str, str]:
    """The labels by value of `Comercial=venda,N1=suporte`; a value with a comma stands in double quotes.

    Raises:
        InvalidInput: a part is not `value=label`.
    """
    labels = {}
    for part in next(csv.reader([given or ""], skipinitialspace=True), []):
        value, _, label = part.rpartition("=")
        if not value.strip() or not label.strip():
            raise InvalidInput(f"--label-map {part!r}: expected value=label, such as Comercial=venda,N1=suporte")
        labels[value.strip()] = label.strip()
    return labels


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """The column that holds the labels. Without `labels` its values are labels; else only these values are."""

    column: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, row: Mapping[str, Any]) -> str | None:
        """The row's label; None if the cell is empty or not one of the values."""
        value = str(row.get(self.column) or "").strip()
        if not self.labels:
            return value or None
        folded = {known.casefold(): label for known, label in self.labels.items()}
        return folded.get(value.casefold())

    def require(self, columns: Sequence[str]) -> None:
        """Raise InvalidInput if a file with these columns lacks the column."""
        if self.column not in columns:
            raise InvalidInput(f"--label-column {self.column!r}: the file has {', '.join(columns)}")
