"""Builds dead letters."""

from tests.support.builders import ticket
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.tickets.dead_letters import insert_dead_letter


def payload_of(name: str, text: str = "my card number is 4111", *, source: str = "crm") -> bytes:
    """The payload of the ticket with this external id."""
    return encode(ticket(source=source, external_id=name, text=text))


def insert_dead_letters(
    database: Database, *payloads: bytes, lane: Lane = Lane.LIVE, reason: str = "the model raised"
) -> None:
    """Insert a dead letter for each payload."""
    for number, payload in enumerate(payloads):
        insert_dead_letter(database, lane, f"{number}-{abs(hash((reason, payload)))}".encode(), payload, reason)
