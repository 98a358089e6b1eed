"""Read-only queries: pages of results, one ticket with its history, counts, and recent confidences."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from operator import eq, ge, itemgetter, lt
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, Field, TypeAdapter
from sqlalchemy import Select, Tuple, column, func, literal, select, table, text, tuple_
from sqlalchemy.types import BigInteger, Boolean, DateTime

from triagem.contracts.errors import InvalidInput
from triagem.contracts.result import Result, ResultPage
from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import AnyRow, Database
from triagem.db.tickets.messages import MAX_SHOWN, Thread, read_thread
from triagem.db.tickets.review_state import REVIEW_CONDITIONS, TICKET_DISPUTED, ReviewState
from triagem.db.tickets.search import search_condition, tickets_with_id

_PAGE: Final = 1000
_SCAN_LIMIT: Final = 50_000  # tickets tested per statement, in 0.2 s
_RESULTS: Final = table(
    "results",
    *map(
        column,
        (
            "ticket_id", "source", "external_id", "label", "confidence", "band", "model_label", "reviewer",
            "unclear", "model_version", "received_at", "classified_at", "tokens", "truncated", "language",
            "abstain_reason",
        ),
    ),
)  # fmt: skip
_STORED: Final = (
    text("SELECT id AS ticket_id, source, external_id, received_at FROM tickets WHERE text IS NOT NULL")
    .columns(column("ticket_id"), column("source"), column("external_id"), column("received_at"))
    .subquery("results")  # the name that the condition of a search expects
)
_TICKETS: Final = table("tickets", column("received_at"), column("id"))
_NEWEST_FIRST: Final = select(*_RESULTS.c).order_by(_RESULTS.c.received_at.desc(), _RESULTS.c.ticket_id.desc())


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of results; times are of receipt, `since` inclusive, `until` exclusive. `reviewer` sends the query."""

    label: str | None = None
    band: str | None = None
    source: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    language: str | None = None
    reviewed: ReviewState | None = None
    reviewer: str = ""


def list_results(
    database: Database,
    filters: Filters,
    *,
    limit: int,
    after: str | None = None,
    search: str | None = None,
    scan_limit: int | None = None,
) -> ResultPage:
    """A page of results by keyset pagination: as fast at the end of ten million rows as at the start.

    Args:
        search: only tickets that contain these words (`triagem.db.tickets.search`). Those with this id come first,
            in addition to `limit`.
        scan_limit: maximum number of tickets to scan for a page, ignored if `search` has few matches. A page may then
            be short without being the last.

    Raises:
        InvalidInput: `after` is not the cursor of an earlier page.
    """
    newest_first = _NEWEST_FIRST
    if after is not None:
        newest_first = newest_first.where(_place() < _position(*_decode_cursor(after)))
    query, horizon, named = _filtered(newest_first, filters).limit(limit + 1), None, list[Result]()
    with database.autocommit() as connection:
        if search is not None:
            exact = tickets_with_id(connection, search)
            if exact and after is None:
                ids_match = _filtered(_NEWEST_FIRST, filters).where(_RESULTS.c.ticket_id.in_(exact))
                named = [Result(*row) for row in connection.execute(ids_match).all()]
            query = query.where(_RESULTS.c.ticket_id.not_in(exact)) if exact else query
            condition, few = search_condition(connection, search)
            query, scan_limit = query.where(condition), None if few else scan_limit
        if scan_limit is not None:
            horizon = connection.execute(_horizon(filters.until, after, scan_limit)).one_or_none()
        if horizon is not None:
            query = query.where(_place() >= _position(horizon.received_at, horizon.ticket_id))
        rows = [Result(*row) for row in connection.execute(query).all()]
    more = len(rows) > limit
    rows = rows[:limit]
    last = rows[-1] if more else horizon
    cursor = (last.received_at, last.ticket_id) if last else None
    return ResultPage(named + rows, cursor and base64.urlsafe_b64encode(_CURSOR.dump_json(cursor)).decode())


def results_by_external_id(database: Database, source: str, external_ids: Sequence[str]) -> list[Result]:
    """Results of a source's tickets with these ids; tickets that are not classified yet are missing."""
    c = _RESULTS.c
    rows = database.rows(select(*c).where(c.source == source, c.external_id.in_(external_ids)))
    return [Result(*row) for row in rows]


