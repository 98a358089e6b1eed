"""Reclaims pending entries: those of workers without a lease, and our own whose reply was cut off."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from redis import Redis

from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import lease_key
from triagem.inbox.stream import GROUP, PREFIX, Entry, Inbox, entries_of, quarantine_key, script, stream_key

# A quarantined entry that crashed this many workers while it ran alone becomes a dead letter. Only workers whose
# self-check had passed count.
MAX_SOLO_CRASHES: Final = 2
_TTL_S: Final = 86_400  # a dead worker's marker expires after this time if no other worker reads it


def in_progress_key(consumer: str) -> str:
    """The hash with a worker's marker: entry ids by lane, and whether there is only one entry."""
    return f"{PREFIX}:trial:{consumer}"


@redis_errors()
def mark_in_progress(redis: Redis, consumer: str, entries: Sequence[Entry], *, alone: bool = False) -> None:
    """Record these entries as in progress at `consumer`; they replace the previous ones.

    Raises InboxUnavailable, or InboxFull when Redis is out of memory.
    """
    ids = {str(lane): b" ".join(entry.id for entry in entries if entry.lane is lane) for lane in Lane}
    fields: dict[Any, Any] = {"alone": int(alone), **{lane: joined for lane, joined in ids.items() if joined}}
    with redis.pipeline(transaction=True) as pipe:
        pipe.delete(in_progress_key(consumer))
        pipe.hset(in_progress_key(consumer), mapping=fields)
        pipe.expire(in_progress_key(consumer), _TTL_S)
        pipe.execute()


@redis_errors()
def clear_in_progress(redis: Redis, consumer: str) -> None:
    """Remove the marker: if this worker ends now, no entry is at fault. Raises InboxUnavailable."""
    redis.delete(in_progress_key(consumer))


_PAGE: Final = 1000  # a script can unpack about 8,000 ids at most
_MAX_PENDING: Final = 10_000  # more entries than one worker ever holds of a lane


class Reclaimer:
    """Moves pending entries to another consumer (XCLAIM). Raises the errors of `Inbox`."""

    def __init__(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self._redis: Redis = inbox.redis
        self._reclaim = self._redis.register_script(script("reclaim"))

    def reclaim(self, lane: Lane, consumer: str, count: int, *, include_crashed: bool = True) -> list[Entry]:
        """Claim up to `count` entries of consumers without a lease for `consumer`; remove consumers with none left.

        Claims at most one page per consumer; call it again for the rest.

        Args:
            include_crashed: also claim quarantined entries that have already crashed a worker while they ran alone.
        """
        claimed: list[Entry] = []
        for other in self._consumers(lane):
            if other == consumer or len(claimed) >= count:
                continue
            limit = min(count - len(claimed), _PAGE)
            claimed += entries_of(lane, self._run(lane, consumer, other, limit, include_crashed=include_crashed))
        return claimed

    @redis_errors()
    def abandoned(self) -> set[tuple[Lane, bytes]]:
        """Lane and id of the entries that are pending under a consumer without a lease."""
        abandoned: set[tuple[Lane, bytes]] = set()
        for lane in Lane:
            for consumer in self._consumers(lane):
                if not self._redis.exists(lease_key(consumer)):
                    abandoned.update((lane, entry_id) for entry_id in self._pending(lane, consumer))
        return abandoned

    @redis_errors()
    def recover_lost_replies(self, lane: Lane, consumer: str, in_hand: AbstractSet[bytes]) -> list[Entry]:
        """Read again the entries pending under `consumer` that are not `in_hand`: their reply was cut off.

        Call it from the thread that fetches, or a reply still in transit would look lost.
        """
        lost = [entry_id for entry_id in self._pending(lane, consumer) if entry_id not in in_hand]
        if not lost:
            return []
        return entries_of(lane, cast("list[Any]", self._redis.xclaim(stream_key(lane), GROUP, consumer, 0, lost)))

    @redis_errors()
    def remove_consumer(self, consumer: str) -> None:
        """Remove our own consumer after its lease was released. Does nothing while it has pending entries."""
        for lane in Lane:
            if not self._redis.xpending_range(stream_key(lane), GROUP, "-", "+", 1, consumer):
                self._run(lane, consumer, consumer, 1, include_crashed=True)

    @redis_errors()
    def uptime_s(self) -> float:
        """Seconds since Redis started. A lease that expired while Redis was down does not prove a dead worker."""
        return float(self._redis.info("server").get("uptime_in_seconds", 1e9))

    @redis_errors()
    def _run(self, lane: Lane, consumer: str, other: str, limit: int, *, include_crashed: bool) -> list[Any]:
        keys = [stream_key(lane), lease_key(other), in_progress_key(other), quarantine_key(lane)]
        args: list[str | int] = [GROUP, consumer, other, limit, str(lane), int(include_crashed)]
        return cast("list[Any]", self._reclaim(keys=keys, args=args))

    @redis_errors()
    def _pending(self, lane: Lane, consumer: str) -> list[Any]:
        rows = self._redis.xpending_range(stream_key(lane), GROUP, "-", "+", _MAX_PENDING, consumer)
        return [row["message_id"] for row in cast("list[Any]", rows)]

    @redis_errors()
    def _consumers(self, lane: Lane) -> list[str]:
        rows = cast("list[Any]", self._redis.xinfo_consumers(stream_key(lane), GROUP))
        return [row["name"].decode() for row in rows]
