"""Replaces advice about command-line options in notes and errors about an uploaded file: a browser has none."""

import re
from typing import Final

_TIMES: Final = "write times as in 2026-12-31 14:05"
_ADVICE: Final = (
    (r"--map source= leaves it out, if it is not the CRM's name", "rename the column if it is not the CRM's name"),
    (r"add --map author=COLUMN", "call a column author"),
    (r"add --map message_id=COLUMN", "call the column of its id message_id"),
    (r"name its form with --date-format, or leave the times out with --map revised_at=", _TIMES),
    (r"give --date-format dmy or --date-format mdy", _TIMES),
    (r"name it with --encoding, such as .+ or (?=save the file)", ""),
    (r"(?:name (?:it|them) with|use) --map (?=\w+=COLUMN)", "use these column names: "),
    (r"(?<=\w)=COLUMN(,?)", r"\1 "),
    (r"--map \S+: (?=the file has no column)", ""),
    (r"--(?:by|label-map) (?=['\"])", ""),
)


def browser_advice(text: str) -> str:
    """The note or error with advice for a person who uploads a file in a browser."""
    for option, advice in _ADVICE:
        text = re.sub(option, advice, text)
    return text.rstrip()
