"""The ticket that tests forget, and readers of the places where it could remain."""

from typing import Any, Final

from sqlalchemy import text

from tests.support.conversations import ManualWorker, entries, message
from tests.support.dead_letters import insert_dead_letters
from tests.support.leaks import all_output, broker_content, leaks
from tests.support.windows import doubtful, rows
from triagem.contracts.ticket import Identity, Lane, Ticket
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.schema import metadata
from triagem.db.tickets.search import index_queued_tickets
from triagem.inbox import Inbox
from triagem.inbox.stream import entries_of, stream_key
from triagem.stack import LocalStack

FORGOTTEN: Final = Identity("crm", "4711")
FORGOTTEN_TEXT: Final = "my card number is 4111"
CUSTOMER_WORD: Final = "xptocliente"
AGENT_WORD: Final = "xptoagente"


def forgotten_result(text: str = FORGOTTEN_TEXT, **changes: Any) -> Any:
    """A doubtful result of the ticket that is to be forgotten."""
    metadata = {"phone": FORGOTTEN_TEXT, "channel": "chat"}
    return doubtful(text, source="crm", **{"external_id": "4711", "metadata": metadata, **changes})


def conversation_everywhere(database: Database, inbox: Inbox) -> None:
    """A conversation of the ticket with one message of the customer and one of an agent in each place."""
    database_messages, letters, waiting = (
        [_message(f"{place}-1", CUSTOMER_WORD), _message(f"{place}-2", AGENT_WORD, author="agent")]
        for place in ("stored", "dead", "waiting")
    )
    ManualWorker(database).process(entries(database_messages))
    index_queued_tickets(database)
    insert_dead_letters(database, *map(encode, letters))
    inbox.put(Lane.LIVE, [encode(each) for each in waiting])


def _message(message_id: str, word: str, *, author: str = "customer") -> Ticket:
    text = f"Quero cancelar o contrato {word}"
    return message(message_id, text, author=author, source="crm", external_id="4711")


def all_content(database: Database) -> str:
    """The content of all tables that can hold a customer's words."""
    tables = ("tickets", "messages", "ticket_lexemes", "predictions", "alerts", "reviews")
    return str({table: rows(database, table) for table in tables}) + str(
        [bytes(letter["payload"]) for letter in rows(database, "dead_letters")]
    )


def places_with(word: str, database: Database, inbox: Inbox, stack: LocalStack) -> list[str]:
    """The tables, the inbox and the servers' logs that contain a word."""
    with database.autocommit() as connection:
        tables = {table: str(connection.execute(text(f"SELECT * FROM {table}")).all()) for table in metadata.tables}
    return leaks(tables | all_output(stack, database) | {"inbox": broker_content(inbox.redis)}, word)


def waiting_payloads(inbox: Inbox) -> list[bytes]:
    """The payloads in both lanes."""
    streams = [entries_of(lane, inbox.redis.xrange(stream_key(lane)) or ()) for lane in Lane]
    return [entry.payload or b"" for stream in streams for entry in stream]
