"""Stores messages of conversations (`messages.sql`), and reads them: the judged ones for the model, all for people.

A conversation is stored before it is read, each by its own statement, so no lock outlasts a statement (INV-13). The
statement that stores a customer's message, or a new version of any message, raises the ticket's `arrival` by 2. A
composed text gets the `arrival` that was read with its messages, plus 1: it becomes current unless another message
was stored meanwhile, whose own entry then composes a newer text. So the entry that is stored last composes the text
of the whole conversation, in any order of entries and on any worker (INV-38).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Connection, text

from triagem.contracts.conversation import FIRST_MESSAGES, MAX_CHARS, NEWEST_MESSAGES, ConversationMessage, judge
from triagem.contracts.ticket import Author, Identity, Lane, Message, OnReply, Ticket, channel_of, language_of
from triagem.db.connect import Database


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to store. A ticket without `message` is a whole text: the message with the empty id."""

    ticket: Ticket
    arrival: int
    received_at: datetime
    lane: Lane


@dataclass(frozen=True, slots=True)
class Conversation:
    """The customer's messages that may be judged, and the ticket that they were read with.

    `digest`: of the ticket's text, which has a result if `has_result`. A text composed from these messages
    has the rank (`revised_at`, `arrival`). `owed`: whether the ticket is live and a receiver has no delivery of it
    yet. `doubtful_at`: when the result was made, if it is doubtful and has no alert.
    """

    messages: list[ConversationMessage]
    on_reply: OnReply
    digest: bytes
    has_result: bool
    revised_at: datetime
    arrival: int
    owed: bool = False
    doubtful_at: datetime | None = None


_WHOLE_TEXT: Final = Message.model_construct(id="")
# DO NOTHING takes no lock: most tickets exist.
_ADD_TICKETS: Final = text("""
INSERT INTO tickets (source, external_id, state, on_reply, digest, revised_at, arrival, revision, received_at,
  metadata, epoch, lane, channel, language)
SELECT DISTINCT ON (source, external_id) source, external_id, 'waiting', coalesce(on_reply, 'conversation'),
  sha256(''), revised_at, arrival, 0, received_at, metadata, 0, lane, channel, coalesce(language, 'und')
FROM json_to_recordset(CAST(:rows AS json)) AS i(
  source text, external_id text, on_reply text, revised_at timestamptz, arrival bigint, received_at timestamptz,
  metadata jsonb, lane text, channel text, language text
)
ORDER BY source, external_id, received_at
ON CONFLICT DO NOTHING
""")
_STORE: Final = text(files("triagem.db.tickets").joinpath("messages.sql").read_text(encoding="utf-8"))

# The judged messages of the ticket `t`, in the order in which they were written. The first and the newest ones: the
# index ix_messages_judged yields both without reading the others.
JUDGED_MESSAGES: Final = f"""(
  SELECT json_agg(json_build_array(message_id, text) ORDER BY written_at, length(message_id), message_id) FROM (
    (
      SELECT message_id, written_at, left(text, {MAX_CHARS}) AS text FROM messages
      WHERE ticket_id = t.id AND author = 'customer' AND text IS NOT NULL
      ORDER BY written_at, length(message_id), message_id LIMIT {FIRST_MESSAGES}
    ) UNION (
      SELECT message_id, written_at, left(text, {MAX_CHARS}) FROM messages
      WHERE ticket_id = t.id AND author = 'customer' AND text IS NOT NULL
      ORDER BY written_at DESC, length(message_id) DESC, message_id DESC LIMIT {NEWEST_MESSAGES}
    )
  ) AS judged
)"""  # noqa: S608 - constants
_READ: Final = text(f"""
SELECT t.source, t.external_id, t.on_reply, t.digest, t.state = 'classified' AS has_result, t.revised_at, t.arrival,
  t.lane = 'live' AND EXISTS (
    SELECT FROM result_targets r WHERE r.source = t.source AND NOT EXISTS (
      SELECT FROM deliveries d WHERE (d.ticket_id, d.target) = (t.id, r.target)
    )
  ) AS owed,
  CASE WHEN t.band <> 'automate' AND NOT EXISTS (
    SELECT FROM alerts a WHERE (a.ticket_id, a.digest, a.model_version) = (t.id, t.digest, t.model_version)
  ) THEN t.classified_at END AS doubtful_at,
  {JUDGED_MESSAGES} AS messages
FROM json_to_recordset(CAST(:tickets AS json)) AS i(source text, external_id text)
CROSS JOIN LATERAL (
  SELECT * FROM tickets
  WHERE source = i.source AND external_id = i.external_id AND on_reply IS NOT NULL AND forgotten_at IS NULL OFFSET 0
) AS t
""")  # noqa: S608 - constants


def store_messages(database: Database, messages: Sequence[NewMessage]) -> frozenset[tuple[Identity, str]]:
    """Store messages with their tickets. A redelivered message changes nothing; a tombstone stays a tombstone.

    Returns:
        the tickets and ids of agents' and bots' messages of which no version was stored before: they change no text.

    Raises:
        DatabaseUnavailable: try again, because the second of two statements, each its own transaction, may not have
            run.
        RowRefused: a bad row.
    """
    with database.autocommit() as connection:
        return _store(connection, messages)


def probe_store(database: Database) -> None:
    """Check whether Postgres refuses every message: store a harmless one, and roll back.

    Raises:
        StatementRefused: Postgres refuses every message, so no single message is at fault.
    """
    now = datetime.now().astimezone()
    ticket = Ticket(source="triagem", external_id="write-probe", text="write-probe", message=Message(id="1"))
    with database.probe("message, including a test message") as connection:
        _store(connection, [NewMessage(ticket, 1, now, Lane.LIVE)])


