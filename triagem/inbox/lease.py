"""Who is alive: one key with a time to live for each worker boot. Idle is not dead; a missing lease is."""

import os
import secrets
import socket
from dataclasses import dataclass
from typing import Final, cast

from redis import Redis

from triagem.contracts.wire import CHECKS
from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PREFIX

_KEY: Final = PREFIX + ":lease:"
# What the last worker that knew it said of its rate: still there when all are gone.
LAST_RATE: Final = PREFIX + ":rate"
WARMING_UP: Final = "warming up"
_MEMORY: Final = PREFIX + ":memory:"


def lease_key(consumer: str) -> str:
    """The lease of a consumer."""
    return _KEY + consumer


class Lease:
    """A worker's own lease. Its name is never used again after the lease was lost once.

    Lost means that others may have claimed what we held: going on under the same name would let two live
    workers take entries from each other, so the worker goes on under a new name. `names` are all it has had.
    """

    def __init__(self, redis: Redis, lease_s: float) -> None:
        self._redis = redis
        self._lease_ms = int(lease_s * 1000)
        self.consumer = _new_name()
        self.names = {self.consumer}

    def take(self) -> None:
        """Set the lease. Raises InboxAway, or InboxFull when Redis has no memory left even for this."""
        with redis_errors():
            self._redis.set(lease_key(self.consumer), _said(WARMING_UP), px=self._lease_ms)

    def refresh(self) -> bool:
        """Prolong the lease; False if it was lost, and a new one was taken under a new name.

        PEXPIRE needs no memory: it works while Redis refuses every write. Raises what `take` raises; then the
        name is still the former one.
        """
        with redis_errors():
            if self._redis.pexpire(lease_key(self.consumer), self._lease_ms):
                return True
            name = _new_name()
            self._redis.set(lease_key(name), _said(WARMING_UP), px=self._lease_ms)
        # Only now: what is taken under a name without a lease can be claimed from us at once.
        self.names.add(name)
        self.consumer = name
        return False

    def say(self, state: str, rate: float = 0.0) -> None:
        """Tell who looks what this worker is doing, and its tickets per busy second if it knows them.

        Raises InboxAway; InboxFull when there is no memory for it.
        """
        with redis_errors(), self._redis.pipeline(transaction=True) as pipe:
            pipe.set(lease_key(self.consumer), _said(state, rate), xx=True, keepttl=True)
            if rate:
                pipe.set(LAST_RATE, f"{rate:.4g}")
            pipe.execute()

    def say_memory(self, share: float) -> None:
        """Tell how much of its memory this worker's container or machine uses, 0 to 1. Raises as `say` does."""
        with redis_errors():
            self._redis.set(_MEMORY + self.consumer, share, px=self._lease_ms)

    def release(self) -> None:
        """Give the lease back, so that others take over at once what is still pending."""
        with redis_errors():
            self._redis.delete(lease_key(self.consumer))


@dataclass(frozen=True, slots=True)
class Member:
    """Who holds a lease: its name, what it says it is doing, and its tickets per busy second, 0 while it has none.

    A worker of a release before claim checks does not say that it reads them.
    """

    name: str
    state: str
    rate: float
    reads_checks: bool


def crew(redis: Redis) -> list[Member]:
    """Everybody who holds a lease."""
    members = []
    for name, said in _values(redis, _KEY).items():
        state, rate, reads, *_ = [*said.split("\n"), "", ""]
        members.append(Member(name, state, _number(rate), CHECKS in reads.split()))
    return members


def workers(redis: Redis) -> dict[str, str]:
    """Who holds a lease, and what each says it is doing."""
    return {one.name: one.state for one in crew(redis)}


def memory(redis: Redis) -> list[float]:
    """How much of their memory the workers use, as they say; who does not know says nothing."""
    return [float(share) for share in _values(redis, _MEMORY).values()]


def alive(redis: Redis) -> int:
    """How many workers hold a lease."""
    return len(crew(redis))


def _said(state: str, rate: float = 0.0) -> str:
    """What stands in a lease, a line each: the state, the rate, and the forms of entries that this release reads."""
    return "\n".join((" ".join(state.split()), f"{rate:.4g}" if rate else "", CHECKS))


def _number(rate: str) -> float:
    try:
        return float(rate or 0)
    except ValueError:  # a former release's worker may say its state in two lines
        return 0.0


def _values(redis: Redis, prefix: str) -> dict[str, str]:
    with redis_errors():
        keys = sorted(set(redis.scan_iter(match=prefix + "*", count=1000)))  # SCAN may name a key twice
        values = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    return {
        key.decode().removeprefix(prefix): value.decode()
        for key, value in zip(keys, values, strict=True)
        if value is not None
    }


def _new_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
