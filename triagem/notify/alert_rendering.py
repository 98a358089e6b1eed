"""Renders an alert digest as a message for Slack, a webhook or e-mail. Never contains a customer's text. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Final
from urllib.parse import quote, urlencode

from triagem.contracts.moments import time_zone
from triagem.contracts.prediction import Band
from triagem.db.outbox.alerts import AlertDigest, DoubtfulTicket
from triagem.notify.alert_messages import RUNBOOK_SECTIONS, describe, headline, local_number, phrase
from triagem.notify.alert_rules import AlertSettings, Language

_MAX_LINE: Final = 900  # RFC 5322 allows 998 bytes


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """A message for a channel. `key` is the same on each attempt; `data` has the same content for programs.

    `chat_lines` are the lines with names from a CRM as inline code.
    """

    key: str
    created_at: datetime
    subject: str
    lines: tuple[str, ...]
    chat_lines: tuple[str, ...]
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Subject and lines, as plain text."""
        return "\n".join((self.subject, *self.lines))


def build_message(digest: AlertDigest, language: Language, settings: AlertSettings) -> AlertMessage:
    """Build the message for a digest. Its subject names the newest open problem, if any, and counts tickets."""
    tickets = sum(count.tickets for count in digest.counts)
    heads = []
    if digest.events:
        event = min(digest.events, key=lambda event: event.detail.get("state") == "resolved")
        others = len(digest.events) + digest.more - 1
        cause = headline(language, event.kind, event.detail)
        heads.append(phrase(language, "more-events", cause=cause, events=others) if others else cause)
    if tickets:
        heads.append(phrase(language, "one-ticket" if tickets == 1 else "many-tickets", tickets=tickets))
    lines, chat_lines = (_lines(digest, language, settings, shown) for shown in (_printable, _code))
    data = {
        "rule": digest.target.partition(".")[0],
        "tickets": tickets,
        "counts": [asdict(count) for count in digest.counts],
        "least_sure": [
            {**asdict(ticket), "link": ticket_link(ticket, settings.console_url)} for ticket in digest.doubtful
        ],
        "events": [
            {
                "kind": event.kind,
                "at": event.at.isoformat(),
                "detail": dict(event.detail),
                "runbook": _runbook_link(event.kind, settings.runbook_url),
                "console": _operations_link(settings.console_url),
            }
            for event in digest.events
        ],
    }
    return AlertMessage(digest.key, digest.created_at, f"Triagem: {'; '.join(heads)}", lines, chat_lines, data)


def build_test_message(rule: str, language: Language, now: datetime) -> AlertMessage:
    """A test message for the channels of a rule."""
    subject = f"Triagem: {phrase(language, 'test', rule=rule)}"
    return AlertMessage(f"alert_test_{now:%Y%m%d%H%M%S%f}", now, subject, (), (), {"rule": rule, "test": True})


def ticket_link(ticket: DoubtfulTicket, console_url: str | None) -> str | None:
    """The ticket's page in the console; None without a console."""
    if console_url is None:
        return None
    query = urlencode({"source": ticket.source, "id": ticket.external_id}, quote_via=quote)
    return f"{console_url.rstrip('/')}/ticket?{query}"


def slack_payload(message: AlertMessage) -> dict[str, str]:
    """The content of an incoming webhook of Slack or Mattermost.

    Slack reads `<…>` as commands, so `<`, `>` and `&` are escaped. Names from a CRM are inline code, in which neither
    program interprets emphasis, links or mentions.
    """
    text = "\n".join((message.subject, *message.chat_lines))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def webhook_event(message: AlertMessage) -> dict[str, Any]:
    """The body of a signed webhook: the data, and the message as `text`."""
    data = {"id": message.key, **message.data, "text": message.text}
    return {"type": "alerts.raised", "timestamp": message.created_at.isoformat(), "data": data}


def build_email(message: AlertMessage, sender: str, to: Sequence[str]) -> EmailMessage:
    """Build an e-mail. Its Message-ID is the same on each attempt, so that a mailbox shows a repetition once."""
    email = EmailMessage()
    email["From"], email["To"], email["Subject"] = sender, ", ".join(to), message.subject
    email["Date"] = message.created_at
    email["Message-ID"] = f"<{message.key}@{sender.rpartition('@')[2]}>"
    email["Auto-Submitted"] = "auto-generated"
    email.set_content("\n".join((*(message.lines or (message.subject,)), "")))
    # Python doubles a space at which it folds a header between ASCII and other words.
    email.policy = email.policy.clone(max_line_length=_MAX_LINE)
    return email


def _operations_link(console_url: str | None) -> str | None:
    return f"{console_url.rstrip('/')}/operations" if console_url else None


def _runbook_link(kind: str, runbook_url: str) -> str | None:
    return f"{runbook_url}#{section}" if (section := RUNBOOK_SECTIONS.get(kind)) else None


def _lines(
    digest: AlertDigest, language: Language, settings: AlertSettings, shown: Callable[[str], str]
) -> tuple[str, ...]:
    """The lines of a message; `shown` renders a name from a CRM."""
    lines, zone, undecided = list[str](), time_zone(settings.timezone), phrase(language, "abstain")
    for event in digest.events:
        lines.append(describe(language, event.kind, event.detail, zone=zone))
        is_open = event.detail.get("state") != "resolved"
        if is_open and (link := _runbook_link(event.kind, settings.runbook_url)):
            lines.append(phrase(language, "runbook", link=link))
    lines += [phrase(language, "more", more=digest.more)] if digest.more else []
    if digest.events and (link := _operations_link(settings.console_url)):
        lines.append(phrase(language, "console", link=link))
    lines += [
        f"{shown(count.source)} {count.label or undecided}: {local_number(language, f'{count.tickets:,}')}"
        for count in digest.counts
    ]
    if digest.doubtful:
        lines.append(phrase(language, "least-sure"))
        lines += [
            _ticket_line(ticket, language, ticket_link(ticket, settings.console_url), shown)
            for ticket in digest.doubtful
        ]
    return tuple(lines)


def _ticket_line(ticket: DoubtfulTicket, language: Language, url: str | None, shown: Callable[[str], str]) -> str:
    if ticket.label is None:
        summary = ": ".join(phrase(language, key) for key in (Band.ABSTAIN, ticket.abstain_reason) if key)
    else:
        confidence, band = f"{ticket.confidence:.0%}", phrase(language, ticket.band.value)
        summary = phrase(language, "ticket", label=ticket.label, confidence=confidence, band=band)
    return " ".join(filter(None, (f"- {shown(ticket.source)} {shown(ticket.external_id)}: {summary}", url)))


def _printable(name: str) -> str:
    """A name from a CRM, without characters that could break the line."""
    return "".join(character if character.isprintable() else "?" for character in name)


def _code(name: str) -> str:
    """A name from a CRM as inline code, without backticks. URLs are broken up, so that no program links them."""
    inner = _printable(name).replace("`", "'").replace("://", ": //")
    return f"`{inner}`"
