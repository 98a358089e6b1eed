"""Batches of entries to put, as arguments of `put.lua`, and its results."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from triagem.contracts.errors import InboxFull
from triagem.contracts.ticket import Lane
from triagem.inbox.client import InboxSettings


@dataclass(frozen=True, slots=True)
class Idempotency:
    """The key of a batch that may be sent again, its digest, and the `content` of the response, kept for `ttl_s`."""

    key: str
    fingerprint: bytes
    content: bytes
    ttl_s: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Payloads to add, all or none, and the id of the HTTP request that brought them."""

    payloads: Sequence[bytes]
    request_id: str = ""
    idempotency: Idempotency | None = None


@dataclass(frozen=True, slots=True)
class PutRecord:
    """Entry ids of a batch; if it is idempotent, with the fingerprint and content of the first under its key."""

    ids: list[bytes]
    fingerprint: bytes = b""
    content: bytes = b""


def put_arguments(lane: Lane, settings: InboxSettings, batches: Iterable[Batch]) -> list[Any]:
    """The arguments of the script."""
    arguments: list[Any] = [settings.high_water(lane), settings.memory_share]
    for batch in batches:
        once = batch.idempotency
        record = (once.ttl_s, once.fingerprint, once.content) if once else ()
        arguments += (batch.request_id, len(record), *record, len(batch.payloads), *batch.payloads)
    return arguments


def put_result(
    lane: Lane, settings: InboxSettings, batch: Batch, reply: Sequence[Any], *, paused: bool
) -> PutRecord | InboxFull:
    """The script's result for one batch; InboxFull if nothing of it was added."""
    status, *result = reply
    if status == 2:
        fingerprint, content, ids = result
        return PutRecord(ids.split(), fingerprint, content)
    if status == 1:
        once = batch.idempotency
        return PutRecord(result, once.fingerprint, once.content) if once else PutRecord(result)
    reason = (
        f"{result[0]} entries, the high-water mark is {settings.high_water(lane)}"
        if result[1] == b"depth"
        else f"Redis uses over {settings.memory_share:.0%} of its memory"
    )
    if paused:
        return InboxFull(f"the {lane} lane is full ({reason}) and the workers are paused: run `triagem resume`")
    return InboxFull(f"the {lane} lane is full ({reason}): wait until workers have drained it")
