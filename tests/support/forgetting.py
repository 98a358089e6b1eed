"""The ticket of tests about forgetting, and where it might still be."""

from typing import Any, Final

from tests.support.windows import doubtful, rows
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.stream import entries_of, stream_key

WHOSE: Final = Identity("crm", "4711")
WORDS: Final = "my card number is 4111"


def ours(words: str = WORDS, **changes: Any) -> Any:
    """A doubtful result of the ticket that is to be forgotten."""
    return doubtful(words, source="crm", **{"external_id": "4711", "metadata": {"phone": WORDS}, **changes})


def said(database: Database) -> str:
    """Whatever stands in all tables."""
    return str({table: rows(database, table) for table in ("tickets", "predictions", "alerts", "reviews")}) + str(
        [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
    )


def waiting(inbox: Inbox) -> list[bytes]:
    """All payloads in both lanes."""
    streams = [entries_of(lane, inbox.redis.xrange(stream_key(lane)) or ()) for lane in Lane]
    return [entry.payload or b"" for stream in streams for entry in stream]
