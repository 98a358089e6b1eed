"""Explains a CRM file to the engineer who writes it: what a source expects, what a payload becomes, how to fix it.

Used by `triagem crm check`. It may show the customer's text, because nothing is sent or stored.
"""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, Literal

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.moments import DateOrder, has_numeric_date
from triagem.contracts.ticket import Author
from triagem.producer.crm import expressions, field_map
from triagem.producer.crm.check_proof import check_proof
from triagem.producer.crm.payload import (
    AcceptedWebhook,
    IgnoredWebhook,
    UnmatchedWebhook,
    Webhook,
    parse_id,
    parse_time,
)
from triagem.producer.crm.receive import challenge, not_a_label, read_body, read_verdicts, verdict_label
from triagem.producer.crm.settings import Source
from triagem.producer.crm.signature import TOKEN_HEADER

_MAX_NAMES: Final = 12
_NOTHING: Final = "selects nothing"
_NOT_JSON: Final = (
    "The body must be JSON in UTF-8: a template must escape the customer's quotation marks and backslashes."
)
_A_FORM: Final = "The body is a form (application/x-www-form-urlencoded): let the CRM send JSON."
_XML: Final = "The body is XML or HTML: let the CRM send JSON."
_FORM: Final = re.compile(rb"[\w.%+\[\]-]+=")
_PATH: Final = re.compile(rb"\b[A-Za-z]:\\[bfnrt]")
_OPTIONAL: Final = ("message", "message_id", "author", "deleted", "revised_at")


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """A field of the ticket in the first record: its expression, the value that it selects, and what is wrong."""

    name: str
    expression: str
    value: object
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PayloadCheck:
    """The outcome of a payload. `sender`: whether the sender's proof is valid, or why it was not checked.

    `verdicts`: changes by people, and what becomes of each.
    """

    outcome: Literal["accepted", "ignored", "dead-lettered", "refused"]
    reason: str | None
    sender: str
    tickets: list[dict[str, Any]] = field(default_factory=list)
    fields: list[FieldCheck] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    verdicts: list[str] = field(default_factory=list)


def describe_source(source: Source) -> dict[str, str]:
    """A source in words: how it is read, how its sender is verified, and where its results go."""
    scheme = source.signature
    proof = f"a token in {TOKEN_HEADER}, as Authorization: Bearer, or as ?token="
    if source.secret is not None and scheme is not None:
        time = f", with the time in {scheme.time_field}" if scheme.covers_time else ""
        prefix = f" after {scheme.prefix}" if scheme.prefix else ""
        proof = f"a signature in {scheme.header}: HMAC-{scheme.algorithm.upper()} in {scheme.encoding}{prefix}{time}"
    return {
        "name": source.name,
        "adapter": source.adapter,
        "path": f"/v1/webhooks/{source.name}",
        "sender": proof,
        "results": ", ".join(source.destinations) or "not sent back",
    }


def check_payload(
    webhook: Webhook, source: Source, now: datetime, known_labels: Collection[str] = ()
) -> PayloadCheck:
    """The outcome that a gateway would reach for this webhook of the source, and how to fix what is wrong.

    Args:
        known_labels: the labels that a correction may show; empty if they are not known.
    """
    sender, advice = check_proof(webhook, source, now)
    if advice:
        return PayloadCheck("refused", "the gateway answers 401", sender, advice=advice)
    if expected := challenge(webhook, source):
        return PayloadCheck("ignored", f"a test of the URL, answered with {expected!r}", sender)
    checked = _check_body(webhook, source, sender, now)
    corrections, problems = list[str](), list[str]()
    for verdict in read_verdicts(webhook, source):
        corrected = f"{verdict.ticket.external_id}: {', '.join(verdict.values)}, by {verdict.reviewer}"
        if label := verdict_label(verdict, source, known_labels):
            corrections.append(f"{corrected}: a review with the label {label}, if the ticket has another label")
        elif problem := not_a_label(verdict, source):
            if known_labels:
                problems.append(problem)
            else:
                corrections.append(f"{corrected}: a review, if it shows a label")
    is_correction = isinstance(read_body(webhook, source, now), IgnoredWebhook | UnmatchedWebhook)
    if not is_correction or not (corrections or problems):
        return replace(checked, verdicts=[*corrections, *problems])
    if corrections:
        return PayloadCheck("accepted", None, sender, verdicts=[*corrections, *problems])
    return PayloadCheck("ignored", problems[0], sender, advice=[f"Known labels: {', '.join(known_labels)}."])


