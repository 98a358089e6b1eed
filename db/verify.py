"""Checks that the tables are consistent, by the queries of `verify.sql`; changes nothing.

All queries run in one REPEATABLE READ transaction: they see the commit of a window or a run completely or not at all,
so work in progress is never reported as an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from sqlalchemy import text

from triagem.db.connect import Database, database_errors, without_deadline

# Name, problem and query of each check.
CHECKS: Final = re.findall(
    r"^-- ([a-z-]+): (.+)\n((?:(?!--).+\n)+)",
    files("triagem.db").joinpath("verify.sql").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows that contradict a rule: how many, and the first few. `examples` contain no text of a customer."""

    check: str
    problem: str
    count: int
    examples: list[str]


def verify_tables(database: Database) -> Iterator[tuple[str, Finding | None]]:
    """Yields each check with its findings. It has no time limit, because it reads all rows."""
    with database_errors(), database.engine.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin(), without_deadline(connection):
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            for name, problem, query in CHECKS:
                rows = query.rstrip().removesuffix(";")
                count, examples = connection.execute(
                    text(f"SELECT count(*), (array_agg(row ORDER BY row))[1:5] FROM ({rows}) AS found (row)")  # noqa: S608
                ).one()
                yield name, Finding(name, problem, count, examples) if count else None
