"""Reads a conversation for people: who wrote what and when, and which messages the label is about."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from triagem.contracts.conversation import ConversationMessage, judge
from triagem.contracts.ticket import Author, OnReply
from triagem.db.connect import Database

_MESSAGES: Final = text("""
SELECT message_id, author, text, written_at, edited_at, deleted_at FROM messages
WHERE ticket_id = :id ORDER BY written_at, length(message_id), message_id
""")
_ON_REPLY: Final = text("SELECT on_reply FROM tickets WHERE id = :id")


def find_thread(database: Database, ticket_id: int) -> list[Mapping[str, Any]]:
    """`read_thread` on a connection of its own."""
    with database.autocommit() as connection:
        return read_thread(connection, ticket_id)


def read_thread(connection: Connection, ticket_id: int) -> list[Mapping[str, Any]]:
    """The messages of a ticket, oldest first, each with `classified`; empty if the ticket is one whole text."""
    on_reply = connection.execute(_ON_REPLY, {"id": ticket_id}).scalar_one_or_none()
    if on_reply is None:
        return []
    messages = [*connection.execute(_MESSAGES, {"id": ticket_id}).mappings()]
    stored = [
        ConversationMessage(row["text"], Author(row["author"]), row["message_id"])
        for row in messages
        if row["text"] is not None
    ]
    classified = {*judge(stored, OnReply(on_reply)).message_ids}
    return [{**row, "classified": row["message_id"] in classified} for row in messages]
