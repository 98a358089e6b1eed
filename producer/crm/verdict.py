"""Reads corrections from webhooks: a person changed the tag, label or field that shows a ticket's label. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from triagem.contracts.errors import InvalidTicket
from triagem.contracts.ticket import Identity, identify
from triagem.notify.crm import label_tag
from triagem.producer.crm.expressions import search
from triagem.producer.crm.field_map import select
from triagem.producer.crm.payload import parse, parse_id, parse_time
from triagem.producer.crm.settings import Source, VerdictExpressions

_ACTOR: Final = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The tags, labels or field value of a ticket after a change. `reviewer` is the source and the CRM's user id."""

    ticket: Identity
    values: tuple[str, ...]
    reviewer: str
    changed_at: datetime | None


def read_verdicts(body: bytes, source: Source) -> list[Verdict]:
    """The changes in a webhook whose sender was verified, without those of `bots`; empty if none can be read."""
    if source.verdict is None:
        return []
    verdicts = []
    try:
        records = select(source.verdict.records, parse(body))
    except InvalidTicket:
        return []
    for record in records:
        try:
            verdicts += _read(record, source, source.verdict)
        except InvalidTicket:
            continue
    return verdicts


def verdict_label(verdict: Verdict, source: Source, labels: Iterable[str]) -> str | None:
    """The one of these labels that the values show; None if they show none or several."""
    assert source.verdict is not None
    known, shown = list(labels), dict[str, str]()
    for label in known:
        shown[label_tag(label, source.tag_prefix)] = label
        if not source.tag_prefix:
            shown[label.casefold()] = label
    shown |= {value.casefold(): label for value, label in source.verdict.labels.items() if label in known}
    chosen = {shown[value.casefold()] for value in verdict.values if value.casefold() in shown}
    return chosen.pop() if len(chosen) == 1 else None


def _read(record: object, source: Source, verdict: VerdictExpressions) -> list[Verdict]:
    value = search(verdict.value, record, "verdict.value")
    values = tuple(item.strip() for item in (value if isinstance(value, list) else [value]) if isinstance(item, str))
    actor = None if verdict.actor is None else search(verdict.actor, record, "verdict.actor")
    if not values or str(actor) in verdict.bots:
        return []
    moment = None if verdict.changed_at is None else search(verdict.changed_at, record, "verdict.changed_at")
    external_id = parse_id(search(verdict.external_id, record, "verdict.external_id"), "verdict.external_id")
    changed_at = None if moment is None else parse_time(moment, "verdict.changed_at", source.fields.moments)
    return [Verdict(identify(source.name, external_id), values, _reviewer(source, actor), changed_at)]


def _reviewer(source: Source, actor: object) -> str:
    """A name for the reviewer that names no person: an address becomes a digest."""
    if actor in (None, ""):
        return source.name
    name = str(actor)
    return f"{source.name}:{name if _ACTOR.fullmatch(name) else sha256(name.encode()).hexdigest()[:12]}"
