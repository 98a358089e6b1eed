"""What dead workers left, and what a cut reply left with us: nothing stays pending without somebody at work on it."""

from collections.abc import Set as AbstractSet
from typing import Any, Final, cast

from redis import Redis

from triagem.contracts.ticket import Lane
from triagem.inbox.client import redis_errors
from triagem.inbox.lease import lease_key
from triagem.inbox.stream import GROUP, Entry, Inbox, entries_of, script, stream_key, suspects_key
from triagem.inbox.trials import trial_key

_PAGE: Final = 1000  # a script can unpack about 8,000 ids at most
_HELD: Final = 10_000  # more than one worker ever has in hand of a lane


class Claims:
    """Takes over entries. Raises what `Inbox` raises."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._redis: Redis = inbox.redis
        self._claim = self._redis.register_script(script("claim"))

    def take_over(self, lane: Lane, me: str, count: int, *, tried: bool = True) -> list[Entry]:
        """Up to `count` entries of consumers that hold no lease, now pending under `me`; removes empty ones.

        Takes at most a page from each consumer: the next call goes on. `tried` says whether to take suspects that
        have already ended a worker alone.
        """
        taken: list[Entry] = []
        for consumer in self._consumers(lane):
            if consumer == me or len(taken) >= count:
                continue
            most = min(count - len(taken), _PAGE)
            taken += entries_of(lane, self._run(lane, me, consumer, most, tried=tried))
        return taken

    def retake(self, lane: Lane, me: str, in_hand: AbstractSet[bytes]) -> list[Entry]:
        """Entries that Redis says we hold and we do not: a reply that was cut off on its way to us.

        Call it from the thread that takes, or a reply on its way would look lost.
        """
        with redis_errors():
            pending = cast("list[Any]", self._redis.xpending_range(stream_key(lane), GROUP, "-", "+", _HELD, me))
        lost = [row["message_id"] for row in pending if row["message_id"] not in in_hand]
        if not lost:
            return []
        with redis_errors():
            return entries_of(lane, cast("list[Any]", self._redis.xclaim(stream_key(lane), GROUP, me, 0, lost)))

    def retire(self, me: str) -> None:
        """Remove our own name after our lease was released; does nothing while something is pending under it."""
        for lane in Lane:
            with redis_errors():
                empty = not self._redis.xpending_range(stream_key(lane), GROUP, "-", "+", 1, me)
            if empty:
                self._run(lane, me, me, 1, tried=True)

    def uptime_s(self) -> float:
        """How long this Redis has been up: leases that ended while it was away prove nothing."""
        with redis_errors():
            return float(self._redis.info("server").get("uptime_in_seconds", 1e9))

    def _run(self, lane: Lane, me: str, consumer: str, most: int, *, tried: bool) -> list[Any]:
        keys = [stream_key(lane), lease_key(consumer), trial_key(consumer), suspects_key(lane)]
        with redis_errors():
            return cast("list[Any]", self._claim(keys=keys, args=[GROUP, me, consumer, most, str(lane), int(tried)]))

    def _consumers(self, lane: Lane) -> list[str]:
        with redis_errors():
            rows = cast("list[Any]", self._redis.xinfo_consumers(stream_key(lane), GROUP))
        return [row["name"].decode() for row in rows]
