"""Tables of tickets: results, messages, history, dead letters, search and drift samples."""

from functools import partial
from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.types import DateTime, Double, Text, UserDefinedType

# Constraints have fixed names, so that migrations can refer to them.
metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
TIME: Final = DateTime(timezone=True)
required: Final = partial(Column[Any], nullable=False)
key: Final = partial(Column[Any], primary_key=True)


def row_id() -> Column[Any]:
    """A generated primary key."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def parent_id(table: str, name: str, **options: Any) -> Column[Any]:
    """A reference to a row, with which this one is deleted."""
    return Column(name, BigInteger, ForeignKey(f"{table}.id", ondelete="CASCADE"), **options)


def now(name: str) -> Column[Any]:
    """The time of the insert."""
    return Column(name, TIME, server_default=func.now(), nullable=False)


class TransactionId(UserDefinedType[str]):
    """Postgres' 64-bit transaction id, which never wraps around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type in a column's definition."""
        return "xid8"


# The newest text of a ticket and its current result, in one table so that queries need no join. `revision` counts the
# different texts that became the newest one, by (`revised_at`, `arrival`): the result is of this revision, by the
# version of the highest `epoch` (docs/decisions/0015-revisions.md). `arrival`: the order of entries in the inbox.
# Once `forgotten_at` is set, nothing is written: a redelivered entry must not restore what a customer asked us to
# delete.
# `state`: `unlabelled` (stored while there was no model), `waiting` (for the model's result), `classified`, or
# `failed` (a dead letter); NULL once forgotten. The result's columns are NULL unless it is `classified` (INV-36), and
# `epoch` is then 0. `on_reply`: the messages that the label of a conversation is about; NULL while the ticket is one
# whole text. The `text` of a conversation is composed from its `messages`, already cleaned.
# `lane`: `live` if any text of the customer came live; receivers then get the ticket's result. `channel`: as the CRM
# named it, kept when the metadata is purged. `language`: of the newest text.
# `changed_xid`: the transaction that last changed the current result, set by the triggers of `changes.sql`.
# Columns of fixed width come first, which saves padding and time when a row is read or written.
tickets: Final = Table(
    "tickets",
    metadata,
    row_id(),
    required("received_at", TIME),
    required("revised_at", TIME),
    required("arrival", BigInteger),
    required("epoch", BigInteger),
    required("changed_xid", TransactionId, server_default=text("pg_current_xact_id()")),
    Column("confidence", Double),
    Column("classified_at", TIME),
    required("revision", Integer),
    Column("tokens", Integer),
    Column("truncated", Boolean),
    required("source", Text),
    required("external_id", Text),
    required("digest", LargeBinary),
    Column("state", Text),
    Column("label", Text),
    Column("band", Text),
    Column("model_version", Text),
    required("lane", Text, server_default="live"),
    required("language", Text, server_default="und"),
    Column("abstain_reason", Text),
    Column("text", Text),
    required("metadata", JSONB, server_default=text("'{}'")),
    Column("probabilities", JSONB),
    Column("channel", Text),
    Column("on_reply", Text),
    Column("forgotten_at", TIME),
    UniqueConstraint("source", "external_id"),
    CheckConstraint(
        "state IN ('waiting', 'unlabelled', 'classified', 'failed') AND (state IS NULL) = (forgotten_at IS NOT NULL)",
        name="state",
    ),
    CheckConstraint("on_reply IN ('conversation', 'first', 'latest')", name="on_reply"),
    CheckConstraint(
        "num_nonnulls(label, confidence, probabilities, band, model_version, tokens, truncated, classified_at)"
        " = CASE WHEN state = 'classified' THEN 8 ELSE 0 END",
        name="result",
    ),
    Index("ix_tickets_newest", text("received_at DESC"), text("id DESC")),
    Index("ix_tickets_least_sure", "confidence", "id"),
    Index("ix_tickets_changed", "changed_xid", "id"),
    Index("ix_tickets_unlabelled", "id", postgresql_where=text("state = 'unlabelled'")),
    Index("ix_tickets_day", text("((received_at AT TIME ZONE 'UTC')::date)"), postgresql_using="brin"),
)

# A message of a conversation, as it came; the whole text of the ticket is the message with the empty id. Its newest
# version is the last one by (`revised_at`, `arrival`). `text` is NULL if it was deleted by its author, or purged.
# `written_at`: the time of the earliest version, which orders the conversation. `edited_at`, `deleted_at`: when the
# CRM changed or deleted it.
Table(
    "messages",
    metadata,
    parent_id("tickets", "ticket_id", primary_key=True),
    key("message_id", Text),
    required("author", Text),
    Column("text", Text),
    required("written_at", TIME),
    required("revised_at", TIME),
    required("arrival", BigInteger),
    Column("edited_at", TIME),
    Column("deleted_at", TIME),
    CheckConstraint("author IN ('customer', 'agent', 'bot')", name="author"),
    CheckConstraint("deleted_at IS NULL OR text IS NULL", name="deleted"),
    Index(
        "ix_messages_judged",
        "ticket_id",
        "written_at",
        text("length(message_id)"),
        "message_id",
        postgresql_where=text("author = 'customer' AND text IS NOT NULL"),
    ),
)

# The prediction of one model version for one text of one ticket. Written once, with two exceptions: `band` changes
# with the ticket's own (`triagem.db.runs.reband`), and a run with `force` replaces the prediction.
# `revision`: the first one with this text that the version judged; NULL if a newer text was stored before this one.
# `epoch`: the promotion under which the prediction became a result; 0 for a shadow run.
# `latency_s`: seconds from put to the statement that wrote this row; live tickets only.
# No foreign key, because its check took a tenth of the time of the window's statement. A statement that adds
# predictions locks their tickets, and `cascades.sql` deletes the predictions of a deleted ticket.
Table(
    "predictions",
    metadata,
    key("ticket_id", BigInteger),
    key("digest", LargeBinary),
    key("model_version", Text),
    required("label", Text),
    required("confidence", Double),
    required("probabilities", JSONB),
    required("band", Text),
    Column("abstain_reason", Text),
    required("tokens", Integer),
    required("truncated", Boolean),
    required("classified_at", TIME),
    required("epoch", BigInteger),
    Column("revision", Integer),
    Column("latency_s", REAL),
    Index("ix_predictions_live", "classified_at", postgresql_where=text("latency_s IS NOT NULL")),
)

# An entry that no worker can process, stored byte for byte for inspection and replay.
Table(
    "dead_letters",
    metadata,
    row_id(),
    required("lane", Text),
    required("entry_id", Text),
    required("payload", LargeBinary),
    required("reason", Text),
    required("attempts", Integer, server_default=text("1")),
    now("died_at"),
    UniqueConstraint("lane", "entry_id"),
)

# A ticket whose text must be indexed again, inserted by the window's statement. The table itself has no index.
Table("search_queue", metadata, required("ticket_id", BigInteger))

# The lexemes of one text of a ticket, as `triagem.db.tickets.search` stems them.
Table(
    "ticket_lexemes",
    metadata,
    parent_id("tickets", "ticket_id", primary_key=True),
    required("digest", LargeBinary),
    required("lexemes", TSVECTOR),
    Index("ix_ticket_lexemes_lexemes", "lexemes", postgresql_using="gin"),
)

# The embedding of a classified text by the model that classified it. Stored for few tickets, to detect drift.
Table(
    "samples",
    metadata,
    row_id(),
    parent_id("tickets", "ticket_id", nullable=False),
    required("digest", LargeBinary),
    required("model_version", Text),
    required("embedding", ARRAY(REAL())),
    required("label", Text),
    required("confidence", Double),
    required("tokens", Integer),
    required("lang", Text, server_default=""),
    now("sampled_at"),
    UniqueConstraint("ticket_id", "digest", "model_version"),
    Index("ix_samples_model_version_id", "model_version", "id"),
)

# A comparison of recent samples with a version's reference. `detail` contains the statistics of each test.
drift_reports: Final = Table(
    "drift_reports",
    metadata,
    row_id(),
    required("model_version", Text),
    now("made_at"),
    required("drifted", Boolean),
    required("rows", Integer),
    required("reference_rows", Integer),
    required("detail", JSONB),
)
