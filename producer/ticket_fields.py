"""The fields of a ticket as `Publisher` and the clients accept them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from pydantic import JsonValue

from triagem.contracts.ticket import Message, Ticket


class TicketFields(TypedDict):
    """The fields of `triagem.Ticket`. Without `revised_at`, the text counts as written now."""

    source: str
    external_id: str
    text: str
    revised_at: NotRequired[datetime | None]
    metadata: NotRequired[Mapping[str, JsonValue] | None]
    message: NotRequired[Message | None]


def ticket_data(fields: Ticket | TicketFields) -> dict[str, Any]:
    """The fields as `Ticket` validates them: with metadata as a dict."""
    data: dict[str, Any] = dict(fields)
    metadata = data.get("metadata")
    if isinstance(metadata, Mapping) and not isinstance(metadata, dict):
        data["metadata"] = dict(metadata)
    return data
