"""Replaces command-line options and names of fields in notes and errors about a file uploaded in a browser."""

import re
from typing import Final

_TIMES: Final = "write times as in 2026-12-31 14:05"
_ADVICE: Final = (
    # A person sees the columns of a file, not the fields that they become.
    (r"\bprompt = ", "text = "),
    (r"\bcompletion = ", "label = "),
    (r"their label is not in --label-map ", "no label is given for their value "),
    (r"^external_id: ", "id: "),
    (r"^text: ", "message text: "),
    (r"^revised_at: ", "time: "),
    (r"^no column for external_id and text ", "no column for the ids and texts of tickets "),
    (r"^no column for external_id ", "no column for the ids of tickets "),
    (r"^no column for text ", "no column for the texts of tickets "),
    (r"(?<=--map )external_id=", "id="),
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
