"""Tables of the console: full-text search and login sessions."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class SearchQueueRow(Base):
    """A ticket whose text must be indexed again: inserted by the window's statement; without any index."""

    __tablename__ = "search_queue"
    __mapper_args__ = {"primary_key": ["ticket_id"]}  # noqa: RUF012 - the table itself has none

    ticket_id: Mapped[int] = mapped_column(BigInteger)


class TicketLexemesRow(Base):
    """The lexemes of one text of a ticket, as `triagem.db.search` stems them."""

    __tablename__ = "ticket_lexemes"
    __table_args__ = (Index("ix_ticket_lexemes_lexemes", "lexemes", postgresql_using="gin"),)

    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes]
    lexemes: Mapped[Any] = mapped_column(TSVECTOR())


class ConsoleSessionRow(Base):
    """A console login: the SHA-256 of the session's token."""

    __tablename__ = "console_sessions"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("api_keys.id", ondelete="CASCADE"))
    ends_at: Mapped[datetime]