def stored_tickets(database: Database, search: str, *, limit: int) -> list[AnyRow]:
    """The newest stored texts that `search` finds, with or without a result; those with this id come first."""
    c = _STORED.c
    newest_first = select(*c).order_by(c.received_at.desc(), c.ticket_id.desc())
    with database.autocommit() as connection:
        exact = tickets_with_id(connection, search)
        condition, _ = search_condition(connection, search)
        named = connection.execute(newest_first.where(c.ticket_id.in_(exact))).all()
        return [*named, *connection.execute(newest_first.where(c.ticket_id.not_in(exact), condition).limit(limit))]


def result_pages(
    database: Database, filters: Filters, *, limit: int | None, after: str | None = None
) -> Iterator[ResultPage]:
    """All results, or the first `limit` of them, in pages of a thousand.

    A page is read when the iterator reaches it, and no connection is held between pages. A page may be short, so that
    no statement takes long if few tickets have the filters' values. Raises like `list_results`.
    """
    remaining = limit or inf
    scan_limit = None if replace(filters, since=None, until=None, reviewer="") == Filters() else _SCAN_LIMIT
    while remaining > 0:
        page = list_results(database, filters, limit=int(min(remaining, _PAGE)), after=after, scan_limit=scan_limit)
        yield page
        after, remaining = page.after, remaining - len(page.rows) if page.after else 0


def least_confident(database: Database, filters: Filters, *, limit: int) -> list[Result]:
    """The unreviewed results with the lowest confidence."""
    c = _RESULTS.c
    # `reviewed`, not `reviewer IS NULL`: only then does the planner know how few reviews exist, and use
    # ix_tickets_least_sure (a million tickets: 0.6 ms instead of 900).
    unreviewed = _filtered(select(*c), filters).where(~column("reviewed", Boolean))
    query = unreviewed.order_by(c.confidence, c.ticket_id).limit(limit)
    return [Result(*row) for row in database.rows(query)]


def count_tickets(database: Database, filters: Filters) -> dict[tuple[str, str], int]:
    """Tickets by (label, band)."""
    c = _RESULTS.c
    query = _filtered(select(c.label, c.band, func.count()), filters).group_by(c.label, c.band)
    return {(row[0], row[1]): row[2] for row in database.rows(query)}


