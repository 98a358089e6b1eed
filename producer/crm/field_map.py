"""Reads any CRM's JSON by the expressions of its source: selects records, ignores some, makes tickets of the rest."""

from datetime import datetime
from hashlib import sha256
from typing import Final

from pydantic import ValidationError

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.field_errors import first_error
from triagem.contracts.ticket import Message, Ticket, accept
from triagem.producer.crm.expressions import search
from triagem.producer.crm.payload import (
    MAX_RECORDS,
    AcceptedWebhook,
    IgnoredWebhook,
    OversizedWebhook,
    ReadWebhook,
    UnmatchedWebhook,
    UnreadableWebhook,
    has_text,
    is_empty,
    parse_id,
    parse_time,
    safe_name,
)
from triagem.producer.crm.settings import Source
from triagem.producer.placeholders import check_filled

# What an expression returns instead of a value that the CRM does not give.
_RECEIVED: Final = "received"
_DIGEST: Final = "digest"


def read(payload: object, source: Source, now: datetime, sent_at: datetime) -> ReadWebhook:
    """Read a webhook's JSON as tickets, one per record. Raises InvalidTicket if `records` fails."""
    records = select(source.records, payload)
    if len(records) > MAX_RECORDS:
        return OversizedWebhook(f"{len(records):,} records: a webhook may have at most {MAX_RECORDS:,}")
    if not records:
        return _judge(payload, source) or UnmatchedWebhook(_unmatched(payload, source))
    tickets, ignored, unread = list[Ticket](), list[str](), list[str]()
    for number, record in enumerate(records, 1):
        try:
            match read_record(record, source, now, sent_at):
                case Ticket() as ticket:
                    tickets.append(ticket)
                case IgnoredWebhook(reason):
                    ignored.append(reason)
        except InvalidTicket as error:
            unread.append(f"record {number}: {error}" if len(records) > 1 else str(error))
    if unread and not tickets:
        return UnreadableWebhook(unread[0])
    return AcceptedWebhook(tuple(tickets), tuple(unread)) if tickets else IgnoredWebhook(ignored[0])


def read_record(record: object, source: Source, now: datetime, sent_at: datetime) -> Ticket | IgnoredWebhook:
    """The ticket of a record, or why the record is not a customer's message. Raises InvalidTicket."""
    match _judge(record, source):
        case IgnoredWebhook() as ignored:
            return ignored
        case UnreadableWebhook(reason):
            raise InvalidTicket("", reason)
    fields = source.fields
    deleted = search(fields.deleted, record, "deleted") is True
    text = "" if deleted else _text(record, source)
    if text is None:
        return IgnoredWebhook("no text")
    external_id = parse_id(search(fields.external_id, record, "external_id"), source.described("external_id"))
    moment = search(fields.revised_at or f"'{_RECEIVED}'", record, "revised_at")
    metadata = {name: search(expression, record, f"metadata.{name}") for name, expression in fields.metadata.items()}
    metadata["url"] = metadata.get("url") or source.link(external_id)
    ticket = {
        "source": source.name,
        "external_id": external_id,
        "text": text,
        "revised_at": sent_at
        if moment == _RECEIVED
        else parse_time(moment, source.described("revised_at"), fields.moments),
        "metadata": {name: value for name, value in metadata.items() if not is_empty(value)},
        "message": _message(record, source, text, deleted=deleted),
    }
    check_filled(external_id, text)
    return accept(ticket, now=now)


def _message(record: object, source: Source, text: str, *, deleted: bool) -> Message | None:
    """The record as a message of a conversation; None if it is a whole text. Raises InvalidTicket."""
    fields = source.fields
    message_id = search(fields.message_id, record, "message_id")
    if message_id is None:
        return None
    # The text is not validated yet, so it may contain lone surrogates.
    digest = sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]
    author = search(fields.author, record, "author")
    values = {"id": digest if message_id == _DIGEST else message_id, "author": author}
    try:
        return Message(
            deleted=deleted, on_reply=source.on_reply, **{k: v for k, v in values.items() if v is not None}
        )
    except ValidationError as error:
        field, reason = first_error(error)
        raise InvalidTicket(source.described("message_id" if field == "id" else "author"), reason) from None


def select(expression: str, payload: object) -> list[object]:
    """The values that an expression selects in a payload or, if it is a list and none are selected, in its items."""
    for values in ([payload], payload if isinstance(payload, list) else []):
        selections = [search(expression, value, "records") for value in values]
        lists = [records if isinstance(records, list) else [records] for records in selections]
        if selected := [record for records in lists for record in records if record is not None]:
            return selected
    return []


def _judge(value: object, source: Source) -> IgnoredWebhook | UnreadableWebhook | None:
    """The outcome by the source's first rule that matches a record, or a payload without records."""
    for kind, rules in ((UnreadableWebhook, source.unreadable), (IgnoredWebhook, source.ignore)):
        for rule in rules:
            if search(rule.when, value, "when"):
                return kind(rule.reason.replace("{event}", event_name(value, source) or "?"))
    return None


def event_name(value: object, source: Source) -> str | None:
    """The name of a payload's event; `?` if the value may not be a name; None if there is none."""
    name = search(source.event, value, "event")
    return None if name is None else safe_name(name)


def _unmatched(payload: object, source: Source) -> str:
    name = event_name(payload, source)
    return "`records` selects no record" + (f", and {name} is not a known event" if name else "")


def _text(record: object, source: Source) -> str | None:
    """The record's text; None if it has no text, such as a picture. Raises InvalidTicket."""
    fields = source.fields
    pieces = [search(expression, record, "text") for expression in fields.text]
    if fields.message is not None:
        message = search(fields.message, record, "message")
        if not isinstance(message, str):
            raise InvalidTicket(source.described("message"), "is missing or not text")
        subject = " ".join(" ".join(piece for piece in pieces if isinstance(piece, str)).split())
        return "\n".join(filter(None, (subject, message.strip()))) if has_text(message) else None
    if invalid := next((piece for piece in pieces if not isinstance(piece, str | int | float | None)), None):
        raise InvalidTicket("text", f"is {type(invalid).__name__}, expected text")
    text = "\n".join(str(piece) for piece in pieces if piece not in (None, ""))
    if all(piece is None for piece in pieces):
        raise InvalidTicket(source.described("text"), "is empty")
    return text if has_text(text) else None