def read_conversations(database: Database, tickets: Iterable[Identity]) -> dict[Identity, Conversation]:
    """The conversations of these tickets; without whole texts and tombstones."""
    keys = [ticket._asdict() for ticket in tickets]
    rows = database.rows(_READ, tickets=to_json(keys).decode())
    return {
        Identity(row.source, row.external_id): Conversation(
            read_messages(row.messages),
            OnReply(row.on_reply),
            row.digest,
            row.has_result,
            row.revised_at,
            row.arrival + 1,
            row.owed,
            row.doubtful_at,
        )
        for row in rows
    }


_IS_CONVERSATION: Final = text("""
SELECT source, external_id
FROM json_to_recordset(CAST(:tickets AS json)) AS i(source text, external_id text)
JOIN tickets USING (source, external_id)
WHERE tickets.on_reply IS NOT NULL AND forgotten_at IS NULL
""")


def find_conversations(connection: Connection, tickets: Iterable[Identity]) -> frozenset[Identity]:
    """The conversations among these tickets; without tombstones."""
    keys = [{"source": ticket.source, "external_id": ticket.external_id} for ticket in tickets]
    if not keys:
        return frozenset()
    return frozenset(
        Identity(*row) for row in connection.execute(_IS_CONVERSATION, {"tickets": to_json(keys).decode()})
    )


def read_messages(rows: list[list[str]] | None) -> list[ConversationMessage]:
    """The messages of a column `JUDGED_MESSAGES`."""
    return [ConversationMessage(text, id=message_id) for message_id, text in rows or []]


_ON_REPLY: Final = text("SELECT on_reply FROM tickets WHERE id = :id")
# The newest messages, and those that may be judged: `page` is null for the latter.
_THREAD: Final = text(f"""
WITH page AS (
  SELECT message_id FROM messages WHERE ticket_id = :id
  ORDER BY written_at DESC, length(message_id) DESC, message_id DESC LIMIT :limit OFFSET :skip
), judged AS (
  (
    SELECT message_id FROM messages WHERE ticket_id = :id AND author = 'customer' AND text IS NOT NULL
    ORDER BY written_at, length(message_id), message_id LIMIT {FIRST_MESSAGES}
  ) UNION (
    SELECT message_id FROM messages WHERE ticket_id = :id AND author = 'customer' AND text IS NOT NULL
    ORDER BY written_at DESC, length(message_id) DESC, message_id DESC LIMIT {NEWEST_MESSAGES}
  )
)
SELECT m.message_id, m.author, m.text, m.written_at, m.edited_at, m.deleted_at,
  m.message_id IN (SELECT message_id FROM page) AS on_page,
  (SELECT count(*) FROM messages WHERE ticket_id = :id) AS total
FROM messages m
WHERE m.ticket_id = :id
  AND (m.message_id IN (SELECT message_id FROM page) OR m.message_id IN (SELECT message_id FROM judged))
ORDER BY m.written_at, length(m.message_id), m.message_id
""")  # noqa: S608 - constants
MAX_SHOWN: Final = 200  # messages, predictions or reviews of one ticket


@dataclass(frozen=True, slots=True)
class Thread:
    """Messages of a ticket for people, oldest first, and the number of those that are not shown.

    Each message has its author, text and time, and whether the label is about it (`classified`).
    """

    messages: list[Mapping[str, Any]]
    not_shown: int


def read_thread(connection: Connection, ticket_id: int, *, limit: int | None = MAX_SHOWN, skip: int = 0) -> Thread:
    """The newest messages of a ticket and those that the label is about; none if the ticket is one whole text.

    Args:
        limit: the number of newest messages; None for all.
        skip: leave out this number of newest messages, and older ones that the label is about.
    """
    on_reply = connection.execute(_ON_REPLY, {"id": ticket_id}).scalar_one_or_none()
    if on_reply is None:
        return Thread([], 0)
    rows = connection.execute(_THREAD, {"id": ticket_id, "limit": limit, "skip": skip}).all()
    stored = [
        ConversationMessage(row.text, Author(row.author), row.message_id) for row in rows if row.text is not None
    ]
    classified = {*judge(stored, OnReply(on_reply)).message_ids}
    messages: list[Mapping[str, Any]] = [
        {name: value for name, value in row._asdict().items() if name not in {"on_page", "total"}}
        | {"classified": row.message_id in classified}
        for row in rows
        if row.on_page or (not skip and row.message_id in classified)
    ]
    return Thread(messages, max(0, (rows[0].total if rows else 0) - skip - len(messages)))


def _store(connection: Connection, messages: Sequence[NewMessage]) -> frozenset[tuple[Identity, str]]:
    rows = {"rows": to_json([_row(message) for message in messages], inf_nan_mode="constants").decode()}
    connection.execute(_ADD_TICKETS, rows)
    new_answers = connection.execute(_STORE, rows)
    return frozenset((Identity(row.source, row.external_id), row.message_id) for row in new_answers)


def _row(new: NewMessage) -> dict[str, Any]:
    ticket, message = new.ticket, new.ticket.message or _WHOLE_TEXT
    return {
        "source": ticket.source, "external_id": ticket.external_id, "message_id": message.id,
        "author": message.author, "text": ticket.text, "deleted": message.deleted,
        "on_reply": message.on_reply,
        "revised_at": ticket.revised_at, "arrival": new.arrival, "received_at": new.received_at, "lane": new.lane,
        "metadata": ticket.metadata, "channel": channel_of(ticket.metadata),
        "language": language_of(ticket.metadata),
    }  # fmt: skip
