"""In-progress markers: the entries each worker is processing now, so that a crash is attributed to them alone.

The delivery counter of Redis cannot do this: it rises with every claim, so ten unrelated kills would dead-letter a
ticket. `reclaim.lua` reads the marker of a dead worker and quarantines the entries in it; `ack` ends the quarantine.
"""

from collections.abc import Iterable
from typing import Any, Final

from redis import Redis

from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX, Entry

# A quarantined entry that crashed this many workers while it ran alone becomes a dead letter. Only workers whose
# self-check had passed count.
MAX_SOLO_CRASHES: Final = 2
_TTL_S: Final = 86_400  # of a dead worker's marker, if no other worker reads it


def in_progress_key(consumer: str) -> str:
    """The hash with a worker's marker: entry ids by lane, and whether there is only one entry."""
    return f"{PREFIX}:trial:{consumer}"


class InProgressMarkers:
    """Writes and clears markers. Raises InboxUnavailable; `mark` raises InboxFull when Redis is out of memory."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def mark(self, consumer: str, entries: Iterable[Entry], *, alone: bool = False) -> None:
        """Record these entries as what `consumer` is processing; they replace the previous ones."""
        ids: dict[Lane, list[bytes]] = {lane: [] for lane in Lane}
        for entry in entries:
            ids[entry.lane].append(entry.id)
        fields: dict[Any, Any] = {str(lane): b" ".join(lane_ids) for lane, lane_ids in ids.items()}
        fields["alone"] = int(alone)
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(in_progress_key(consumer), mapping=fields)
            pipe.expire(in_progress_key(consumer), _TTL_S)
            pipe.execute()

    def clear(self, consumer: str) -> None:
        """Remove the marker: if this worker ends now, no entry is at fault."""
        with redis_errors():
            self._redis.delete(in_progress_key(consumer))