def _check_body(webhook: Webhook, source: Source, sender: str, now: datetime) -> PayloadCheck:
    outcome, records = read_body(webhook, source, now), list[object]()
    with suppress(InvalidTicket):
        records = field_map.select(source.records, webhook.payload)
    fields = _check_fields(records[0], source) if records else []
    match outcome:
        case AcceptedWebhook(tickets, unread):
            values = [ticket.model_dump(mode="json", exclude_none=True) for ticket in tickets]
            advice = [*_advise_texts(fields), *_advise_date_order(fields, source), *_advise_escapes(webhook.body)]
            return PayloadCheck("accepted", "; ".join(unread) or None, sender, values, fields, advice)
        case IgnoredWebhook(reason):
            return PayloadCheck("ignored", reason, sender, fields=fields)
        case UnmatchedWebhook(reason):
            return PayloadCheck(
                "dead-lettered", reason, sender, advice=list(_advise_records(webhook.payload, source))
            )
    if outcome.reason.startswith("body: "):
        advice = [_A_FORM if _FORM.match(webhook.body) else _XML if webhook.body.lstrip()[:1] == b"<" else _NOT_JSON]
    else:
        advice = list(_advise_fields(fields))
    return PayloadCheck("dead-lettered", outcome.reason, sender, fields=fields, advice=advice)


def _check_fields(record: object, source: Source) -> list[FieldCheck]:
    fields = source.fields
    expressions = [("external_id", fields.external_id), *(("text", text) for text in fields.text)]
    expressions += [(name, getattr(fields, name)) for name in _OPTIONAL if getattr(fields, name)]
    expressions += [(f"metadata.{name}", expression) for name, expression in fields.metadata.items()]
    read = [expression for _, expression in expressions] + ([source.verdict.value] if source.verdict else [])
    used = frozenset(name for expression in read for name in re.findall(r"\w+", expression))
    return [_check_field(name, expression, record, source, used) for name, expression in expressions]


def _check_field(name: str, expression: str, record: object, source: Source, used: Collection[str]) -> FieldCheck:
    expression = " ".join(expression.split())
    try:
        value = expressions.search(expression, record, name)
    except InvalidTicket as error:
        return FieldCheck(name, expression, None, error.reason)
    problem = _missing(expression, record, used) if value is None else _problem(name, value, source)
    return FieldCheck(name, expression, value, problem)


def _problem(name: str, value: object, source: Source) -> str | None:
    try:
        if name == "revised_at":
            parse_time(value, name, source.fields.moments)
        elif name == "external_id":
            parse_id(value, name)
        elif name == "text" and isinstance(value, list | dict):
            return _select_text(value)
        elif name == "author" and value not in list(Author):
            return f"must be customer, agent or bot; here it is {value!r}"
    except InvalidTicket as error:
        return error.reason
    return None


def _select_text(value: list[Any] | dict[str, Any]) -> str:
    """Advice to select a text inside a list or an object."""
    kind, inner = ("a list", value[-1] if value else None) if isinstance(value, list) else ("an object", value)
    return f"is {kind}{_inner_names(inner)}: select a text in it" + (
        ", such as the last item's with [-1]" if isinstance(value, list) else ""
    )


def _missing(expression: str, value: object, used: Collection[str] = ()) -> str:
    """The place at which a path such as `contact.name` stops in a record, and the value found there instead.

    A name that another expression has `used` is not what this one means.
    """
    path = ""
    for name in expression.split(".") if _is_path(expression) else ():
        if not isinstance(value, dict):
            return f"{path or 'the record'} is not an object"
        if name not in value:
            near = get_close_matches(name, [key for key in map(str, value) if key not in used], n=1)
            names = ", ".join(str(inner) for inner, _ in _first(value)) or "nothing"
            return f"{path or 'the record'} has no {name}" + (
                f"; did you mean {near[0]}?" if near else f"; it has {names}"
            )
        value, path = value[name], f"{path}.{name}".lstrip(".")
    return _NOTHING


