"""Which entries are at work right now, so that a death can be blamed on them and on nobody else.

Redis' own delivery counter can't tell: it rises with every claim, and ten innocent kills would condemn a ticket.
`claim.lua` reads a dead worker's trial and suspects what stands in it; settling clears the suspicion.
"""

from collections.abc import Iterable
from typing import Any, Final

from redis import Redis

from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX, Entry

LETHAL: Final = 2  # deaths alone, each of a worker whose self-check had passed, until an entry is condemned
_KEPT_S: Final = 86_400  # a dead worker's trial, if no other worker comes to read it


def trial_key(consumer: str) -> str:
    """The hash with a worker's trial: entry ids by lane, and whether there is but one."""
    return f"{PREFIX}:trial:{consumer}"


class Trials:
    """Writes and clears trials. Raises InboxAway; `begin` raises InboxFull when Redis has no memory for it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, consumer: str, entries: Iterable[Entry], *, alone: bool = False) -> None:
        """From now on these, in place of the former ones, are what `consumer` works on."""
        ids: dict[Lane, list[bytes]] = {lane: [] for lane in Lane}
        for entry in entries:
            ids[entry.lane].append(entry.id)
        fields: dict[Any, Any] = {str(lane): b" ".join(some) for lane, some in ids.items()}
        fields["alone"] = int(alone)
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(trial_key(consumer), mapping=fields)
            pipe.expire(trial_key(consumer), _KEPT_S)
            pipe.execute()

    def clear(self, consumer: str) -> None:
        """Whatever ends this worker now, it is no entry's fault."""
        with redis_errors():
            self._redis.delete(trial_key(consumer))
