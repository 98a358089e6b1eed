"""The change feed: tickets whose current result changed, in an order that a consumer can follow without a gap.

A trigger stamps each changed ticket with the id of the transaction that changes it (`db/schema/changes.sql`). The
feed is ordered by (transaction id, ticket id) and ends below the oldest running transaction, so a transaction that
commits later than its successors adds no change before a cursor that was served (INV-26). A ticket that changes again
moves to the end, with its newest result.
"""

import base64
from collections.abc import Iterator
from math import inf
from typing import Annotated, Final, NamedTuple

from pydantic import Field, TypeAdapter
from sqlalchemy import Connection, text

from triagem.contracts.errors import InvalidInput, NotMigrated
from triagem.contracts.result import Change, ChangePage, Result
from triagem.contracts.ticket import PREDICT_SOURCE
from triagem.db.connect import Database

_PAGE: Final = 1000
_Number = Annotated[int, Field(ge=0, lt=2**63)]


class _Position(NamedTuple):
    """A position in the feed. A transaction id has a meaning on one database server only."""

    server: int
    transaction: _Number
    ticket_id: _Number


_POSITION: Final = TypeAdapter(_Position)
# A visible stamp at or above the snapshot's end was written by another server: the tables come from a dump.
_SERVER: Final = text("""
SELECT system_identifier AS id, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS end_of_ids, coalesce((
  SELECT changed_xid::text::bigint FROM tickets ORDER BY tickets.changed_xid DESC LIMIT 1
), 0) AS newest_stamp
FROM pg_control_system()
""")
_CHANGES: Final = text("""
WITH page AS (
  SELECT id, source, external_id, forgotten_at, changed_xid FROM tickets
  WHERE (changed_xid, id) > (CAST(CAST(:transaction AS text) AS xid8), :ticket_id) AND source <> :predict
    AND (state = 'classified' OR forgotten_at IS NOT NULL)
    AND changed_xid < pg_snapshot_xmin(pg_current_snapshot())
  ORDER BY changed_xid, id LIMIT :limit
)
SELECT page.changed_xid::text::bigint AS transaction, page.id, page.source, page.external_id,
  page.forgotten_at IS NOT NULL AS forgotten, r.ticket_id, r.label, r.confidence, r.band, r.model_label, r.reviewer,
  r.unclear, r.model_version, r.received_at, r.classified_at, r.tokens, r.truncated, r.language, r.abstain_reason
FROM page LEFT JOIN results r ON r.ticket_id = page.id
ORDER BY page.changed_xid, page.id
""")


def list_changes(database: Database, *, limit: int, after: str | None = None) -> ChangePage:
    """A page of changes. Without `after`, the feed starts with all stored tickets; texts of `/predict` are left out.

    Raises:
        InvalidInput: `after` is not a cursor of this database.
        NotMigrated: the tables were restored from a dump and must be stamped again.
    """
    with database.autocommit() as connection:
        position = _start(connection, after)
        values = {
            "transaction": position.transaction, "ticket_id": position.ticket_id, "predict": PREDICT_SOURCE,
            "limit": limit,
        }  # fmt: skip
        rows = connection.execute(_CHANGES, values).all()
    changes = []
    for transaction, ticket_id, source, external_id, forgotten, *result in rows:
        position = _Position(position.server, transaction, ticket_id)
        current = None if forgotten else Result(ticket_id, source, external_id, *result[1:])
        changes.append(Change(_encode(position), ticket_id, source, external_id, forgotten, current))
    return ChangePage(changes, _encode(position))


def change_pages(database: Database, *, limit: int | None, after: str | None = None) -> Iterator[ChangePage]:
    """All changes until now, or the first `limit` of them, in pages of a thousand. Raises like `list_changes`.

    No connection is held between pages.
    """
    remaining = limit or inf
    while remaining > 0:
        size = int(min(remaining, _PAGE))
        page = list_changes(database, limit=size, after=after)
        yield page
        after, remaining = page.after, remaining - size if len(page.rows) == size else 0


def _start(connection: Connection, after: str | None) -> _Position:
    server = connection.execute(_SERVER).one()
    if server.newest_stamp >= server.end_of_ids:
        raise NotMigrated("the tables were restored from a dump: run `triagem db upgrade`, then read all changes")
    if after is None:
        return _Position(server.id, 0, 0)
    position = _decode(after)
    if position.server != server.id or position.transaction >= server.end_of_ids:
        raise InvalidInput("the cursor is from before the database was restored: read all changes, without a cursor")
    return position


def _encode(position: _Position) -> str:
    return base64.urlsafe_b64encode(_POSITION.dump_json(position)).decode()


def _decode(after: str) -> _Position:
    try:
        return _POSITION.validate_json(base64.urlsafe_b64decode(after))
    except ValueError:
        raise InvalidInput(f"{after[:100]!r} is not a cursor of the change feed") from None
