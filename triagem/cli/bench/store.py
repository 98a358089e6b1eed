"""`triagem bench store`: does the database stay quick as it grows? On a server of its own that is erased after."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import text as sql

from triagem.cli.stack import LocalStack
from triagem.contracts.prediction import Band, Prediction
from triagem.contracts.text import digest
from triagem.contracts.ticket import Lane, Ticket
from triagem.db import Database
from triagem.db.queries import Filters, results, show
from triagem.db.upgrade import upgrade
from triagem.db.window import Classified, write

_WINDOW, _WINDOWS, _ASKED = 256, 20, 50
_PAGE = 50
_BODY = "Fatura em dobro\nFui cobrado duas vezes este mês e preciso do estorno ainda hoje, por favor. "

# Rows as the window's statement would leave them, made by Postgres itself.
_FILL = (
    """
    INSERT INTO tickets (source, external_id, text, digest, revised_at, received_at, epoch, label, confidence,
                         probabilities, band, model_version, tokens, truncated, classified_at)
    SELECT 'fill', n::text, :body || n, sha256(n::text::bytea), at, at, 1, said, 0.5 + (n % 500) / 1000.0,
           '{"suporte": 0.9, "venda": 0.1}', CASE WHEN n % 5 = 0 THEN 'review' ELSE 'automate' END, 'v1.0.0', 47,
           false, at
    FROM generate_series(CAST(:first AS bigint), :last) n,
         LATERAL (SELECT now() - interval '1 second' * (20000000 - n) AS at,
                         (ARRAY['suporte', 'venda'])[1 + n % 2] AS said) AS of
    """,
    """
    INSERT INTO predictions
    SELECT id, digest, label, confidence, probabilities, band, model_version, tokens, truncated, classified_at
    FROM tickets WHERE id > :before
    """,
)
_COPY = (
    "COPY tickets (source, external_id, text, digest, revised_at, received_at, epoch, label, confidence, "
    "probabilities, band, model_version, tokens, truncated, classified_at) FROM STDIN"
)
_PLANS = {
    "show": "SELECT * FROM results WHERE source = 'fill' AND external_id = '4711'",
    "a page of results": "SELECT * FROM results ORDER BY received_at DESC, ticket_id DESC LIMIT 50",
    "the least sure": "SELECT * FROM results ORDER BY confidence, ticket_id LIMIT 50",
}


@dataclass(frozen=True, slots=True)
class Step:
    """The database with so many tickets in it."""

    rows: int
    window_per_s: float
    copy_per_s: float
    show_ms: float
    results_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `--json` prints."""

    steps: list[Step]
    write_rate_against_empty: float
    plans: dict[str, list[str]] = field(default_factory=dict)


def run(rows: int, *, told: Callable[[str], None]) -> Report:
    """Measure when empty, at a tenth, and at `rows` stored tickets."""
    with TemporaryDirectory(prefix="triagem-bench-") as folder:
        stack = LocalStack(Path(folder) / "stack")
        endpoints = stack.start()
        try:
            with Database(endpoints.database_url) as database:
                upgrade(database)
                steps = []
                for goal in (0, rows // 10, rows):
                    told(f"fill to {goal:,} rows")
                    fill(database, goal)
                    told(f"measure at {goal:,} rows")
                    steps.append(_step(database, goal))
                plans = {name: _plan(database, query) for name, query in _PLANS.items()}
        finally:
            stack.erase()
    return Report(steps, steps[-1].window_per_s / steps[0].window_per_s, plans)


def fill(database: Database, goal: int) -> None:
    """Tickets with a prediction each, up to so many."""
    with database.autocommit() as connection:
        connection.execute(sql("SET statement_timeout = 0"))
        for first in range(_stored(database), goal, 500_000):
            last = min(goal, first + 500_000)
            before = connection.execute(sql("SELECT coalesce(max(id), 0) FROM tickets")).scalar_one()
            connection.execute(sql(_FILL[0]), {"body": _BODY * 3, "first": first, "last": last - 1})
            connection.execute(sql(_FILL[1]), {"before": before})
        connection.execute(sql("VACUUM ANALYZE tickets, predictions"))
        connection.execute(sql("RESET statement_timeout"))


def _step(database: Database, goal: int) -> Step:
    now = datetime.now(UTC)
    windows = [[_row(f"{goal}-{turn}-{one}", now) for one in range(_WINDOW)] for turn in range(_WINDOWS)]
    upserts = [_seconds(partial(write, database, window)) for window in windows]
    copies = [_seconds(partial(_copy, database, f"copy-{goal}-{turn}", now)) for turn in range(_WINDOWS)]
    some = [window[0].ticket.external_id for window in windows] * 3
    shows = [_seconds(partial(show, database, "bench", name)) for name in some[:_ASKED]]
    pages = [_seconds(lambda: results(database, Filters(), limit=_PAGE)) for _ in range(_ASKED)]
    return Step(
        rows=goal,
        window_per_s=_WINDOW / statistics.median(upserts),
        copy_per_s=_WINDOW / statistics.median(copies),
        show_ms=statistics.median(shows) * 1000,
        results_ms=statistics.median(pages) * 1000,
    )


def _copy(database: Database, source: str, now: datetime) -> None:
    """The same two tables by COPY: new tickets only, for COPY knows no conflict."""
    connection: Any = database.engine.raw_connection()  # psycopg's own: SQLAlchemy knows no COPY
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(max(id), 0) FROM tickets")
            (before,) = cursor.fetchone()
            with cursor.copy(_COPY) as copy:
                for one in range(_WINDOW):
                    row = _row(f"{one}", now)
                    said = row.prediction
                    copy.write_row(
                        (source, row.ticket.external_id, row.ticket.text, row.digest, now, now, 1, said.label,
                         said.confidence, '{"suporte": 0.9, "venda": 0.1}', str(said.band), "v1.0.0", 47, False, now)
                    )  # fmt: skip
            cursor.execute(_FILL[1].replace(":before", "%s"), (before,))
        connection.commit()
    finally:
        connection.close()


def _row(name: str, now: datetime) -> Classified:
    text = f"{_BODY * 3}{name}"
    said = Prediction("suporte", 0.9, {"suporte": 0.9, "venda": 0.1}, Band.AUTOMATE, "v1.0.0", 47, False)
    return Classified(Ticket(source="bench", external_id=name, text=text), digest(text), said, 1, Lane.BULK, now, now)


def _plan(database: Database, query: str) -> list[str]:
    with database.autocommit() as connection:
        return list(connection.execute(sql(f"EXPLAIN (ANALYZE, BUFFERS) {query}")).scalars())


def _stored(database: Database) -> int:
    with database.autocommit() as connection:
        return int(connection.execute(sql("SELECT count(*) FROM tickets WHERE source = 'fill'")).scalar_one())


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
