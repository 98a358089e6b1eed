"""Replaces command-line options and names of fields in notes and errors about a file uploaded in a browser."""

import re
from typing import Final

_TIMES: Final = "write times as in 2026-12-31 14:05"
_LABEL_OR_MODEL: Final = "name the column under “Column of the label”, or create a model on Start"
_ADVICE: Final = (
    # A person sees the columns of a file, not the fields that they become.
    (r"'(?:prompt|completion)' \((.+)\) is empty", r"the column \1 is empty"),
    (r"'(prompt|completion)' is empty", r"the column \1 is empty"),
    (r"\bprompt(?= = |=COLUMN|'(?:, 'completion')?: its|' (?:is not|contains) )", "text"),
    (r"\bcompletion(?= = |=COLUMN|': its|' (?:is not|contains) )", "label"),
    (r"; use --map (?=(?:text|label)=COLUMN)", "; if this is not a header, add one; else use --map "),
    (r": --label-map, as in \S+ leaves out other values", ""),
    (r"(?<=, as in )--label-map ", ""),
    (r"(?<=^the file has no column of labels): .+", f", and there is no current model: {_LABEL_OR_MODEL}"),
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