def _first(fields: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(fields.items())[:_MAX_NAMES]


def _inner_names(value: object) -> str:
    return f" ({', '.join(str(name) for name, _ in _first(value))})" if isinstance(value, dict) and value else ""


def _is_path(expression: str) -> bool:
    return expression.replace(".", "").replace("_", "").isalnum()


def _advise_fields(fields: list[FieldCheck]) -> Iterator[str]:
    for check in fields:
        if check.name == "revised_at" and check.problem and check.value is not None:
            yield (
                "revised_at needs a time with an offset, or seconds or milliseconds since 1970. For local times, add "
                'to `fields`: timezone = "America/Sao_Paulo", and date_order = "dmy" for dates such as 03/04/2026.'
            )
        elif check.problem and not check.name.startswith("metadata."):
            yield f"{check.name} = {check.expression}: {check.problem}"
            if check.name == "author" and check.value is not None:
                yield _advise_author(check)


def _advise_texts(fields: list[FieldCheck]) -> Iterator[str]:
    """Expressions of a text that name something that an accepted payload does not have."""
    for check in fields:
        if check.name == "text" and check.problem not in {None, _NOTHING}:
            yield f"text = {check.expression} adds nothing: {check.problem} (all right if only some payloads have it)"


def _advise_author(check: FieldCheck) -> str:
    """An expression that turns the value that the CRM gives a customer into `customer`."""
    expression = check.expression if _is_path(check.expression) else f"({check.expression})"
    value = f"'{check.value}'" if isinstance(check.value, str) else f"`{json.dumps(check.value)}`"
    author = f"{expression}=={value} && '{Author.CUSTOMER}' || '{Author.AGENT}'"
    return f'If that is a customer, and others are agents: author = "{author}".'


def _advise_date_order(fields: list[FieldCheck], source: Source) -> Iterator[str]:
    if source.fields.date_order is None and any(
        check.name == "revised_at" and has_numeric_date(check.value) for check in fields
    ):
        yield (
            f"revised_at shows the order of day and month only on some days. Add to `fields`: date_order = "
            f'"{DateOrder.DAY_FIRST}" if the day is first, else "{DateOrder.MONTH_FIRST}". Without it, webhooks of '
            "the other days become dead letters."
        )


def _advise_escapes(body: bytes) -> Iterator[str]:
    """Signs of a template that does not escape: raw line breaks in strings, or a path such as `C:\\nota`."""
    try:
        json.loads(body)
    except ValueError:  # the gateway also reads strings with raw line breaks
        sign = "The body has unescaped line breaks"
    else:
        if not (path := _PATH.search(body)):
            return
        sign = f"The body has {path[0].decode()}, which JSON reads as a control character"
    yield (
        f"{sign}: the CRM's template seems to fill in texts without escaping them. A quotation mark in a message "
        "then makes a dead letter, and a path such as C:\\nota loses its backslash. If the CRM can escape values as "
        "JSON, or can send its own events, use that."
    )


def _advise_records(payload: object, source: Source) -> Iterator[str]:
    """Reasons why `records` selects nothing: comparisons that fail, and what the payload has."""
    first = payload[0] if isinstance(payload, list) and payload else payload
    for path, expected, value in expressions.failed_comparisons(source.records, first):
        actual = _missing(path, first) if value is None else f"here it is {value!r}."
        yield f"`records` wants {path} to be {expected!r}; {actual}"
    for path in expressions.unquoted_texts(source.records, first):
        text = path.strip('"')
        yield f"`records` compares with the field {path}: a text stands in single quotes, '{text}'."
    if isinstance(first, dict):
        yield f"The payload has {', '.join(f'{name}{_inner_names(value)}' for name, value in _first(first))}."
    event = field_map.event_name(payload, source) or "it"
    yield f"If {event} is never a customer's message, subscribe to fewer events, or add a rule to `ignore`."
    yield "After the source's first ticket, such a webhook is ignored: the console's page Operations counts it."