_TICKET: Final = text(f"""
SELECT r.*, t.id, t.state, t.text, t.metadata, t.source, t.external_id, t.lane, t.channel, t.language,
  t.received_at, t.revised_at, t.revision, t.on_reply, {TICKET_DISPUTED} AS disputed
FROM tickets t LEFT JOIN results r ON r.ticket_id = t.id
WHERE t.source = :source AND t.external_id = :external_id AND t.forgotten_at IS NULL
""")  # noqa: S608 - built from the constant above
_HISTORY: Final = text("""
SELECT p.model_version, p.label, p.confidence, p.band, p.classified_at,
  (p.digest, p.model_version) = (t.digest, t.model_version) AS is_current, count(*) OVER () AS total
FROM predictions p JOIN tickets t ON t.id = p.ticket_id WHERE t.id = :id
ORDER BY is_current DESC, p.classified_at DESC LIMIT :limit
""")
_REVIEWS: Final = text("""
SELECT label, reviewer, reviewed_at, comment, proposal, count(*) OVER () AS total
FROM reviews WHERE ticket_id = :id ORDER BY id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class TicketWithHistory:
    """A ticket's row, predictions and reviews, newest first, and messages, oldest first; how many were left out."""

    ticket: Mapping[str, Any]
    history: list[Mapping[str, Any]]
    reviews: list[Mapping[str, Any]]
    messages: list[Mapping[str, Any]]
    older_history: int = 0
    older_reviews: int = 0
    older_messages: int = 0


def find_ticket_with_history(
    database: Database, source: str, external_id: str, *, limit: int | None = MAX_SHOWN, skip: int = 0
) -> TicketWithHistory | None:
    """One ticket; None if it does not exist or was forgotten.

    `limit`: the newest predictions, reviews and messages, None for all. `skip`: this many messages are left out.
    """
    # One connection: each check-out from the pool takes as long as a statement.
    with database.autocommit() as connection:
        row = connection.execute(_TICKET, {"source": source, "external_id": external_id}).one_or_none()
        if row is None:
            return None
        values = {"id": row.id, "limit": limit}
        history, old_history = _without_total(connection.execute(_HISTORY, values))
        reviews, old_reviews = _without_total(connection.execute(_REVIEWS, values))
        history.sort(key=itemgetter("classified_at"), reverse=True)
        thread = read_thread(connection, row.id, limit=limit, skip=skip) if row.on_reply else Thread([], 0)
        older = old_history, old_reviews, thread.not_shown
        return TicketWithHistory(row._asdict(), history, reviews, thread.messages, *older)


def _without_total(rows: Iterable[AnyRow]) -> tuple[list[Mapping[str, Any]], int]:
    """The rows without the column `total`, and how many of this total they lack."""
    records = [row._asdict() for row in rows]
    total = [record.pop("total") for record in records]
    return [*records], total[0] - len(records) if total else 0


def text_previews(database: Database, ids: Iterable[int], *, chars: int) -> dict[int, str]:
    """The first characters of tickets' original texts, by ticket id; without purged texts."""
    return dict(
        database.rows(
            "SELECT id, left(text, :chars) FROM tickets WHERE id = ANY(:ids) AND text IS NOT NULL",
            ids=list(ids),
            chars=chars,
        )
    )


_RECENT_CONFIDENCES: Final = text("""
SELECT confidence FROM (
  SELECT confidence, model_version, received_at, id FROM tickets ORDER BY received_at DESC, id DESC LIMIT :limit
) AS newest WHERE model_version = :version ORDER BY received_at, id
""")


def recent_tickets(database: Database, *, limit: int) -> Sequence[AnyRow]:
    """Effective label, confidence, band and time of receipt of the newest tickets, newest first."""
    return database.rows(
        "SELECT label, confidence, band, received_at FROM results "
        "WHERE source <> :predict ORDER BY received_at DESC, ticket_id DESC LIMIT :limit",
        limit=limit,
        predict=PREDICT_SOURCE,
    )


def recent_confidences(database: Database, version: str, *, limit: int) -> list[float]:
    """A version's confidences for the tickets that it classified among the `limit` newest, in order of receipt."""
    return database.scalars(_RECENT_CONFIDENCES, version=version, limit=limit)


def _filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    c = _RESULTS.c
    for value, compare, filtered_column in (
        (filters.label, eq, c.label),
        (filters.band, eq, c.band),
        (filters.source, eq, c.source),
        (filters.model, eq, c.model_version),
        (filters.language, eq, c.language),
        (filters.since, ge, c.received_at),
        (filters.until, lt, c.received_at),
    ):
        if value is not None:
            query = query.where(compare(filtered_column, value))
    if filters.reviewed:
        query = query.where(REVIEW_CONDITIONS[filters.reviewed])
    if filters.reviewed is ReviewState.MINE:
        query = query.params(reviewer=filters.reviewer)
    return query


_CURSOR: Final = TypeAdapter(tuple[AwareDatetime, Annotated[int, Field(ge=1, lt=2**63)]])


def _horizon(until: datetime | None, after: str | None, scan_limit: int) -> Select[Any]:
    """The last of the tickets to test for a page. Reads only the index."""
    c = _TICKETS.c
    tickets = select(c.received_at, c.id.label("ticket_id")).order_by(c.received_at.desc(), c.id.desc())
    if until is not None:
        tickets = tickets.where(c.received_at < literal(until, DateTime(timezone=True)))
    if after is not None:
        tickets = tickets.where(tuple_(c.received_at, c.id) < _position(*_decode_cursor(after)))
    return tickets.offset(scan_limit - 1).limit(1)


def _place() -> Tuple:
    return tuple_(_RESULTS.c.received_at, _RESULTS.c.ticket_id)


def _position(received_at: datetime, ticket_id: int) -> Tuple:
    return tuple_(literal(received_at, DateTime(timezone=True)), literal(ticket_id, BigInteger))


def _decode_cursor(after: str) -> tuple[datetime, int]:
    try:
        return _CURSOR.validate_json(base64.urlsafe_b64decode(after))
    except ValueError:
        raise InvalidInput("after: not a cursor from an earlier page") from None
