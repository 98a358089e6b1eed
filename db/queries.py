"""What people ask: a page of results, one ticket with its history, and counts. Reads only."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf
from operator import eq, ge, lt
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field, TypeAdapter
from sqlalchemy import Select, Tuple, column, func, literal, select, table, text, tuple_
from sqlalchemy.types import BigInteger, Boolean, DateTime

from triagem.contracts.errors import InvalidInput
from triagem.contracts.result import Page, Result
from triagem.db.connect import Database
from triagem.db.search import matching

_PAGE: Final = 1000
_RESULTS: Final = table(
    "results",
    *map(
        column,
        (
            "ticket_id", "source", "external_id", "label", "confidence", "band", "model_label", "reviewer",
            "model_version", "received_at", "classified_at", "tokens", "truncated",
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filters:
    """Which results; times are of receipt, `since` inclusive, `until` exclusive."""

    label: str | None = None
    band: str | None = None
    source: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def results(
    database: Database,
    filters: Filters,
    *,
    limit: int,
    after: str | None = None,
    words: str | None = None,
    within: int | None = None,
) -> Page:
    """A page by keyset: as quick at the end of ten million rows as at their beginning.

    Args:
        words: only tickets that `triagem.db.search` finds by them.
        within: look at so many tickets at most, but where words find few; a page may be short then, and not the last.

    Raises:
        InvalidInput: `after` did not come from a former page.
    """
    c = _RESULTS.c
    here = tuple_(c.received_at, c.ticket_id)
    newest_first = select(*c).order_by(c.received_at.desc(), c.ticket_id.desc())
    if after is not None:
        newest_first = newest_first.where(here < _place(*_cursor(after)))
    query, horizon = _filtered(newest_first, filters).limit(limit + 1), None
    with database.autocommit() as connection:
        if words is not None:
            condition, few = matching(connection, words)
            query, within = query.where(condition), None if few else within
        if within is not None:
            horizon = connection.execute(newest_first.offset(within - 1).limit(1)).one_or_none()
        if horizon is not None:
            query = query.where(here >= _place(horizon.received_at, horizon.ticket_id))
        rows = [Result(*row) for row in connection.execute(query)]
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1] if more else horizon
    return Page(rows, _after(last.received_at, last.ticket_id) if last else None)


def named(database: Database, source: str, names: Sequence[str]) -> list[Result]:
    """The results of a source's tickets of these names; of those that are not classified yet there is none."""
    c = _RESULTS.c
    with database.autocommit() as connection:
        rows = connection.execute(select(*c).where(c.source == source, c.external_id.in_(names)))
        return [Result(*row) for row in rows]


def pages(database: Database, filters: Filters, *, limit: int | None, after: str | None = None) -> Iterator[Page]:
    """All results, or the first `limit` of them, a page of a thousand at a time. Between pages no connection is held,
    and a page is read when it is asked for. Raises as `results`."""
    left, page = limit or inf, Page([], after)
    while left > 0:
        page = results(database, filters, limit=int(min(left, _PAGE)), after=page.after)
        left -= len(page.rows)
        yield page
        if page.after is None:
            return


def least_sure(database: Database, filters: Filters, *, limit: int) -> list[Result]:
    """The results that the model was least sure of and no person has looked at yet."""
    c = _RESULTS.c
    # By `reviewed`, not by `reviewer IS NULL`: only so does the planner see how few reviews there are, and walks
    # ix_tickets_least_sure (a million tickets: 0.6 ms instead of 900).
    unseen = _filtered(select(*c), filters).where(~column("reviewed", Boolean))
    query = unseen.order_by(c.confidence, c.ticket_id).limit(limit)
    with database.autocommit() as connection:
        return [Result(*row) for row in connection.execute(query)]


def counts(database: Database, filters: Filters) -> dict[tuple[str, str], int]:
    """Tickets by (label, band)."""
    c = _RESULTS.c
    query = _filtered(select(c.label, c.band, func.count()), filters).group_by(c.label, c.band)
    with database.autocommit() as connection:
        return {(row[0], row[1]): row[2] for row in connection.execute(query)}


_SHOW: Final = text("""
SELECT t.id, t.text, t.metadata, t.revised_at, r.* FROM tickets t JOIN results r ON r.ticket_id = t.id
WHERE t.source = :source AND t.external_id = :external_id
""")
_HISTORY: Final = text("""
SELECT model_version, label, confidence, band, classified_at, is_current FROM history
WHERE ticket_id = :id ORDER BY classified_at DESC
""")
_REVIEWS: Final = text("SELECT label, reviewer, reviewed_at FROM reviews WHERE ticket_id = :id ORDER BY id DESC")


@dataclass(frozen=True, slots=True)
class Shown:
    """One ticket with everything known of it: its row, all predictions, all reviews; newest first."""

    ticket: Mapping[str, Any]
    history: list[Mapping[str, Any]]
    reviews: list[Mapping[str, Any]]


def show(database: Database, source: str, external_id: str) -> Shown | None:
    """One ticket, or None if there is none (or it was forgotten)."""
    with database.autocommit() as connection:
        row = connection.execute(_SHOW, {"source": source, "external_id": external_id}).mappings().one_or_none()
        if row is None:
            return None
        key = {"id": row["id"]}
        return Shown(
            ticket=dict(row),
            history=[dict(one) for one in connection.execute(_HISTORY, key).mappings()],
            reviews=[dict(one) for one in connection.execute(_REVIEWS, key).mappings()],
        )


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    c = _RESULTS.c
    for given, compare, name in (
        (filters.label, eq, c.label),
        (filters.band, eq, c.band),
        (filters.source, eq, c.source),
        (filters.model, eq, c.model_version),
        (filters.since, ge, c.received_at),
        (filters.until, lt, c.received_at),
    ):
        if given is not None:
            query = query.where(compare(name, given))
    return query


_CURSOR: Final = TypeAdapter(tuple[AwareDatetime, Annotated[int, Field(ge=1, lt=2**63)]])


def _place(received_at: datetime, ticket_id: int) -> Tuple:
    return tuple_(literal(received_at, DateTime(timezone=True)), literal(ticket_id, BigInteger))


def _after(received_at: datetime, ticket_id: int) -> str:
    return base64.urlsafe_b64encode(_CURSOR.dump_json((received_at, ticket_id))).decode()


def _cursor(after: str) -> tuple[datetime, int]:
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(after))
    except ValueError:
        raise InvalidInput("--after: not a cursor from a former page") from None
