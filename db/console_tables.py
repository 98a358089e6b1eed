"""The console's tables: what searching in texts needs, and who is logged in."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from triagem.db.base import Base


class SearchDue(Base):
    """A ticket whose words are to be looked at again: written in the window's statement, without any index."""

    __tablename__ = "search_due"
    __mapper_args__ = {"primary_key": ["ticket_id"]}  # noqa: RUF012 - the table itself has none

    ticket_id: Mapped[int] = mapped_column(BigInteger)


class TicketWords(Base):
    """The words of one text of a ticket, as `triagem.db.search` stems them."""

    __tablename__ = "ticket_words"
    __table_args__ = (Index("ix_ticket_words_words", "words", postgresql_using="gin"),)

    ticket_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[bytes]
    words: Mapped[Any] = mapped_column(TSVECTOR())


class ConsoleSession(Base):
    """Somebody logged in: the SHA-256 of the session's token."""

    __tablename__ = "console_sessions"

    hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("api_keys.id", ondelete="CASCADE"))
    ends_at: Mapped[datetime]
