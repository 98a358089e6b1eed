"""Format values as CSV cells that no spreadsheet runs as a formula."""

from datetime import datetime
from typing import Any, Final

# First characters of a formula in Excel, Calc and Sheets, also full-width (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def csv_cell(value: Any) -> Any:
    """A value for `csv.writer`: a time in ISO 8601; a text that may be run as a formula gets a leading apostrophe."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
