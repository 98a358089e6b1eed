"""Finds or erases one ticket in the inbox: deletes its entries, and rewrites the append-only file that holds them."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from triagem.contracts.ticket import Identity, Lane
from triagem.contracts.wire import decode_identity, is_ref, longest_word
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import Entry, Inbox, entries_of, stream_key

_PAGE: Final = 500
_NEWEST: Final = 2000  # per lane, so that a long backlog does not slow the answer


@redis_errors()
def find_entry(inbox: Inbox, ticket: Identity) -> Entry | None:
    """The ticket's newest entry among the newest of each lane, waiting or in flight; None if it is not there."""
    fragment = longest_word(ticket.external_id)
    for lane in Lane:
        rows = cast("list[Any]", inbox.redis.xrevrange(stream_key(lane), count=_NEWEST))
        for entry in entries_of(lane, rows):
            if entry.payload and fragment in entry.payload and decode_identity(entry.payload) == ticket:
                return entry
    return None


def erase(inbox: Inbox, whose: Identity, on_page: Callable[[int], None] = lambda _: None) -> tuple[int, int, int]:
    """Delete a ticket's entries in both lanes, waiting and in flight. `on_page` gets the size of each page read.

    A worker that already holds such an entry finishes it, and finds the tombstone when it stores the result. A
    reference to the stored ticket is not deleted: it holds only the ticket's number, which identifies nobody. Its
    worker finds the tombstone too.

    Returns:
        The numbers of entries deleted, entries whose ticket cannot be identified, and entries of other tickets.
    """
    deleted = unreadable = left = 0
    for page in _pages(inbox.redis):
        owners = [decode_identity(entry.payload or b"") for entry in page]
        refs = sum(1 for entry in page if is_ref(entry.payload or b""))
        matches = [entry for entry, owner in zip(page, owners, strict=True) if owner == whose]
        if matches:
            inbox.ack(matches)
        deleted += len(matches)
        unreadable += owners.count(None) - refs
        left += len(page) - len(matches)
        on_page(len(page))
    return deleted, unreadable, left


def _pages(redis: Redis) -> Iterator[list[Entry]]:
    for lane in Lane:
        start = "-"
        while True:
            with redis_errors():
                rows = cast("list[Any]", redis.xrange(stream_key(lane), min=start, count=_PAGE))
            if not rows:
                break
            yield entries_of(lane, rows)
            start = f"({rows[-1][0].decode()}"


# Outcome of a request to rewrite Redis' append-only file, which still holds deleted entries. `busy`: a rewrite that
# began before our deletion is still running; `off`: this Redis has no append-only file; `refused`: not permitted, as
# on managed servers.
LogRewrite = Literal["started", "busy", "off", "refused"]


@redis_errors()
def rewrite_log(redis: Redis, *, timeout_s: float = 10.0) -> LogRewrite:
    """Start a rewrite that begins after now. Raises InboxUnavailable."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            # Without an append-only file, Redis would now write one with all waiting texts.
            if not redis.info("persistence").get("aof_enabled"):
                return "off"
            redis.bgrewriteaof()
            return "started"
        except (NoPermissionError, ResponseError) as error:
            if "in progress" not in str(error):
                return "refused"
        if time.monotonic() > deadline:
            return "busy"
        time.sleep(0.2)
