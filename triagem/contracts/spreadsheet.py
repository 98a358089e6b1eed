"""Format values as CSV cells that no spreadsheet runs as a formula."""

import re
from datetime import datetime
from typing import Any, Final

# First characters of a formula in Excel, Calc and Sheets, also full-width (OWASP, CSV injection).
_SIGNS: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001
_FORMULA: Final = (*_SIGNS, "\t", "\r", "\n")
# Where the locale's separator is `;`, as in Brazil, a spreadsheet may begin a cell inside our quoted text.
_INNER_FORMULA: Final = re.compile(rf"""([;\t\r\n]["']*)(?=[{re.escape("".join(_SIGNS))}])""")


def csv_cell(value: Any) -> Any:
    """A value for `csv.writer`: a time in ISO 8601; a text gets an apostrophe wherever a formula may begin."""
    if isinstance(value, datetime):
        return value.isoformat()
    if not isinstance(value, str):
        return value
    text = _INNER_FORMULA.sub(r"\1'", value)
    return f"'{text}" if text.startswith(_FORMULA) else text
