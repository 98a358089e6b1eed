"""What a cell of CSV may hold: no spreadsheet must take a customer's words for a formula."""

from datetime import datetime
from typing import Any, Final

# What Excel, Calc and Sheets read as the beginning of a formula, also full-width (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001


def cell(value: Any) -> Any:
    """A value for `csv.writer`: a time in ISO 8601; a text that might be run as a formula behind an apostrophe."""
    if isinstance(value, datetime):
        return value.isoformat()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
