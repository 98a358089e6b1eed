"""The SQL views: each column must be described on the page, in the order of the view.

`tests/integration/test_sql_docs.py` compares the page's types with a real database.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from triagem.db import schema

VIEWS: Final = Path(schema.__file__).with_name("views.sql")
PAGE: Final = Path("docs/reference/sql.md")


def view_problems() -> Iterator[str]:
    """Views and columns that the page does not describe."""
    page = PAGE.read_text(encoding="utf-8")
    views = view_columns(VIEWS.read_text(encoding="utf-8"))
    if not views:
        yield f"{VIEWS}: no view found"
    for view, columns in views.items():
        section = re.search(rf"^### {view}:.*?(?=^###|\Z)", page, re.MULTILINE | re.DOTALL)
        described = re.findall(r"^\| `(\w+)` \|", section[0], re.MULTILINE) if section else []
        if described != columns:
            yield f"{PAGE}: the view {view} has {', '.join(columns)}; described are {', '.join(described)}"


def view_columns(sql: str) -> dict[str, list[str]]:
    """The column names of each view, in order."""
    definitions = re.findall(r"^CREATE VIEW (\w+) AS\nSELECT (.*?)\nFROM ", sql, re.MULTILINE | re.DOTALL)
    return {
        view: [column.split()[-1].split(".")[-1] for column in expressions(select)] for view, select in definitions
    }


def expressions(select: str) -> Iterator[str]:
    """The parts of a select list, split at the commas outside parentheses."""
    depth, start = 0, 0
    for position, character in enumerate(select):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield select[start:position]
            start = position + 1
    yield select[start:]
