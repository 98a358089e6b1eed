"""Receives webhooks: verifies the sender, and reads tickets or people's corrections by the source's expressions.

A correction (`Verdict`): a person changed the tag, label or field that shows a ticket's label. Nothing here raises.
"""

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.prediction import Band
from triagem.contracts.ticket import Identity, identify
from triagem.notify.crm import label_tag
from triagem.producer.crm import field_map
from triagem.producer.crm.expressions import search
from triagem.producer.crm.payload import (
    IgnoredWebhook,
    ReadWebhook,
    RefusedWebhook,
    UnreadableWebhook,
    Webhook,
    parse,
    parse_id,
    parse_time,
)
from triagem.producer.crm.settings import Source, VerdictExpressions
from triagem.producer.crm.signature import check_signature, check_token, signed_at

_ACTOR: Final = re.compile(r"[\w.-]{1,40}")


def check_head(webhook: Webhook, source: Source) -> RefusedWebhook | None:
    """None if the gateway may read the body: the token is valid, or there is a signature, to verify with the body."""
    if source.token is not None:
        return check_token(webhook, source.token.get_secret_value())
    scheme = source.signature
    return RefusedWebhook(f"no {scheme.header}") if scheme and webhook.header(scheme.header) is None else None


def check_sender(webhook: Webhook, source: Source, now: datetime) -> RefusedWebhook | None:
    """None if the token or the signature is valid."""
    if source.token is not None:
        return check_token(webhook, source.token.get_secret_value())
    if source.secret is not None and source.signature is not None:
        return check_signature(webhook, source.signature, source.secret.get_secret_value(), now)
    return RefusedWebhook("the source has no secret")  # prevented by the validation of its settings


def challenge(webhook: Webhook, source: Source) -> str | None:
    """The value that a CRM's test of the URL expects back; None for other requests. Call `check_sender` first."""
    if source.challenge.header is not None and (value := webhook.header(source.challenge.header)):
        return value
    with suppress(InvalidTicket):
        value = source.challenge.field and search(source.challenge.field, webhook.payload, "challenge")
        return value if isinstance(value, str) else None
    return None


def read_webhook(webhook: Webhook, source: Source, now: datetime) -> ReadWebhook:
    """Read a webhook whose sender was verified.

    A message that has no time of its own gets the signed time: a webhook that is sent again is then the same
    revision, and replaces no newer text.
    """
    scheme = source.signature if source.secret is not None else None
    return read_body(webhook, source, now, sent_at=signed_at(webhook, scheme) if scheme else None)


def read_body(webhook: Webhook, source: Source, now: datetime, *, sent_at: datetime | None = None) -> ReadWebhook:
    """Read a body whose sender was verified at `now`, when it was received. Used to replay dead letters."""
    if not webhook.body.strip():
        return IgnoredWebhook("an empty body")
    try:
        return field_map.read(webhook.payload, source, now, sent_at or now)
    except InvalidTicket as error:
        return UnreadableWebhook(str(error))


def read_owners(body: bytes, source: Source) -> frozenset[Identity]:
    """The tickets that a body names, even if `read_body` cannot read it; empty if none can be identified."""
    try:
        payload = parse(body)
        records = [*field_map.select(source.records, payload), *(payload if isinstance(payload, list) else [payload])]
    except InvalidTicket:
        return frozenset()
    owners = set[Identity]()
    for record in records:
        with suppress(InvalidTicket):
            external_id = parse_id(search(source.fields.external_id, record, "external_id"), "external_id")
            owners.add(identify(source.name, external_id))
    return frozenset(owners)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tags, labels or field value of a ticket after a change. `reviewer` is the source and the CRM's user id."""

    ticket: Identity
    values: tuple[str, ...]
    reviewer: str
    changed_at: datetime | None


def read_verdicts(webhook: Webhook, source: Source) -> list[Verdict]:
    """The changes in a webhook whose sender was verified, without those of `bots`; empty if none can be read."""
    if source.verdict is None:
        return []
    verdicts = []
    try:
        records = field_map.select(source.verdict.records, webhook.payload)
    except InvalidTicket:
        return []
    for record in records:
        with suppress(InvalidTicket):
            verdicts += _read(record, source, source.verdict)
    return verdicts


def verdict_label(verdict: Verdict, source: Source, labels: Iterable[str]) -> str | None:
    """The label that the values show; None if they show none or several of these labels."""
    assert source.verdict is not None
    known, shown = list(labels), dict[str, str]()
    for label in known:
        shown[label_tag(label, source.tag_prefix)] = label
        if not source.tag_prefix:
            shown[label.casefold()] = label
    shown |= {value.casefold(): label for value, label in source.verdict.labels.items() if label in known}
    chosen = {shown[value.casefold()] for value in verdict.values if value.casefold() in shown}
    return chosen.pop() if len(chosen) == 1 else None


def not_a_label(verdict: Verdict, source: Source) -> str | None:
    """The value that should show a label, and how to map it; None for tags that do not show Triagem's labels."""
    assert source.verdict is not None
    prefix, bands = source.tag_prefix, {source.tag_prefix + band for band in Band}
    values = [value for value in map(str.casefold, verdict.values) if value.startswith(prefix) and value not in bands]
    if len(values) != 1:
        return None
    place = f"[{source.name}.verdict]"
    for value, label in source.verdict.labels.items():
        if value.casefold() == values[0]:
            return f"{_quoted(label)} in `labels` of {place} is not a label"
    value = next(value for value in verdict.values if value.casefold() == values[0])
    return f'{_quoted(value)} is not a label; use labels = {{ {_quoted(value)} = "…" }} in {place}'


def _quoted(value: str) -> str:
    return json.dumps(value if len(value) <= 80 else value[:79] + "…", ensure_ascii=False)


def _read(record: object, source: Source, verdict: VerdictExpressions) -> list[Verdict]:
    value = search(verdict.value, record, "verdict.value")
    texts = [item.strip() for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
    values = tuple(filter(None, texts))
    actor = search(verdict.actor, record, "verdict.actor")
    if not values or str(actor) in verdict.bots:
        return []
    moment = search(verdict.changed_at, record, "verdict.changed_at")
    external_id = parse_id(search(verdict.external_id, record, "verdict.external_id"), "verdict.external_id")
    changed_at = None if moment is None else parse_time(moment, "verdict.changed_at", source.fields.moments)
    return [Verdict(identify(source.name, external_id), values, _reviewer(source, actor), changed_at)]


def _reviewer(source: Source, actor: object) -> str:
    """A name for the reviewer that does not identify a person: an e-mail address becomes a digest."""
    if actor in (None, ""):
        return source.name
    name = str(actor)
    return f"{source.name}:{name if _ACTOR.fullmatch(name) else sha256(name.encode()).hexdigest()[:12]}"
