"""A message about alerts as each channel wants it: how many, of what, the least sure few; never a text. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Any
from urllib.parse import quote, urlencode

from triagem.alerts.settings import Language
from triagem.alerts.words import says, title, word
from triagem.db.notices import Doubt, Notice


@dataclass(frozen=True, slots=True)
class Message:
    """What is told. `key` is the same at each attempt; `data` says the same to programs."""

    key: str
    made_at: datetime
    subject: str
    lines: tuple[str, ...]
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Subject and lines."""
        return "\n".join((self.subject, *self.lines))


def message(notice: Notice, language: Language, console_url: str | None) -> Message:
    """The message that tells of these alerts.

    Args:
        console_url: where the console is, for links to tickets.
    """
    tickets = sum(one.tickets for one in notice.counts)
    events = len(notice.events) + notice.more
    heads = [word(language, "one" if tickets == 1 else "many", tickets=f"{tickets:,}")] if tickets else []
    heads += [word(language, "event" if events == 1 else "events", events=events)] if events else []
    lines = [f"{_shown(one.source)} {one.label}: {one.tickets:,}" for one in notice.counts]
    if notice.doubts:
        lines.append(word(language, "least"))
        lines += [_line(one, language, link(one, console_url)) for one in notice.doubts]
    for event in notice.events:
        lines.append(f"{title(language, event.kind, event.detail)}: {says(language, event.kind, event.detail)}")
    lines += [word(language, "more", more=notice.more)] if notice.more else []
    rule = notice.target.partition(".")[0]
    data = {
        "rule": rule,
        "tickets": tickets,
        "counts": [{"source": one.source, "label": one.label, "tickets": one.tickets} for one in notice.counts],
        "least_sure": [
            {
                "source": one.source,
                "external_id": one.external_id,
                "label": one.label,
                "confidence": one.confidence,
                "band": one.band.value,
                "link": link(one, console_url),
            }
            for one in notice.doubts
        ],
        "events": [{"kind": one.kind, "at": one.at.isoformat(), "detail": dict(one.detail)} for one in notice.events],
    }
    return Message(notice.key, notice.created_at, f"Triagem [{rule}]: {', '.join(heads)}", tuple(lines), data)


def trial(rule: str, language: Language, now: datetime) -> Message:
    """A message that says that messages arrive."""
    subject = f"Triagem [{rule}]: {word(language, 'test', rule=rule)}"
    return Message(f"alert_test_{now:%Y%m%d%H%M%S%f}", now, subject, (), {"rule": rule, "test": True})


def link(one: Doubt, console_url: str | None) -> str | None:
    """Where a person looks at the ticket; None without a console."""
    if console_url is None:
        return None
    ticket = urlencode({"source": one.source, "id": one.external_id}, quote_via=quote)
    return f"{console_url.rstrip('/')}/ticket?{ticket}"


def slack_body(message: Message) -> bytes:
    """The JSON of an incoming webhook. Slack reads `<…>` as commands, and asks to escape just these three signs."""
    text = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _json({"text": text})


def webhook_body(message: Message) -> bytes:
    """The JSON of a signed webhook: the figures, and the words as `text`."""
    data = {"id": message.key, **message.data, "text": message.text}
    return _json({"type": "alerts.raised", "timestamp": message.made_at.isoformat(), "data": data})


def mail(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """An e-mail. Its Message-ID is the same at each attempt: mailboxes that know it show it once."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, ", ".join(to), message.subject
    made["Date"] = message.made_at
    made["Message-ID"] = f"<{message.key}@{sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made.set_content("\n".join((message.subject, *message.lines, "")))
    return made


def _line(one: Doubt, language: Language, where: str | None) -> str:
    how = word(
        language, "doubt", label=one.label, confidence=f"{one.confidence:.0%}", band=word(language, one.band.value)
    )
    return " ".join(filter(None, (f"- {_shown(one.source)} {_shown(one.external_id)}: {how}", where)))


def _shown(name: str) -> str:
    """A name that a CRM gave, in one line of ours."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
