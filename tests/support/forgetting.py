"""The ticket that tests forget, and readers of the places where it could remain."""

from typing import Any, Final

from tests.support.windows import doubtful, rows
from triagem.contracts.ticket import Identity, Lane
from triagem.db import Database
from triagem.inbox import Inbox
from triagem.inbox.stream import entries_of, stream_key

FORGOTTEN: Final = Identity("crm", "4711")
FORGOTTEN_TEXT: Final = "my card number is 4111"


def forgotten_result(text: str = FORGOTTEN_TEXT, **changes: Any) -> Any:
    """A doubtful result of the ticket that is to be forgotten."""
    return doubtful(text, source="crm", **{"external_id": "4711", "metadata": {"phone": FORGOTTEN_TEXT}, **changes})


def all_content(database: Database) -> str:
    """The content of all tables."""
    return str({table: rows(database, table) for table in ("tickets", "predictions", "alerts", "reviews")}) + str(
        [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
    )


def waiting_payloads(inbox: Inbox) -> list[bytes]:
    """The payloads in both lanes."""
    streams = [entries_of(lane, inbox.redis.xrange(stream_key(lane)) or ()) for lane in Lane]
    return [entry.payload or b"" for stream in streams for entry in stream]
