"""Worker leases: one expiring key per worker boot. An idle worker is alive; a worker without a lease is dead.

Whether the workers are paused is stored, because a broadcast reaches only those connected at that moment.
"""

import os
import secrets
import socket
import time
from dataclasses import dataclass
from typing import Final, cast

from redis import Redis
from redis.exceptions import NoPermissionError

from triagem.inbox.client import redis_errors
from triagem.inbox.stream import PAUSED, PREFIX

_KEY: Final = PREFIX + ":lease:"
# The last rate that a worker reported. It outlives the workers.
LAST_RATE: Final = PREFIX + ":rate"
WARMING_UP: Final = "warming up"
AT_WORK: Final = "at work"  # a problem may follow that does not stop the worker
COLLECTING: Final = "collecting labels"  # the worker stores tickets without a result: there is no model yet
SILENT: Final = "no sign of life"  # two heartbeats are missing; the time since the last one follows
BEATS: Final = 3  # heartbeats per lease
_MEMORY: Final = PREFIX + ":memory:"


def lease_key(consumer: str) -> str:
    """The lease of a consumer."""
    return _KEY + consumer


class Lease:
    """A worker's own lease. Its consumer name is never used again once the lease was lost.

    After a loss, other workers may have claimed our entries. Under the same name, two live workers would claim
    entries from each other, so the worker continues under a new one. `names` holds all names it has had.
    """

    def __init__(self, redis: Redis, lease_s: float) -> None:
        self._redis = redis
        self._lease_ms = int(lease_s * 1000)
        self.consumer = _new_name()
        self.names = {self.consumer}
        self._at_work_since: float | None = None

    @redis_errors()
    def acquire(self) -> None:
        """Set the lease. Raises InboxUnavailable, or InboxFull when Redis has no memory left even for this."""
        self._redis.set(lease_key(self.consumer), self._encode(WARMING_UP), px=self._lease_ms)

    @redis_errors()
    def refresh(self) -> bool:
        """Extend the lease. Returns False if it was lost; then a new one has been acquired under a new name.

        PEXPIRE needs no memory, so it works while Redis refuses every write. Raises as `acquire`; the name is then
        unchanged.
        """
        if self._redis.pexpire(lease_key(self.consumer), self._lease_ms):
            return True
        name = _new_name()
        self._redis.set(lease_key(name), self._encode(WARMING_UP), px=self._lease_ms)
        # Switch only now: other workers could claim entries at once that we fetch under a name without a lease.
        self.names.add(name)
        self.consumer = name
        return False

    @redis_errors()
    def report_state(self, state: str, rate: float = 0.0) -> None:
        """Publish this worker's state, the time since which it is at work and, if known, its tickets per busy second.

        Raises InboxUnavailable, or InboxFull when Redis is out of memory.
        """
        if not state.startswith(AT_WORK):
            self._at_work_since = None
        elif self._at_work_since is None:
            self._at_work_since = time.time()
        with self._redis.pipeline(transaction=True) as pipe:
            value = self._encode(state, rate, self._at_work_since)
            pipe.set(lease_key(self.consumer), value, xx=True, keepttl=True)
            if rate:
                pipe.set(LAST_RATE, f"{rate:.4g}")
            pipe.execute()

    @redis_errors()
    def report_memory(self, share: float) -> None:
        """Publish the memory use of this worker's container or machine, 0 to 1. Raises as `report_state`."""
        self._redis.set(_MEMORY + self.consumer, share, px=self._lease_ms)

    @redis_errors()
    def release(self) -> None:
        """Delete the lease, so that other workers reclaim the pending entries at once."""
        self._redis.delete(lease_key(self.consumer))

    def _encode(self, state: str, rate: float = 0.0, at_work_since: float | None = None) -> str:
        """A lease's value, one line each: state, rate, time since when it is at work, duration of the lease in ms."""
        return f"{' '.join(state.split())}\n{rate:.4g}\n{at_work_since or ''}\n{self._lease_ms}"


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker with a lease: consumer name, reported state, and tickets per busy second (0 until it has a rate).

    `at_work_since`: Unix time since which it has classified tickets without an outage; None while it does not.
    `lease_ms`: the duration of its lease; 0 if a release wrote it that did not store it.
    """

    name: str
    state: str
    rate: float
    at_work_since: float | None = None
    lease_ms: int = 0


def list_workers(redis: Redis) -> list[WorkerInfo]:
    """All workers with a lease."""
    workers = []
    for name, value in _values(redis, _KEY).items():
        state, rate, since, lease_ms = [*value.split("\n"), "", "", ""][:4]
        workers.append(WorkerInfo(name, state, float(rate or 0), float(since) if since else None, int(lease_ms or 0)))
    return workers


def worker_states(redis: Redis) -> dict[str, str]:
    """The reported state of each worker with a lease, by consumer name."""
    return {worker.name: worker.state for worker in list_workers(redis)}


@redis_errors()
def release_ended(redis: Redis, pid: int) -> None:
    """Delete the leases of a process of this host that has ended, so that others reclaim its entries at once.

    A live worker with the same host name and pid, in a container, would only continue under a new name.
    """
    for key in redis.scan_iter(match=f"{_KEY}{_name_prefix(pid)}*", count=1000):
        redis.delete(key)


@redis_errors()
def observed_states(redis: Redis) -> dict[str, str]:
    """As `worker_states`, for a person: a worker that misses two heartbeats is shown as silent."""
    workers = list_workers(redis)
    with redis.pipeline(transaction=False) as pipe:
        for worker in workers:
            pipe.pttl(lease_key(worker.name))
        try:
            remaining = pipe.execute()
        except NoPermissionError:  # a user of an earlier users.acl
            return {worker.name: worker.state for worker in workers}
    states = {}
    for worker, remaining_ms in zip(workers, remaining, strict=True):
        silent_ms = worker.lease_ms - max(0, remaining_ms)
        silent = BEATS * silent_ms > 2 * worker.lease_ms
        states[worker.name] = f"{SILENT}: last seen {silent_ms / 1000:.0f} s ago" if silent else worker.state
    return states


def worker_memory(redis: Redis) -> list[float]:
    """The reported memory use of the workers, 0 to 1. Workers that cannot measure it are left out."""
    return [float(share) for share in _values(redis, _MEMORY).values()]


@redis_errors()
def _values(redis: Redis, prefix: str) -> dict[str, str]:
    keys = sorted(set(redis.scan_iter(match=prefix + "*", count=1000)))  # SCAN may return a key twice
    values = cast("list[bytes | None]", redis.mget(keys)) if keys else []
    return {
        key.decode().removeprefix(prefix): value.decode()
        for key, value in zip(keys, values, strict=True)
        if value is not None
    }


def _new_name() -> str:
    return _name_prefix(os.getpid()) + secrets.token_hex(4)


def _name_prefix(pid: int) -> str:
    return f"{socket.gethostname()}-{pid}-"


@redis_errors()
def pause(redis: Redis) -> None:
    """Stop all workers from fetching until `resume`. They finish the entries they hold."""
    redis.set(PAUSED, b"1")


@redis_errors()
def resume(redis: Redis) -> None:
    """Let workers fetch again."""
    redis.delete(PAUSED)


@redis_errors()
def paused(redis: Redis) -> bool:
    """Whether workers are paused."""
    return bool(redis.exists(PAUSED))
