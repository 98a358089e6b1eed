"""The views of the schema `analytics`, from the comments in `db/schema/analytics.sql`."""

import re
from pathlib import Path
from typing import Final

from tables import required, table

from triagem.db import schema

SCRIPT: Final = Path(schema.__file__).with_name("analytics.sql")
_VIEW: Final = re.compile(r"^CREATE VIEW analytics\.(\w+) AS$", re.MULTILINE)
_COMMENT: Final = re.compile(
    r"^COMMENT ON (?:VIEW|COLUMN) analytics\.(\w+)(?:\.(\w+))? IS '((?:[^']|'')*)';$", re.MULTILINE
)


def views_section() -> str:
    """A table of columns for each view."""
    script = SCRIPT.read_text(encoding="utf-8")
    comments = [(view, column, text.replace("''", "'")) for view, column, text in _COMMENT.findall(script)]
    sections = []
    for view in _VIEW.findall(script):
        title = next((text for name, column, text in comments if (name, column) == (view, "")), "")
        rows = [(f"`{column}`", text) for name, column, text in comments if name == view and column]
        required(title, f"view {view}")
        sections.append(f"### {view}\n\n{title}.\n\n{table(('column', 'meaning'), rows)}")
    return "\n".join(sections)
