"""Dead letters for tests."""

from tests.support.builders import ticket
from triagem.contracts.ticket import Lane
from triagem.contracts.wire import encode
from triagem.db import Database
from triagem.db.dead import bury


def entry_of(name: str, words: str = "my card number is 4111", *, source: str = "crm") -> bytes:
    """The payload of the ticket of that name."""
    return encode(ticket(source=source, external_id=name, text=words))


def buried(database: Database, *payloads: bytes, lane: Lane = Lane.LIVE, reason: str = "the model raised") -> None:
    """A dead letter for each payload."""
    for number, payload in enumerate(payloads):
        bury(database, lane, f"{number}-{abs(hash((reason, payload)))}".encode(), payload, reason)
